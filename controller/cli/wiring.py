"""The composition root: the only place that constructs adapters and joins them to the processes that need them."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from datetime import UTC, date, datetime
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from controller.adapters.fleet_file import FleetFile
    from controller.adapters.idempotency_claims import IdempotencyClaims
    from controller.adapters.key_store import KeySnapshot, KeyTable
    from controller.adapters.ledger_reader import LedgerReader
    from controller.adapters.ledger_store import LedgerStore
    from controller.adapters.limit_rows import LimitRows
    from controller.adapters.local_http import ChatClient, LocalHttp
    from controller.adapters.setting_files import SettingFiles
    from controller.adapters.spec_files import SpecFiles
    from controller.config.settings import Settings
    from controller.core.secret import Secret
    from controller.routing.budget import HourLimitOf, LimitsOf


DATABASE_RETRY_S = 1.0
TRIES_PER_WARNING = 10


def settings_from(
    config: Path | None,
    state_dir: Path | None,
    today: date | None = None,
    *,
    environ: Mapping[str, str] | None = None,
) -> Settings:
    """The configuration that a command works with: the file, the environment, and what a running `up` says."""
    from controller.cli.leftovers import read_record, running_up
    from controller.cli.overrides import with_overrides
    from controller.config.load import load_settings

    variables = dict(os.environ if environ is None else environ)
    if state_dir is not None:
        variables["SPILLWAY_STATE_DIR"] = str(state_dir)
    settings = load_settings(config_file(config, variables), variables, today=today or datetime.now(UTC).date())
    if running_up(settings.state_dir) is not None:
        record = read_record(settings.state_dir / "run" / "up.json")
        said = record.get("overrides") if isinstance(record, dict) else None
        variables = {**(said if isinstance(said, dict) else {}), **variables}
    return with_overrides(settings, variables)


def config_file(given: Path | None, environ: Mapping[str, str]) -> Path | None:
    """The file named by the caller, else that of the project, else that of the user; None when there is none."""
    if given is not None:
        return given.absolute()
    user_folder = Path(environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    for candidate in (Path("spillway.yaml"), user_folder / "spillway" / "config.yaml"):
        if candidate.is_file():
            return candidate.absolute()
    return None


def open_local_http(timeout_s: float = 2.0) -> LocalHttp:
    """Short reads from our own processes."""
    from controller.adapters.local_http import LocalHttp

    return LocalHttp(timeout_s)


def open_chat_client(base_url: str, key: str) -> ChatClient:
    """A client that streams chat completions from the gateway."""
    from controller.adapters.local_http import ChatClient

    return ChatClient(base_url, key)


def open_fleet(settings: Settings) -> FleetFile:
    """The published view of the fleet."""
    from controller.adapters.fleet_file import FleetFile

    _warn_on_stderr()
    return FleetFile(settings.state_dir)


def open_spec(settings: Settings) -> SpecFiles:
    """What operators have said about pools."""
    from controller.adapters.spec_files import SpecFiles

    _warn_on_stderr()
    return SpecFiles(settings.state_dir)


def open_setting_files(settings: Settings) -> SettingFiles:
    """Settings files of clients, and what they held before."""
    from controller.adapters.setting_files import SettingFiles

    return SettingFiles(settings.state_dir / "connect")


def open_user_setting_files(environ: Mapping[str, str]) -> SettingFiles:
    """The same for a user who has no state folder, as the gateway runs elsewhere."""
    from controller.adapters.setting_files import SettingFiles

    user_folder = Path(environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    return SettingFiles(user_folder / "spillway" / "connect")


def _warn_on_stderr() -> None:
    """Commands that keep no log of their own say warnings on stderr: stdout is for data."""
    import structlog

    if not structlog.is_configured():
        structlog.configure(logger_factory=lambda *_: structlog.PrintLogger(sys.stderr))


def open_keys(settings: Settings) -> KeyTable:
    """The key store of the state folder, made on first use; a pepper that somebody else makes has to be there."""
    from controller.adapters.key_store import KeyTable
    from controller.cli.state import require_given_pepper

    require_given_pepper(settings)
    return KeyTable(database_place(settings), settings.pepper_path)


def has_keys(settings: Settings) -> bool:
    """Whether the database has any key, of whichever gateway."""
    from controller.adapters.key_store import any_key

    return any_key(database_place(settings))


def open_key_snapshot(settings: Settings) -> KeySnapshot:
    """The gateway's copy of the keys in memory, kept fresh by a thread until it is closed."""
    from controller.adapters.key_store import KeySnapshot

    snapshot = KeySnapshot(open_keys(settings))
    snapshot.start()
    return snapshot


