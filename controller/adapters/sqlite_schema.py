"""The tables of spillway.db and how to open it; the ledger and the key store call this.

Pragmas, with reasons: WAL, so that the CLI reads while the gateway writes. synchronous=FULL, because rows are money:
each group commit is on the disk when it returns (NORMAL would lose every commit since the last checkpoint in a power
cut); commits are grouped and run in a thread, so the extra fsync costs no request anything.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Engine,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    create_engine,
    event,
)
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.schema import CreateIndex, CreateTable

from controller.core.errors import SpillwayError

SCHEMA_VERSION = 1
BUSY_TIMEOUT_MS = 5000
OPEN_TIMEOUT_S = 10.0

metadata = MetaData()

api_key = Table(
    "api_key",
    metadata,
    Column("public_id", Text, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("digest", LargeBinary, CheckConstraint("length(digest) = 32"), nullable=False),
    Column("created_at_s", Float, nullable=False),
    Column("revoked_at_s", Float),
    Column("revision", Integer, nullable=False),  # grows with every change: a snapshot reads only what is new
)
Index("api_key_revision", api_key.c.revision)

ledger = Table(
    "ledger",
    metadata,
    Column("request_id", Text, primary_key=True),
    Column("at_s", Float, nullable=False),
    Column("tenant", Text, nullable=False),
    Column("key_id", Text, nullable=False),
    Column("operation", Text, nullable=False),
    Column("requested_model", Text, nullable=False),
    Column("task", Text),
    Column("complexity", Text, nullable=False),
    Column("status", Integer, nullable=False),
    Column("target_kind", Text),
    Column("target", Text),
    Column("model_key", Text),
    Column("model_id", Text),
    Column("replica_id", Text),
    Column("input_tokens", Integer, nullable=False),
    Column("cached_input_tokens", Integer, nullable=False),
    Column("output_tokens", Integer, nullable=False),
    Column("usage_estimated", Boolean, nullable=False),
    Column("cost_nanousd", BigInteger, nullable=False),
    Column("spilled", Boolean, nullable=False),
    Column("reason", Text, nullable=False),
    Column("chain", Text, nullable=False),  # JSON list
    Column("attempts", Text, nullable=False),  # JSON list of objects
    Column("predicted_ttft_s", Float),
    Column("ttft_s", Float),
    Column("e2e_s", Float, nullable=False),
    Column("error", Text),
    Column("simulated", Boolean, nullable=False),
    Column("stream", Boolean, nullable=False),
)
Index("ledger_at_s", ledger.c.at_s)


class SchemaTooNew(SpillwayError):
    """The database was written by a newer version; nothing was touched."""


def _on_connect(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
    cursor = connection.cursor()
    for pragma in (f"busy_timeout={BUSY_TIMEOUT_MS}", "journal_mode=WAL", "synchronous=FULL"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def open_database(path: Path) -> Engine:
    """An engine on the file, which exists afterwards (0600) with every table in it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _create_file(path)
    engine = create_engine(f"sqlite:///{path}")
    event.listen(engine, "connect", _on_connect)
    deadline_s = time.monotonic() + OPEN_TIMEOUT_S
    while True:  # several processes may open a new file at once, and the switch to WAL does not wait for a lock
        try:
            _create_tables(engine, path)
        except OperationalError:
            if time.monotonic() > deadline_s:
                engine.dispose()
                raise
            time.sleep(0.05)
        except SchemaTooNew:
            engine.dispose()
            raise
        else:
            return engine


def _create_file(path: Path) -> None:
    """The file exists afterwards, for its owner alone. One that exists is not opened here: closing it would drop the
    locks that SQLite holds on it in this process, and another process would then throw away the write-ahead log in use.
    """
    if not path.exists():
        with contextlib.suppress(FileExistsError):
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))


def _create_tables(engine: Engine, path: Path) -> None:
    with engine.begin() as connection:
        version = int(connection.exec_driver_sql("PRAGMA user_version").scalar_one())
        if version > SCHEMA_VERSION:
            raise SchemaTooNew(
                f"{path} has schema {version}, this version reads up to {SCHEMA_VERSION}; upgrade spillway"
            )
        for table in metadata.sorted_tables:
            connection.execute(CreateTable(table, if_not_exists=True))
            for index in sorted(table.indexes, key=lambda index: str(index.name)):
                connection.execute(CreateIndex(index, if_not_exists=True))
        if version < SCHEMA_VERSION:
            connection.exec_driver_sql(f"PRAGMA user_version={SCHEMA_VERSION}")
