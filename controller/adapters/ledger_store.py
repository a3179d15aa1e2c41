"""The gateway's ledger: reserve before an external call, post when a request ends, void when a purchase did not happen.

A reservation is a row of the database, committed before `reserve` says GRANTED; sums of what is spent and reserved are
rows too, changed in the same transaction, so spent + reserved stays within every limit however many processes share the
database, and whichever of them is killed. `post` and `void` are memory only: a thread commits them in groups. When the
database does not answer, nothing is bought (reserve says UNAVAILABLE after 50 ms, not counting what its own process
computes), own pools go on, and rows wait in memory, then in a journal. Readers (the CLI) use `ledger_reader`.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from controller.adapters.database import Place, open_database
from controller.adapters.ledger_journal import Journal
from controller.adapters.ledger_money import MoneyDesk, Void
from controller.adapters.ledger_reader import LedgerReader
from controller.adapters.ledger_recovery import Recovery, new_holder
from controller.adapters.ledger_wishes import Wish
from controller.adapters.ledger_writer import GROUP_COMMIT_S, QUEUE_ENTRIES, LedgerWriter
from controller.core.ledger import Backlog, LedgerEntry, Reservation, Verdict
from controller.core.requests import TargetKind
from controller.routing.budget import HourLimitOf, LimitsOf, hour_limits

RESERVE_WAIT_S = 0.050  # the request path waits no longer for a database that is locked or gone
FLUSH_TIMEOUT_S = 10.0
NO_HOUR_LIMITS = hour_limits({})


class LedgerStore:
    """One per gateway process. Fits the gateway's port `Ledger`."""

    def __init__(
        self,
        place: Place,
        limits_of: LimitsOf,
        hour_limit_of: HourLimitOf = NO_HOUR_LIMITS,
        *,
        journal_folder: Path,
        group_commit_s: float = GROUP_COMMIT_S,
        queue_entries: int = QUEUE_ENTRIES,
        reserve_wait_s: float = RESERVE_WAIT_S,
    ) -> None:
        self._reserve_wait_s = reserve_wait_s
        holder = new_holder()
        self._engine = open_database(place, busy_timeout_ms=0)
        self._desk = MoneyDesk(self._engine.dialect, holder=holder, limits_of=limits_of, hour_limit_of=hour_limit_of)
        self._writer = LedgerWriter(
            self._engine,
            self._desk,
            Journal(journal_folder, holder),
            Recovery(holder),
            group_commit_s=group_commit_s,
            queue_entries=queue_entries,
        )
        self.reader = LedgerReader(self._engine)

    def reconfigure(self, limits_of: LimitsOf, hour_limit_of: HourLimitOf, reserve_wait_s: float) -> None:
        """The budgets from now on; what is spent and reserved counts under the new ones."""
        self._desk.limits_of, self._desk.hour_limit_of = limits_of, hour_limit_of
        self._reserve_wait_s = reserve_wait_s

    def backlog(self) -> Backlog:
        """What waits for its commit now."""
        ended_s = (row.at_s + row.e2e_s for row in self._writer.oldest())
        now_s = time.time()
        return Backlog(rows=self._writer.backlog, oldest_s=max(0.0, now_s - min(ended_s, default=now_s)))

    @property
    def lost_entries(self) -> int:
        """Rows that neither the database nor the journal could take."""
        return self._writer.lost_entries

    async def reserve(self, wish: Reservation) -> Verdict:
        """GRANTED: the amount is set aside, on the disk, until post, void or expiry. It takes the place of an earlier
        reservation of the same request.
        """
        writer = self._writer
        if writer.failing or writer.is_full:
            return Verdict.UNAVAILABLE
        waiting = Wish(wish, asyncio.get_running_loop().create_future())
        writer.ask(waiting)
        try:
            return await waiting.verdict(self._reserve_wait_s)
        except asyncio.CancelledError:
            future = waiting.future
            if future.done() and not future.cancelled() and future.result() is Verdict.GRANTED:
                self.void(wish.request_id)  # told in the very moment in which the caller left
            raise

    def void(self, request_id: str) -> None:
        """The purchase did not happen: what was set aside will be free again. Unknown ids are fine."""
        if request_id in self._desk.held:
            self._writer.settle(Void(request_id))

    def post(self, entry: LedgerEntry) -> None:
        """The entry is in the database soon, its reservation settled; a second post changes nothing."""
        if entry.target_kind is TargetKind.EXTERNAL or entry.request_id in self._desk.held:
            self._writer.settle(entry)
        else:
            self._writer.add(entry)

    def flush(self, timeout_s: float = FLUSH_TIMEOUT_S) -> bool:
        """Wait until all that was handed in before is committed; False when that took too long. For threads only."""
        return self._writer.flush(timeout_s)

    def recovered(self, timeout_s: float = FLUSH_TIMEOUT_S) -> bool:
        """Wait until what earlier processes left undone is in the books; False when that took too long."""
        return self._writer.recovered(timeout_s)

    def close(self) -> None:
        """Afterwards everything posted is in the database, or in the journal when that does not answer."""
        self._writer.close()
        self._engine.dispose()
