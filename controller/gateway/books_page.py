"""`/v1/books` of the admin port: what was spent today and what tenants have used of their limits, out of the database.

For `spillway status` on a cluster, which does not reach the database. However many ask, it is read once in a while.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import orjson
import structlog

from controller.core.errors import SpillwayError

log = structlog.get_logger()

KEPT_S = 5.0
PATIENCE_S = 2.5  # of who asks; the reading goes on for the next one

ReadBooks = Callable[[], Mapping[str, object]]


class BooksPage:
    """`read` takes a while, on a thread; amounts become text, so that they stay exact."""

    def __init__(self, read: ReadBooks, now_s: Callable[[], float], *, patience_s: float = PATIENCE_S) -> None:
        self._read = read
        self._now_s = now_s
        self._patience_s = patience_s
        self._reading: asyncio.Future[bytes | None] | None = None
        self._body: bytes | None = None
        self._read_at_s = 0.0

    async def body(self) -> bytes | None:
        """One JSON object, some seconds old at most; None where the database does not say it in time."""
        if self._body is not None and self._now_s() - self._read_at_s < KEPT_S:
            return self._body
        if self._reading is None or self._reading.done():
            self._reading = asyncio.get_running_loop().run_in_executor(None, self._fresh)
            self._reading.add_done_callback(self._take)
        try:
            async with asyncio.timeout(self._patience_s):
                await asyncio.shield(self._reading)
        except TimeoutError:
            return None
        return self._body

    def _take(self, reading: asyncio.Future[bytes | None]) -> None:
        """Also when nobody waits for it any more."""
        failed = reading.cancelled() or reading.exception() is not None
        self._body, self._read_at_s = None if failed else reading.result(), self._now_s()

    def _fresh(self) -> bytes | None:
        try:
            return orjson.dumps(self._read(), default=str)
        except SpillwayError as error:
            log.warning("books_not_read", error=str(error))
            return None
