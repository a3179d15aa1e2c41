"""The ledger in SQLite: one row per finished request, written by a thread in groups; budgets are kept in memory.

The gateway calls `reserve` before it buys, `post` when a request ends, `void` when a purchase did not happen. None of
them touches the disk. When the disk is stuck and the queue is full, purchases are refused (reserve is False) and own
pools go on; rows over the limit are counted as lost and logged. Readers (the CLI) use `ledger_reader`.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from itertools import chain, islice
from pathlib import Path

import orjson
import structlog
from sqlalchemy import Connection, Dialect, insert
from sqlalchemy.exc import SQLAlchemyError

from controller.adapters.database import open_database, writing
from controller.adapters.database_tables import ledger
from controller.adapters.ledger_reader import LedgerReader
from controller.adapters.tenant_budgets import TenantBudgets
from controller.config.settings import BudgetSettings
from controller.core.ledger import AttemptRecord, LedgerEntry
from controller.core.requests import TargetKind

log = structlog.get_logger()

GROUP_COMMIT_S = 0.010  # rows of this long share one commit
QUEUE_ENTRIES = 65_536  # about 13 s at 5,000 req/s with a disk that does not answer
BATCH_ENTRIES = 2_000
RETRY_S = 0.25
CLOSE_TIMEOUT_S = 10.0

_UNSTORABLE = (OverflowError, UnicodeEncodeError, TypeError)  # a number over 64 bits, a lone surrogate
_COLUMNS = tuple(column.name for column in ledger.columns)


# Rows per statement: a statement lets go of the interpreter's lock once, however many rows it has, so fewer of them
# disturb the event loop less; few sizes, so that SQLite compiles each once.
_STATEMENT_ROWS = (64, 8, 1)


def _insert_sql(dialect: Dialect) -> dict[int, str]:
    """The statements by number of rows."""
    single = str(insert(ledger).prefix_with("OR IGNORE").compile(dialect=dialect, column_keys=list(_COLUMNS)))
    head, _, values = single.partition(" VALUES ")
    return {rows: f"{head} VALUES {', '.join([values] * rows)}" for rows in _STATEMENT_ROWS}


def _attempt_row(attempt: AttemptRecord) -> dict[str, object]:
    return {
        "target": attempt.target,
        "kind": attempt.kind.value,
        "model_key": attempt.model_key,
        "replica_id": attempt.replica_id,
        "outcome": attempt.outcome,
        "status": attempt.status,
        "started_after_s": attempt.started_after_s,
        "took_s": attempt.took_s,
    }


def entry_row(entry: LedgerEntry) -> tuple[object, ...]:
    """The entry as a row, in the order of the table's columns."""
    usage = entry.usage
    return (
        entry.request_id,
        entry.at_s,
        entry.tenant,
        entry.key_id,
        entry.operation,
        entry.requested_model,
        entry.task,
        entry.complexity,
        entry.status,
        None if entry.target_kind is None else entry.target_kind.value,
        entry.target,
        entry.model_key,
        entry.model_id,
        entry.replica_id,
        usage.input_tokens,
        usage.cached_input_tokens,
        usage.output_tokens,
        usage.estimated,
        entry.cost_nanousd,
        entry.spilled,
        entry.reason,
        orjson.dumps(entry.chain).decode(),
        orjson.dumps([_attempt_row(attempt) for attempt in entry.attempts]).decode(),
        entry.predicted_ttft_s,
        entry.ttft_s,
        entry.e2e_s,
        entry.error,
        entry.simulated,
        entry.stream,
        entry.gpu_s,
        entry.outcome_unknown,
    )


