"""The thread that writes the ledger: groups of operations, one commit each, again and again until they are in.

Money goes first and at once, as somebody waits for the answer; rows that cost no external money follow in groups of
their own. While the database does not answer, both wait in bounded queues; what does not fit any more, or is left when
the process stops, goes to the journal.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import TypeVar

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from controller.adapters.database import WriteTransactions
from controller.adapters.database_tables import ledger
from controller.adapters.ledger_journal import Journal, Kept
from controller.adapters.ledger_money import MoneyDesk, Operation, Void
from controller.adapters.ledger_recovery import SEEN_INTERVAL_S, SWEEP_ROWS, Recovery
from controller.adapters.ledger_rows import UNSTORABLE, entry_row, storable, unknown_entry
from controller.adapters.ledger_statements import Inserter
from controller.adapters.ledger_wishes import Wish, tell
from controller.core.ledger import LedgerEntry, Verdict

if __debug__:
    from controller.telemetry import failpoints

log = structlog.get_logger()

GROUP_COMMIT_S = 0.050  # rows of this long share one commit, unless somebody waits or a group is full
QUEUE_ENTRIES = 65_536  # about 9 s at 7,000 req/s with a database that does not answer
MONEY_GROUP = 1_000
ROW_GROUP = 64  # a statement's worth: making more rows at a time would keep the event loop waiting
RETRY_S = 0.25
LOCK_WAIT_S = 1.0
CLOSE_PATIENCE_S = 2.0  # without any progress
_SUSPECT_AFTER = 2  # failures of a group, after which its rows go one by one
Waiting = Wish | Kept
T = TypeVar("T", bound=Waiting)


class LedgerWriter:
    """The queues and their thread. `ask`, `settle` and `add` are memory only, and safe for threads."""

    def __init__(
        self,
        engine: Engine,
        desk: MoneyDesk,
        journal: Journal,
        recovery: Recovery,
        *,
        group_commit_s: float = GROUP_COMMIT_S,
        queue_entries: int = QUEUE_ENTRIES,
    ) -> None:
        self._transactions = WriteTransactions(engine)
        self._desk = desk
        self._journal = journal
        self._recovery = recovery
        self._rows_in = Inserter(ledger, engine.dialect)
        self._group_commit_s = group_commit_s
        self._queue_entries = queue_entries
        self._money: deque[Waiting] = deque()
        self._rows: deque[LedgerEntry] = deque()
        self._wake, self._urgent, self._closing = threading.Event(), threading.Event(), threading.Event()
        self._chores_at_s = 0.0
        self._careful, self._suspect = False, 0
        self._registered = False
        self._chores_done = threading.Event()
        self.failing = False  # the database did not take the last group
        self.lost_entries = 0
        self._thread = threading.Thread(target=self._run, name="ledger-writer", daemon=True)
        self._thread.start()

    @property
    def backlog(self) -> int:
        """Operations that wait for the database."""
        return len(self._money) + len(self._rows)

    def oldest(self) -> list[LedgerEntry]:
        """The first rows of its queues."""
        queues = (self._money.copy(), self._rows.copy())  # the thread takes from them meanwhile
        return [one for rows in queues for one in islice((one for one in rows if isinstance(one, LedgerEntry)), 1)]

    @property
    def is_full(self) -> bool:
        """What is bought now could not be written down."""
        return self.backlog >= self._queue_entries

    def ask(self, wish: Wish) -> None:
        """The wish is told its verdict; GRANTED only once it is committed, and void again if nobody hears it."""
        self._money.append(wish)
        self._hurry()

    def settle(self, operation: Kept) -> None:
        """The operation will be committed after all that was handed in before."""
        if self.is_full and isinstance(operation, LedgerEntry):
            self._write_down(operation)
            return
        self._money.append(operation)  # a void always fits: there are no more of them than requests in flight
        self._stir()

    def add(self, entry: LedgerEntry) -> None:
        """A row without external money will be committed."""
        if self.is_full:
            self._write_down(entry)
            return
        self._rows.append(entry)
        if len(self._rows) >= ROW_GROUP:
            self._hurry()
        else:
            self._stir()

    def flush(self, timeout_s: float) -> bool:
        """Wait until everything handed in before is committed; False when that took too long. For threads only."""
        deadline_s = time.monotonic() + timeout_s
        while self.backlog and time.monotonic() < deadline_s:
            time.sleep(0.001)
        return not self.backlog

    def recovered(self, timeout_s: float) -> bool:
        """Wait until what dead holders left is booked and journals are replayed, once. For threads only."""
        return self._chores_done.wait(timeout_s)

    def close(self) -> None:
        """Afterwards everything handed in is in the database or in the journal, and the thread has ended or is stuck
        in a call that no longer matters.
        """
        self._closing.set()
        self._hurry()
        backlog, patient_until_s = self.backlog, time.monotonic() + CLOSE_PATIENCE_S
        while self._thread.is_alive() and time.monotonic() < patient_until_s:
            self._thread.join(timeout=0.05)
            if self.backlog < backlog:
                backlog, patient_until_s = self.backlog, time.monotonic() + CLOSE_PATIENCE_S
        for waiting in (*self._money.copy(), *self._rows.copy()):
            if not isinstance(waiting, Wish):
                self._write_down(waiting)
        if self.backlog:
            log.warning("ledger_closed_without_database", journaled=self.backlog, lost=self.lost_entries)
        self._journal.close()

    def _stir(self) -> None:
        if not self._wake.is_set():
            self._wake.set()

    def _hurry(self) -> None:
        if not self._urgent.is_set():
            self._urgent.set()
        self._stir()

    def _write_down(self, operation: Kept) -> None:
        try:
            self._journal.append(operation)
        except OSError as error:
            self.lost_entries += 1
            log.error("ledger_row_lost", reason=error.strerror, lost=self.lost_entries)

    def _run(self) -> None:
        while True:
            self._wake.wait(timeout=max(0.0, self._chores_at_s - time.monotonic()))
            self._wake.clear()
            if not self._closing.is_set():
                self._urgent.wait(self._group_commit_s)
            self._urgent.clear()
            try:
                self._work()
            except (SQLAlchemyError, OSError) as error:
                self._failed(error)
            else:
                self.failing = False
            if self._closing.is_set() and (self.failing or not self.backlog):
                self._transactions.close()
                return

    def _failed(self, error: Exception) -> None:
        """Nobody waits for a database that does not answer; it is asked again soon."""
        if not self.failing:
            log.warning("ledger_write_failed", error=type(error).__name__, backlog=self.backlog)
        self.failing = self._careful = True
        for waiting in self._money.copy():
            if isinstance(waiting, Wish):
                waiting.refuse_soon()
        self._chores_at_s = 0.0
        self._closing.wait(RETRY_S)
        self._wake.set()

    def _work(self) -> None:
        if not self._registered:  # before the first reservation: only a known holder can be known to be dead
            with self._transactions.begin(wait_s=LOCK_WAIT_S) as connection:
                self._recovery.be_seen(connection, time.time())
            self._registered = True
        worked = True
        while worked:
            worked = bool(self._money or self._rows)
            if self._money:
                self._take(self._money, MONEY_GROUP, self._commit_money)
            if time.monotonic() >= self._chores_at_s:
                self._do_chores()
            if self._rows:
                self._take(self._rows, ROW_GROUP, self._commit_rows)
        if self._closing.is_set():
            with self._transactions.begin(wait_s=LOCK_WAIT_S) as connection:
                self._recovery.leave(connection)

    def _take(self, queue: deque[T], most: int, commit: Callable[[list[T]], None]) -> None:
        """The head of the queue is committed and gone. A row that cannot be stored stops no other for long."""
        size = 1 if self._suspect >= _SUSPECT_AFTER else most
        group = [queue[at] for at in range(min(size, len(queue)))]
        try:
            commit(group)
        except UNSTORABLE as error:
            self._careful = True
            self._suspect += 1
            if self._suspect > _SUSPECT_AFTER:
                self._give_up(queue.popleft(), error)
            return
        self._careful, self._suspect = False, 0
        for _ in group:
            queue.popleft()

    def _give_up(self, refused: Waiting, error: Exception) -> None:
        self._suspect = 0
        self.lost_entries += 1
        request_id = refused.reservation.request_id if isinstance(refused, Wish) else refused.request_id
        log.error("ledger_row_refused", error=type(error).__name__, request_id=ascii(request_id))
        if isinstance(refused, Wish):
            refused.refuse_soon()

    def _commit_money(self, group: list[Waiting]) -> None:
        asked = [waiting for waiting in group if not isinstance(waiting, Wish) or not waiting.future.done()]
        operations = [waiting.reservation if isinstance(waiting, Wish) else waiting for waiting in asked]
        verdicts = self._carry_out(operations, careful=self._careful)
        told = zip(asked, verdicts, strict=True)
        tell([(one, said) for one, said in told if isinstance(one, Wish) and said is not None], self._unheard)

    def _unheard(self, wish: Wish) -> None:
        self.settle(Void(wish.reservation.request_id))

    def _carry_out(self, operations: list[Operation], *, careful: bool) -> list[Verdict | None]:
        with self._transactions.begin(wait_s=LOCK_WAIT_S) as connection:
            if __debug__:
                failpoints.hit("ledger.money.begun")
            verdicts = self._desk.carry_out(connection, operations, careful=careful)
            if __debug__:
                failpoints.hit("ledger.money.before_commit")
        if __debug__:
            failpoints.hit("ledger.money.after_commit")
        self._desk.committed(operations, verdicts)
        return verdicts

    def _commit_rows(self, group: list[LedgerEntry]) -> None:
        rows = [entry_row(entry) for entry in group]
        with self._transactions.begin(wait_s=LOCK_WAIT_S) as connection:
            self._rows_in.insert(connection, storable(rows) if self._careful else rows)
            if __debug__:
                failpoints.hit("ledger.rows.before_commit")
        if __debug__:
            failpoints.hit("ledger.rows.after_commit")

    def _do_chores(self) -> None:
        """Be seen, give up what is lost, replay what was written down."""
        while self._sweep() == SWEEP_ROWS:
            pass
        with self._journal.orphans() as chunks:
            for chunk in chunks:
                self._carry_out(list(chunk), careful=True)
                if __debug__:
                    failpoints.hit("ledger.journal.replayed")
        self._chores_at_s = time.monotonic() + SEEN_INTERVAL_S
        self._chores_done.set()

    def _sweep(self) -> int:
        now_s = time.time()
        with self._transactions.begin(wait_s=LOCK_WAIT_S) as connection:
            self._recovery.be_seen(connection, now_s)
            self._recovery.clear_hours(connection, now_s)
            lost = [unknown_entry(held) for held in self._recovery.lost(connection, now_s)]
            if lost:
                self._desk.carry_out(connection, lost, careful=True)
            if __debug__:
                failpoints.hit("ledger.sweep.before_commit")
        if __debug__:
            failpoints.hit("ledger.sweep.after_commit")
        self._recovery.was_seen()
        if lost:
            self._desk.committed(lost, [None] * len(lost))
            cost_nanousd = sum(entry.cost_nanousd for entry in lost)
            log.warning("ledger_outcomes_unknown", requests=len(lost), estimate_nanousd=cost_nanousd)
        return len(lost)
