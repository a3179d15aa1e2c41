"""What every gateway has whatever it runs on: keys, ledger, providers; and how it goes to another configuration."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from controller.cli.wiring import (
    budgets_of,
    ca_files,
    database_place,
    engine_key,
    open_idempotency_claims,
    open_key_snapshot,
    open_ledger,
    open_limit_rows,
    private_hosts,
)

if TYPE_CHECKING:
    from controller.cli.reload import Reload
    from controller.config.changes import Adoption
    from controller.config.settings import Settings
    from controller.gateway.app import Gateway
    from controller.gateway.ports import Clock, FleetFeed

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """A gateway and its adapters. `prepare` reads the files that another configuration names, for a thread.

    `books`: what was spent today, for a thread.
    """

    gateway: Gateway
    clock: Clock
    prepare: Callable[[Settings], None]
    take: Callable[[Settings], Adoption]
    close: Callable[[], None]
    books: Callable[[], Mapping[str, object]]


def join_gateway(settings: Settings, fleet: FleetFeed, environ: Mapping[str, str]) -> Joined:
    """The data plane with its adapters, on this view of the fleet."""
    from controller.adapters.aiohttp_upstream import AiohttpUpstream
    from controller.adapters.clock import SystemClock
    from controller.adapters.h1_upstream import H1Upstream
    from controller.adapters.open_books import OpenBooks
    from controller.adapters.provider_keys import ProviderKeys
    from controller.cli.overrides import usable_providers
    from controller.cli.status_books import books_by
    from controller.gateway.app import Gateway

    variables, clock = dict(environ), SystemClock()
    keys, ledger = open_key_snapshot(settings), open_ledger(settings)
    limits, claims = open_limit_rows(settings), open_idempotency_claims(settings)
    open_books = OpenBooks(database_place(settings))
    provider_keys = ProviderKeys(settings.providers, variables)
    provider_keys.start()
    external = AiohttpUpstream(private_hosts=private_hosts(settings), ca_files=ca_files(settings))
    gateway = Gateway(
        settings,
        keys=keys,
        ledger=ledger,
        limits=limits,
        claims=claims,
        fleet=fleet,
        own=H1Upstream(),
        external=external,
        provider_keys=provider_keys,
        usable_providers=usable_providers(settings, variables),
        engine_key=engine_key(settings, variables),
        clock=clock,
    )

    def prepare(new: Settings) -> None:
        external.reconfigure(private_hosts=private_hosts(new), ca_files=ca_files(new))
        provider_keys.reconfigure(new.providers)

    def take(new: Settings) -> Adoption:
        ledger.reconfigure(*budgets_of(new), new.gateway.timeouts.ledger_s)
        return gateway.reconfigure(new, usable_providers(new, variables))

    def books() -> Mapping[str, object]:
        return open_books.read(lambda reader: books_by(reader, gateway.settings, clock.unix_s()))

    def close() -> None:
        open_books.close()
        provider_keys.close()
        limits.close()
        claims.close()
        ledger.close()
        keys.close()

    return Joined(gateway=gateway, clock=clock, prepare=prepare, take=take, close=close, books=books)


def reload_of(file: Path | None, load: Callable[[], T], take: Callable[[T], Adoption]) -> Reload[T]:
    """What reads the configuration again; where there is no file, only when told to."""
    from controller.adapters.config_file import ConfigFile
    from controller.cli.reload import Reload

    return Reload(load, take) if file is None else Reload(load, take, has_changed=ConfigFile(file).has_changed)