class LedgerStore:
    """The gateway's ledger. `reserve`, `post` and `void` are memory only and may be called from any thread."""

    def __init__(
        self,
        path: Path,
        budgets: BudgetSettings,
        *,
        now_s: float | None = None,
        group_commit_s: float = GROUP_COMMIT_S,
        queue_entries: int = QUEUE_ENTRIES,
    ) -> None:
        self._engine = open_database(path)
        self.reader = LedgerReader(self._engine)
        self._sql = _insert_sql(self._engine.dialect)
        self._group_commit_s = group_commit_s
        self._queue_entries = queue_entries
        self._queue: deque[LedgerEntry] = deque()
        self._wake = threading.Event()
        self._closing = False
        self._lost = 0
        at_s = time.time() if now_s is None else now_s
        self._budgets = TenantBudgets(budgets, self.reader.external_spend_of_day(at_s), now_s=at_s)
        self._thread = threading.Thread(target=self._run, name="ledger-writer", daemon=True)
        self._thread.start()

    @property
    def backlog_entries(self) -> int:
        """Rows that wait for the disk."""
        return len(self._queue)

    @property
    def lost_entries(self) -> int:
        """Rows dropped because the queue was full; 0 unless the disk was stuck for many seconds."""
        return self._lost

    def reserve(self, request_id: str, tenant: str, amount_nanousd: int, now_s: float) -> bool:
        """Whether the tenant may buy for this much today; when True the amount is set aside until post or void."""
        if len(self._queue) >= self._queue_entries:
            return False  # what is bought now could not be written down
        return self._budgets.reserve(request_id, tenant, amount_nanousd, now_s)

    def void(self, request_id: str) -> None:
        """The purchase did not happen: what was set aside is free again. Unknown ids are fine."""
        self._budgets.void(request_id)

    def post(self, entry: LedgerEntry) -> None:
        """The entry counts at once and is on the disk within milliseconds; a second post of an id changes nothing."""
        bought_nanousd = entry.cost_nanousd if entry.target_kind is TargetKind.EXTERNAL else 0
        self._budgets.settle(entry.request_id, entry.tenant, bought_nanousd, entry.at_s)
        if len(self._queue) >= self._queue_entries:
            self._lost += 1
            return
        self._queue.append(entry)
        if not self._wake.is_set():
            self._wake.set()

    def spent_nanousd(self, tenant: str) -> int:
        """What the tenant has bought today."""
        return self._budgets.spent_nanousd(tenant)

    def reserved_nanousd(self, tenant: str) -> int:
        """What is set aside for the tenant's requests under way."""
        return self._budgets.reserved_nanousd(tenant)

    def flush(self, timeout_s: float = CLOSE_TIMEOUT_S) -> bool:
        """Wait until every row posted before is on the disk; False when that took too long. For threads only."""
        deadline_s = time.monotonic() + timeout_s
        while self._queue and time.monotonic() < deadline_s:
            time.sleep(0.001)
        return not self._queue

    def close(self) -> None:
        """Afterwards every posted row is on the disk (or logged as lost), the thread has ended, the file is closed."""
        self._closing = True
        self._wake.set()
        self._thread.join(timeout=CLOSE_TIMEOUT_S)
        if self._queue:
            log.error("ledger_rows_lost", rows=len(self._queue), reason="disk did not answer before close")
        self._engine.dispose()

    def _run(self) -> None:
        reported_lost = 0
        give_up_s: float | None = None
        while True:
            self._wake.wait()
            self._wake.clear()
            if self._closing and give_up_s is None:
                give_up_s = time.monotonic() + CLOSE_TIMEOUT_S / 2
            if not self._closing:
                time.sleep(self._group_commit_s)
            if not self._write_all(give_up_s):
                return
            if self._lost > reported_lost:
                log.error("ledger_rows_lost", rows=self._lost - reported_lost, reason="queue full")
                reported_lost = self._lost
            if self._closing and not self._queue:
                return

    def _write_all(self, give_up_s: float | None) -> bool:
        """Write until the queue is empty, again and again while the database is locked; False when closing gave up."""
        while self._queue:
            try:
                with writing(self._engine).begin() as connection:
                    written = self._write_batch(connection)
            except SQLAlchemyError as error:
                log.warning("ledger_write_failed", error=type(error).__name__, backlog=len(self._queue))
                if give_up_s is None and self._closing:
                    give_up_s = time.monotonic() + CLOSE_TIMEOUT_S / 2
                if give_up_s is not None and time.monotonic() > give_up_s:
                    return False
                time.sleep(RETRY_S)
                continue
            for _ in range(written):  # only once they are committed: a failed commit leaves them queued
                self._queue.popleft()
        return True

    def _write_batch(self, connection: Connection) -> int:
        rows = [entry_row(entry) for entry in islice(self._queue.copy(), BATCH_ENTRIES)]
        written = 0
        while written < len(rows):
            size = next(size for size in _STATEMENT_ROWS if size <= len(rows) - written)
            group = rows[written : written + size]
            try:
                connection.exec_driver_sql(self._sql[size], tuple(chain.from_iterable(group)))
            except _UNSTORABLE:
                self._write_singly(connection, group)
            written += size
        return written

    def _write_singly(self, connection: Connection, rows: list[tuple[object, ...]]) -> None:
        """Keep every row but those that SQLite cannot hold: one bad value must not stop the others."""
        for row in rows:
            try:
                connection.exec_driver_sql(self._sql[1], row)
            except _UNSTORABLE as error:
                log.error("ledger_row_refused", error=type(error).__name__, request_id=ascii(row[0]))
                self._lost += 1
