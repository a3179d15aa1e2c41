"""API keys in the database for the CLI (`KeyTable`), and a copy in memory for the gateway's hot path (`KeySnapshot`).

Only HMAC-SHA256(pepper, secret) of a 256-bit secret is stored, so the table alone is useless. Changes are numbered one
after the other, so a snapshot that reads what is newer than the last one it saw misses none.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog
from sqlalchemy import Connection, Row, func, insert, select, update
from sqlalchemy.exc import SQLAlchemyError

from controller.adapters.database import Place, open_database, writing
from controller.adapters.database_tables import api_key
from controller.adapters.peppers import Peppers
from controller.core.keys import SECRET_CHARS, KeyRecord, key_digest, key_matches, key_text, split_key

log = structlog.get_logger()

PUBLIC_ID_BYTES = 6
REFRESH_INTERVAL_S = 1.0
_NEXT_REVISION = select(func.coalesce(func.max(api_key.c.revision), 0) + 1).scalar_subquery()


def _record(row: Row[tuple[object, ...]]) -> KeyRecord:
    return KeyRecord(
        public_id=row.public_id,
        tenant=row.tenant,
        name=row.name,
        digest=row.digest,
        created_at_s=row.created_at_s,
        revoked_at_s=row.revoked_at_s,
        pepper_id=row.pepper_id,
    )


class KeyTable:
    """The table of keys. Short synchronous calls: for the CLI and for threads, never for the event loop."""

    def __init__(self, place: Place, pepper_path: Path) -> None:
        self.peppers = Peppers(pepper_path)
        self._engine = open_database(place)

    def create(self, tenant: str, name: str, *, now_s: float) -> tuple[str, KeyRecord]:
        """A new key: its text, which is stored nowhere, and its record."""
        secret = secrets.token_hex(SECRET_CHARS // 2)
        pepper_id = self.peppers.newest()
        record = KeyRecord(
            public_id=secrets.token_hex(PUBLIC_ID_BYTES),
            tenant=tenant,
            name=name,
            digest=key_digest(self.peppers.of(pepper_id), secret),
            created_at_s=now_s,
            pepper_id=pepper_id,
        )
        with self._changing() as connection:
            connection.execute(
                insert(api_key).values(
                    public_id=record.public_id,
                    tenant=tenant,
                    name=name,
                    digest=record.digest,
                    created_at_s=now_s,
                    pepper_id=pepper_id,
                    revision=_NEXT_REVISION,
                )
            )
        return key_text(record.public_id, secret), record

    def list(self) -> tuple[KeyRecord, ...]:
        """Every key ever made, oldest first, revoked ones too."""
        with self._engine.connect() as connection:
            rows = connection.execute(select(api_key).order_by(api_key.c.created_at_s, api_key.c.public_id))
            return tuple(_record(row) for row in rows)

    def find(self, public_id: str) -> KeyRecord | None:
        """One key, or None."""
        with self._engine.connect() as connection:
            row = connection.execute(select(api_key).where(api_key.c.public_id == public_id)).one_or_none()
            return None if row is None else _record(row)

    def is_good(self, text: str) -> bool:
        """Whether the text is that of a live key."""
        public_id, secret = split_key(text) or ("", "")
        record = self.find(public_id)
        return record is not None and key_matches(record, self.peppers.of(record.pepper_id), secret)

    def revoke(self, public_id: str, *, now_s: float) -> bool:
        """Whether this call revoked it: False when it was revoked already or is unknown."""
        statement = (
            update(api_key)
            .where(api_key.c.public_id == public_id, api_key.c.revoked_at_s.is_(None))
            .values(revoked_at_s=now_s, revision=_NEXT_REVISION)
        )
        with self._changing() as connection:
            return connection.execute(statement).rowcount > 0

    def changed_since(self, revision: int) -> tuple[int, tuple[KeyRecord, ...]]:
        """The newest revision, and every key made or revoked after the given one."""
        with self._engine.connect() as connection:
            rows = connection.execute(select(api_key).where(api_key.c.revision > revision)).all()
        return max((row.revision for row in rows), default=revision), tuple(_record(row) for row in rows)

    @contextmanager
    def _changing(self) -> Iterator[Connection]:
        """One change at a time, or two at once would get the same revision, and a snapshot see only one of them."""
        with writing(self._engine).begin() as connection:
            if connection.dialect.name != "sqlite":
                connection.exec_driver_sql("LOCK TABLE api_key IN SHARE ROW EXCLUSIVE MODE")
            yield connection

    def close(self) -> None:
        """Afterwards no connection is open."""
        self._engine.dispose()


def any_key(place: Place) -> bool:
    """Whether the database has a key; one that is not there is not made."""
    if isinstance(place, Path) and not place.exists():
        return False
    engine = open_database(place)
    try:
        with engine.connect() as connection:
            return connection.execute(select(api_key.c.public_id).limit(1)).first() is not None
    finally:
        engine.dispose()


class KeySnapshot:
    """The keys in memory: lookup is a dict read; a thread reads what changed each second, revocations too."""

    def __init__(self, keys: KeyTable, *, refresh_interval_s: float = REFRESH_INTERVAL_S) -> None:
        self._keys = keys
        self._refresh_interval_s = refresh_interval_s
        self.revision = 0  # grows with every change that the snapshot has seen
        self._by_public_id: dict[str, KeyRecord] = {}
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.refreshed_at_s = 0.0  # monotonic seconds of the last good read: readiness may look at it
        self.refresh()

    @property
    def pepper(self) -> bytes:
        """The first of the installation."""
        return self._keys.peppers.first

    def pepper_of(self, record: KeyRecord) -> bytes:
        """What the digest of the key is keyed with."""
        return self._keys.peppers.of(record.pepper_id)

    def lookup(self, public_id: str) -> KeyRecord | None:
        """The record, revoked or not, or None when there is no such key."""
        return self._by_public_id.get(public_id)

    def refresh(self) -> None:
        """Afterwards the snapshot knows every key made or revoked before this call."""
        revision, changed = self._keys.changed_since(self.revision)
        for record in changed:
            self._by_public_id[record.public_id] = record
        self.revision = revision  # last: who sees it finds the records
        self.refreshed_at_s = time.monotonic()

    def start(self) -> None:
        """Afterwards a thread keeps the snapshot fresh until `close()`."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="key-snapshot", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(self._refresh_interval_s):
            try:
                self.refresh()
            except SQLAlchemyError as error:  # a locked or full disk: keep the last good keys, say so, try again
                log.warning("key_refresh_failed", error=type(error).__name__)

    def close(self) -> None:
        """Afterwards the thread has ended and the database is closed."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=10.0)
        self._keys.close()
