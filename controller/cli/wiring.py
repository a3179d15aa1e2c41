"""The composition root: the only place that constructs adapters and joins them to the processes that need them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from controller.adapters.sqlite_keys import KeySnapshot, SqliteKeys
    from controller.adapters.sqlite_ledger import SqliteLedger
    from controller.adapters.sqlite_reader import SqliteLedgerReader
    from controller.config.settings import Settings


def open_keys(settings: Settings) -> SqliteKeys:
    """The key store of the state folder, made on first use."""
    from controller.adapters.sqlite_keys import SqliteKeys

    return SqliteKeys(settings.state_dir / "spillway.db", settings.state_dir / "pepper")


def open_key_snapshot(settings: Settings) -> KeySnapshot:
    """The gateway's copy of the keys in memory, kept fresh by a thread until it is closed."""
    from controller.adapters.sqlite_keys import KeySnapshot

    snapshot = KeySnapshot(open_keys(settings))
    snapshot.start()
    return snapshot


def open_ledger(settings: Settings) -> SqliteLedger:
    """The gateway's ledger with its writer thread."""
    from controller.adapters.sqlite_ledger import SqliteLedger

    return SqliteLedger(settings.state_dir / "spillway.db", settings.budgets)


def open_ledger_reader(settings: Settings) -> SqliteLedgerReader | None:
    """A reader on the ledger, or None when there is no database yet."""
    from controller.adapters.sqlite_reader import open_reader

    path = settings.state_dir / "spillway.db"
    return open_reader(path) if path.exists() else None
