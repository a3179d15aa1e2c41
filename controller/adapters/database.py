"""How the database is opened: a SQLite file on one machine, PostgreSQL for many gateways; the same tables in both.

Ledger and key store call this; all SQL goes through SQLAlchemy Core, in threads of ours and in the CLI, never on the
event loop. SQLite pragmas, with reasons: WAL, so that the CLI reads while the gateway writes. synchronous=FULL, because
rows are money: each group commit is on the disk when it returns (NORMAL would lose every commit since the last
checkpoint in a power cut); commits are grouped and run in a thread, so the extra fsync costs no request anything.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from sqlalchemy import URL, Connection, Engine, RootTransaction, create_engine, event, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import ConnectionPoolEntry

from controller.core.errors import SpillwayError
from controller.core.secret import Secret

SCHEMA_VERSION = 6  # the newest file of migrations/versions
Place = Path | Secret | str  # a file of SQLite, or a URL: with a password, a secret one
BUSY_TIMEOUT_MS = 5000
OPEN_TIMEOUT_S = 10.0
LOCK_POLL_S = 0.001
_BEGIN = "spillway_begin"
_MIGRATION_LOCK = 0x5350494C  # any number of ours: PostgreSQL's advisory locks are named by numbers


class SchemaTooNew(SpillwayError):
    """The database was written by a newer version; nothing was touched."""


class DatabaseUnavailable(SpillwayError):
    """The database did not answer in time."""


def open_database(
    place: Place, *, busy_timeout_ms: int = BUSY_TIMEOUT_MS, patience_s: float = OPEN_TIMEOUT_S
) -> Engine:
    """An engine on a SQLite file (a path; it exists afterwards, 0600) or on a URL; every table is there.

    `busy_timeout_ms` is how long a statement waits for a lock of SQLite. DatabaseUnavailable after `patience_s`.
    """
    url = _url(place)
    if url.get_backend_name() == "sqlite":
        path = Path(url.database or "")
        path.parent.mkdir(parents=True, exist_ok=True)
        _create_file(path)
        engine = create_engine(url, connect_args={"isolation_level": None})  # BEGIN is ours, see `_begin`
        event.listen(engine, "connect", _pragmas(busy_timeout_ms))
        event.listen(engine, "begin", _begin)
    else:
        engine = create_engine(url, connect_args=_POSTGRESQL)
    try:
        _bring_up_to_date(engine, patience_s)
    except BaseException:
        engine.dispose()
        raise
    return engine


def writing(engine: Engine) -> Engine:
    """The same engine, whose transactions hold SQLite's write lock from their first moment.

    One that begins by reading and then wants to write can find another writer in its way, and is told so at once,
    however long it would have waited.
    """
    return engine.execution_options(**{_BEGIN: "BEGIN IMMEDIATE"})


def _url(place: Place) -> URL:
    if isinstance(place, Path):
        return URL.create("sqlite", database=str(place))
    url = make_url(place.reveal() if isinstance(place, Secret) else place)
    return url if url.get_backend_name() == "sqlite" else url.set(drivername="postgresql+psycopg")


# A server that does not answer is given up within seconds. Nothing is prepared: connection poolers mix up sessions.
_POSTGRESQL: dict[str, object] = {
    "connect_timeout": 2,
    "tcp_user_timeout": 5000,
    "keepalives_idle": 5,  # a machine that is gone after it took a statement is noticed too
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "application_name": "spillway",
    "prepare_threshold": None,
}


def _pragmas(busy_timeout_ms: int) -> Callable[[DBAPIConnection, ConnectionPoolEntry], None]:
    def on_connect(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
        cursor = connection.cursor()
        for pragma in (f"busy_timeout={busy_timeout_ms}", "journal_mode=WAL", "synchronous=FULL"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    return on_connect


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get(_BEGIN, "BEGIN"))


def _create_file(path: Path) -> None:
    """The file exists afterwards, for its owner alone. One that exists is not opened here: closing it would drop the
    locks that SQLite holds on it in this process, and another process would then throw away the write-ahead log in use.
    """
    if not path.exists():
        with contextlib.suppress(FileExistsError):
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))


def _bring_up_to_date(engine: Engine, patience_s: float) -> None:
    """Afterwards the tables are those of today; SchemaTooNew when they are those of tomorrow."""
    deadline_s = time.monotonic() + patience_s
    while True:  # several processes may open a new file at once, and the switch to WAL does not wait for a lock
        try:
            with engine.connect() as connection:
                version = _version(connection)
            if version != SCHEMA_VERSION:
                with writing(engine).begin() as connection:
                    _migrate(connection)
        except OperationalError as error:
            if time.monotonic() > deadline_s:
                raise _unavailable(engine.url, error) from error
            time.sleep(0.05)
        else:
            return


def _unavailable(url: URL, error: OperationalError) -> DatabaseUnavailable:
    """Where it was looked for and what it said, without the password."""
    said = str(error.orig).partition("\n")[0]
    return DatabaseUnavailable(f"the database {url.render_as_string(hide_password=True)} does not answer: {said}")


def _version(connection: Connection) -> int:
    """Which schema the database has; 0 when it is empty. SQLite keeps the number where version 1 did, in its header."""
    if connection.dialect.name == "sqlite":
        version = int(connection.exec_driver_sql("PRAGMA user_version").scalar_one())
    elif connection.exec_driver_sql("SELECT to_regclass('alembic_version')").scalar_one() is None:
        version = 0
    else:
        version = int(connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar_one())
    if version > SCHEMA_VERSION:
        where = connection.engine.url.render_as_string(hide_password=True)
        raise SchemaTooNew(f"{where} has schema {version}, this version reads up to {SCHEMA_VERSION}; upgrade spillway")
    return version


def _migrate(connection: Connection) -> None:
    """All steps that are missing, or none of them."""
    from alembic import command  # noqa: PLC0415 - 0.2 s, and needed once in a database's life
    from alembic.config import Config  # noqa: PLC0415

    is_sqlite = connection.dialect.name == "sqlite"
    if not is_sqlite:
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})")
    version = _version(connection)  # again: another process may have been here meanwhile
    if version == SCHEMA_VERSION:
        return
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", "controller.adapters:migrations")
    if version == 1 and is_sqlite:  # made before there were migrations
        command.stamp(config, "0001")
    command.upgrade(config, "head")
    if is_sqlite:
        connection.exec_driver_sql(f"PRAGMA user_version={SCHEMA_VERSION}")


class WriteTransactions:
    """The transactions of one writer, one after the other, on a connection that it keeps while they end well: opening
    one from the pool costs more than a commit does. For engines opened with `busy_timeout_ms=0`: SQLite's own waiting
    naps up to 100 ms at a time, ours 1 ms, and so processes that commit in turn wait for each other's commits alone.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = writing(engine)
        self._kept: Connection | None = None

    @contextlib.contextmanager
    def begin(self, *, wait_s: float) -> Iterator[Connection]:
        """One transaction; OperationalError when SQLite's lock is not free within `wait_s`."""
        connection = self._kept or self._engine.connect()
        self._kept = None
        try:
            with self._locked(connection, time.monotonic() + wait_s):
                yield connection
        except BaseException:
            connection.close()  # the pool finds out whether it can be used again
            raise
        self._kept = connection

    def close(self) -> None:
        """Afterwards no connection is kept."""
        if self._kept is not None:
            self._kept.close()
            self._kept = None

    def _locked(self, connection: Connection, deadline_s: float) -> RootTransaction:
        while True:
            try:
                return connection.begin()
            except OperationalError:
                if self._engine.dialect.name != "sqlite" or time.monotonic() > deadline_s:
                    raise
                time.sleep(LOCK_POLL_S)
