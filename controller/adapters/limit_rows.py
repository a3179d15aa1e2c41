"""Requests and tokens per minute in the database: a row per tenant and minute, of which gateways lease slices.

A row is read under its lock and then changed, so what is granted never passes the limit, whoever asks at once. Rows
are locked in one order: gateways that move several never wait for each other in a circle.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import structlog
from sqlalchemy import Connection, Engine, delete, select, text, update
from sqlalchemy.exc import SQLAlchemyError

from controller.adapters.database import DatabaseUnavailable, Place, open_database, writing
from controller.adapters.database_tables import rate_minute
from controller.core.rate_limits import Amounts, LimitMove, LimitRow, LimitsUnavailable
from controller.routing.rate_limit import granted

log = structlog.get_logger()

BUSY_TIMEOUT_MS = 1000
KEPT_MINUTES = 60
_MAKE = text(
    "INSERT INTO rate_minute (tenant, minute, requests, tokens) VALUES (:tenant, :minute, 0, 0) ON CONFLICT DO NOTHING"
)


class LimitRows:
    """Satisfies `gateway.ports.LimitRows`: one thread, one transaction per call. Opened when it is first needed."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._opened: Engine | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="limit-rows")
        self._cleared_at = 0

    async def move(self, moves: Sequence[LimitMove]) -> Sequence[LimitRow]:
        """What became of each, in their order; LimitsUnavailable when that is not known."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self.move_now, moves)

    def move_now(self, moves: Sequence[LimitMove]) -> Sequence[LimitRow]:
        """The same, for a thread."""
        order = sorted(range(len(moves)), key=lambda index: (moves[index].minute, moves[index].tenant))
        try:
            with writing(self._engine()).begin() as connection:
                rows = {index: _moved(connection, moves[index]) for index in order}
        except (SQLAlchemyError, DatabaseUnavailable) as error:
            raise LimitsUnavailable(type(error).__name__) from error
        self._clear(max((move.minute for move in moves), default=0))
        return [rows[index] for index in range(len(moves))]

    def close(self) -> None:
        """Afterwards the thread has ended and no connection is open."""
        self._thread.shutdown(wait=True, cancel_futures=True)
        if self._opened is not None:
            self._opened.dispose()

    def _engine(self) -> Engine:
        if self._opened is None:
            self._opened = open_database(self._place, busy_timeout_ms=BUSY_TIMEOUT_MS)
        return self._opened

    def _clear(self, minute: int) -> None:
        """Rows of an hour ago go, once a minute; a failure only leaves them for the next time."""
        if minute <= self._cleared_at:
            return
        self._cleared_at = minute
        try:
            with writing(self._engine()).begin() as connection:
                connection.execute(delete(rate_minute).where(rate_minute.c.minute < minute - KEPT_MINUTES))
        except SQLAlchemyError as error:
            log.warning("limit_rows_not_cleared", error=type(error).__name__)


def _moved(connection: Connection, move: LimitMove) -> LimitRow:
    of_move = (rate_minute.c.tenant == move.tenant, rate_minute.c.minute == move.minute)
    read = select(rate_minute.c.requests, rate_minute.c.tokens).where(*of_move).with_for_update()
    row = connection.execute(read).one_or_none()
    if row is None:
        connection.execute(_MAKE, {"tenant": move.tenant, "minute": move.minute})
        row = connection.execute(read).one()
    got = Amounts(
        requests=granted(move.requests_limit, row.requests, move.wish.requests),
        tokens=granted(move.tokens_limit, row.tokens, move.wish.tokens),
    )
    now = Amounts(requests=row.requests + got.requests, tokens=row.tokens + got.tokens)
    if now.requests != row.requests or now.tokens != row.tokens:
        connection.execute(update(rate_minute).where(*of_move).values(requests=now.requests, tokens=now.tokens))
    return LimitRow(got=got, granted=now)