def database_place(settings: Settings) -> Path | Secret:
    """Where the database is: the URL that the environment gave, else the file in the state folder."""
    from controller.core.secret import Secret

    variable = settings.database_url_env
    return settings.state_dir / "spillway.db" if variable is None else Secret(os.environ[variable])


def await_database(settings: Settings) -> None:
    """Returns once PostgreSQL answers, and says in the log why that takes long: without keys nobody can be let in.

    A file is there at once or never, so nobody waits for SQLite.
    """
    import structlog

    from controller.adapters.database import DatabaseUnavailable, open_database

    place = database_place(settings)
    for tries in count():
        if isinstance(place, Path):
            return
        try:
            open_database(place, patience_s=0.0).dispose()
        except DatabaseUnavailable as error:
            if tries % TRIES_PER_WARNING == 0:
                structlog.get_logger().warning("waiting_for_database", reason=str(error))
            time.sleep(DATABASE_RETRY_S)
        else:
            return


def open_ledger(settings: Settings) -> LedgerStore:
    """The gateway's ledger with its writer thread."""
    from controller.adapters.ledger_store import LedgerStore

    return LedgerStore(
        database_place(settings),
        *budgets_of(settings),
        journal_folder=settings.state_dir / "ledger-journal",
        reserve_wait_s=settings.gateway.timeouts.ledger_s,
    )


def budgets_of(settings: Settings) -> tuple[LimitsOf, HourLimitOf]:
    """What each tenant may spend, and what may be spent for each pool."""
    from controller.routing.budget import hour_limits, limits_by_tenant

    of_pools = {pool.name: pool.spill.max_usd_per_hour for pool in settings.pools.values()}
    return limits_by_tenant(settings.budgets.usd_per_day, settings.budgets.usd_per_month), hour_limits(of_pools)


def open_limit_rows(settings: Settings) -> LimitRows:
    """Requests and tokens per minute, as all gateways on the database share them."""
    from controller.adapters.limit_rows import LimitRows

    return LimitRows(database_place(settings))


def open_idempotency_claims(settings: Settings) -> IdempotencyClaims:
    """Who answers the requests under which Idempotency-Keys."""
    from controller.adapters.idempotency_claims import IdempotencyClaims

    return IdempotencyClaims(database_place(settings))


def open_ledger_reader(settings: Settings) -> LedgerReader | None:
    """A reader on the ledger, or None when there is no database yet."""
    from controller.adapters.ledger_reader import open_reader

    place = database_place(settings)
    return None if isinstance(place, Path) and not place.exists() else open_reader(place)


def private_hosts(settings: Settings) -> frozenset[str]:
    """Names of providers that an operator lets lead to addresses that are not public."""
    providers = settings.providers.values()
    hosts = (urlsplit(provider.base_url).hostname for provider in providers if provider.private_address)
    return frozenset(host for host in hosts if host is not None)


def ca_files(settings: Settings) -> dict[str, str]:
    """Files with the authorities of providers, by base URL."""
    return {one.base_url: one.ca_file for one in settings.providers.values() if one.ca_file and not one.simulated}


def engine_key(settings: Settings, environ: Mapping[str, str]) -> Secret:
    """What engines ask their callers for: `SPILLWAY_ENGINE_KEY`, else a secret of the state folder's own."""
    from controller.adapters.peppers import load_pepper
    from controller.core.secret import Secret

    return Secret(environ.get("SPILLWAY_ENGINE_KEY") or load_pepper(settings.state_dir / "engine.key").hex())
