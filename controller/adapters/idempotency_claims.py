"""Claims on Idempotency-Keys in the database, so that of many gateways one answers and pays.

A row is made or taken over in one statement: whoever asks at once, one gets it. Rows hold keyed digests only.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from sqlalchemy import Connection, Engine, delete, select, text, update
from sqlalchemy.exc import SQLAlchemyError

from controller.adapters.database import DatabaseUnavailable, Place, open_database, writing
from controller.adapters.database_tables import idempotency_key
from controller.core.idempotency import Claim, ClaimsUnavailable

BUSY_TIMEOUT_MS = 1000
CLEAR_EVERY_S = 60.0
_CLAIM = text(
    "INSERT INTO idempotency_key (key, digest, holder, nonce, finished, expires_at_s)"
    " VALUES (:key, :digest, :holder, :nonce, :unfinished, :expires_at_s)"
    " ON CONFLICT (key) DO UPDATE SET digest = excluded.digest, holder = excluded.holder, nonce = excluded.nonce,"
    " finished = excluded.finished, expires_at_s = excluded.expires_at_s"
    " WHERE idempotency_key.expires_at_s <= :now_s"
    " OR (idempotency_key.holder = excluded.holder AND NOT idempotency_key.finished)"
)

Result = TypeVar("Result")


class IdempotencyClaims:
    """Satisfies `gateway.ports.IdempotencyClaims`: one thread, one transaction per call; opened when first needed."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._holder = secrets.token_hex(16)
        self._opened: Engine | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="idempotency-claims")
        self._cleared_at_s = 0.0

    async def claim(self, key: bytes, digest: bytes, nonce: bytes, *, now_s: float, expires_at_s: float) -> Claim:
        """Whether it is ours to answer until then; one of ours that was not finished is taken anew."""

        def claimed(connection: Connection) -> Claim:
            self._clear(connection, now_s)
            row = {"key": key, "digest": digest, "holder": self._holder, "nonce": nonce, "unfinished": False}
            if connection.execute(_CLAIM, {**row, "now_s": now_s, "expires_at_s": expires_at_s}).rowcount:
                return Claim.GRANTED
            theirs = select(idempotency_key.c.digest, idempotency_key.c.finished).where(idempotency_key.c.key == key)
            other, finished = connection.execute(theirs).one()
            if other != digest:
                return Claim.REUSED
            return Claim.ANSWERED if finished else Claim.TAKEN

        return await self._run(claimed)

    async def finish(self, key: bytes, nonce: bytes, *, expires_at_s: float) -> None:
        """It was answered: nobody answers it again until then."""
        statement = (
            update(idempotency_key)
            .where(idempotency_key.c.key == key, idempotency_key.c.nonce == nonce)
            .values(finished=True, expires_at_s=expires_at_s)
        )
        await self._run(lambda connection: connection.execute(statement))

    async def release(self, key: bytes, nonce: bytes) -> None:
        """It was not: the key is free, unless a newer claim has it."""
        statement = delete(idempotency_key).where(idempotency_key.c.key == key, idempotency_key.c.nonce == nonce)
        await self._run(lambda connection: connection.execute(statement))

    def close(self) -> None:
        """Afterwards the thread has ended and no connection is open."""
        self._thread.shutdown(wait=True, cancel_futures=True)
        if self._opened is not None:
            self._opened.dispose()

    async def _run(self, work: Callable[[Connection], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._now, work)

    def _now(self, work: Callable[[Connection], Result]) -> Result:
        try:
            if self._opened is None:
                self._opened = open_database(self._place, busy_timeout_ms=BUSY_TIMEOUT_MS)
            with writing(self._opened).begin() as connection:
                return work(connection)
        except (SQLAlchemyError, DatabaseUnavailable) as error:
            raise ClaimsUnavailable(type(error).__name__) from error

    def _clear(self, connection: Connection, now_s: float) -> None:
        """Rows whose time has passed go, once a minute."""
        if now_s < self._cleared_at_s + CLEAR_EVERY_S:
            return
        self._cleared_at_s = now_s
        connection.execute(delete(idempotency_key).where(idempotency_key.c.expires_at_s <= now_s))
