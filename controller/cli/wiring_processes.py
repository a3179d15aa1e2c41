"""Joins gateway and control loop to the processes of one machine; the opening of each adapter is in `wiring`."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from controller.cli.wiring import (
    budgets_of,
    ca_files,
    engine_key,
    open_fleet,
    open_idempotency_claims,
    open_key_snapshot,
    open_ledger,
    open_limit_rows,
    open_spec,
    private_hosts,
)

if TYPE_CHECKING:
    from controller.cli.reload import Reload
    from controller.config.changes import Adoption
    from controller.config.settings import Settings
    from controller.gateway.server import Service
    from controller.loop.tick import ControlLoop


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """A control loop with what reads its configuration again."""

    loop: ControlLoop
    reloads: Reload


def build_gateway(
    settings: Settings, environ: Mapping[str, str] | None = None, *, load: Callable[[], Settings] | None = None
) -> Service:
    """The data plane with its adapters. `load` reads the configuration again; without it, it is that of the start."""
    from controller.adapters.aiohttp_upstream import AiohttpUpstream
    from controller.adapters.clock import SystemClock
    from controller.adapters.h1_upstream import H1Upstream
    from controller.adapters.provider_keys import ProviderKeys
    from controller.cli.overrides import usable_providers
    from controller.gateway.app import Gateway
    from controller.gateway.server import Service

    variables = dict(os.environ if environ is None else environ)
    fleet, keys, ledger, clock = open_fleet(settings), open_key_snapshot(settings), open_ledger(settings), SystemClock()
    limits, claims = open_limit_rows(settings), open_idempotency_claims(settings)
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

    def prepare() -> Settings:
        """Reads files, so it is for a thread; keys and authorities are in force first."""
        new = (load or (lambda: settings))()
        external.reconfigure(private_hosts=private_hosts(new), ca_files=ca_files(new))
        provider_keys.reconfigure(new.providers)
        return new

    def take(new: Settings) -> Adoption:
        ledger.reconfigure(budgets_of(new), new.gateway.timeouts.ledger_s)
        return gateway.reconfigure(new, usable_providers(new, variables))

    def close() -> None:
        provider_keys.close()
        limits.close()
        claims.close()
        ledger.close()
        keys.close()

    return Service(
        gateway=gateway,
        clock=clock,
        watch=fleet.watch,
        close=close,
        reloads=None if load is None else reload_of(settings, prepare, take),
    )


def build_controller(
    settings: Settings, engine: str, environ: Mapping[str, str] | None = None, *, load: Callable[[], Settings]
) -> Control:
    """The control plane with its adapters, on the processes of this machine."""
    from controller.adapters.clock import SystemClock
    from controller.adapters.engine_commands import check_model_dirs
    from controller.adapters.engine_scrape import EngineScraper
    from controller.adapters.gateway_scrape import GatewayScraper
    from controller.adapters.memory_file import MemoryFile
    from controller.adapters.processes import LocalProcesses
    from controller.cli.overrides import usable_providers
    from controller.loop.tick import ControlLoop

    variables = dict(os.environ if environ is None else environ)
    timeout_s = settings.controller.scrape_timeout_s
    platform = LocalProcesses(
        settings,
        engine="vllm" if engine == "vllm" else "sim",
        environ=environ,
        engine_key=engine_key(settings, variables),
    )
    engines, gateways = EngineScraper(timeout_s), GatewayScraper(admin_urls(settings), timeout_s)
    loop = ControlLoop(
        settings,
        platform=platform,
        engines=engines,
        gateway=gateways,
        spec=open_spec(settings),
        sink=open_fleet(settings),
        memory=MemoryFile(settings.state_dir),
        clock=SystemClock(),
        usable_providers=usable_providers(settings, variables),
        stops_removed=True,
    )

    def prepare() -> Settings:
        new = load()
        if engine == "vllm":
            check_model_dirs(new)
        return new

    def take(new: Settings) -> Adoption:
        adoption = loop.reconfigure(new, usable_providers(new, variables))
        platform.reconfigure(adoption.settings)
        engines.reconfigure(adoption.settings.controller.scrape_timeout_s)
        gateways.reconfigure(admin_urls(adoption.settings), adoption.settings.controller.scrape_timeout_s)
        return adoption

    return Control(loop=loop, reloads=reload_of(settings, prepare, take))


def admin_urls(settings: Settings) -> tuple[str, ...]:
    """Where gateways say what was asked of them: those that the file names, else the one of this machine."""
    return settings.controller.gateways or (f"http://{settings.gateway.admin_host}:{settings.gateway.admin_port}",)


def reload_of(settings: Settings, load: Callable[[], Settings], take: Callable[[Settings], Adoption]) -> Reload:
    """What reads the configuration again; where there is no file, only when told to."""
    from controller.adapters.config_file import ConfigFile
    from controller.cli.reload import Reload

    if settings.file is None:
        return Reload(load, take)
    return Reload(load, take, has_changed=ConfigFile(settings.file).has_changed)
