"""Joins gateway and control loop to the processes of one machine; what any gateway has is in `wiring_gateway`."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from controller.cli.wiring import engine_key, open_fleet, open_spec
from controller.cli.wiring_gateway import join_gateway, reload_of

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
    reloads: Reload[Settings]


def build_gateway(
    settings: Settings, environ: Mapping[str, str] | None = None, *, load: Callable[[], Settings] | None = None
) -> Service:
    """The data plane with its adapters. `load` reads the configuration again; without it, it is that of the start."""
    from controller.gateway.server import Service

    fleet = open_fleet(settings)
    joined = join_gateway(settings, fleet, os.environ if environ is None else environ)

    def prepared() -> Settings:
        new = (load or (lambda: settings))()
        joined.prepare(new)
        return new

    return Service(
        gateway=joined.gateway,
        clock=joined.clock,
        watch=fleet.watch,
        close=joined.close,
        books=joined.books,
        reloads=None if load is None else reload_of(settings.file, prepared, joined.take),
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

    return Control(loop=loop, reloads=reload_of(settings.file, prepare, take))


def admin_urls(settings: Settings) -> tuple[str, ...]:
    """Where gateways say what was asked of them: those that the file names, else the one of this machine."""
    return settings.controller.gateways or (f"http://{settings.gateway.admin_host}:{settings.gateway.admin_port}",)
