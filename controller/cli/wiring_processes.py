"""Joins gateway and control loop to the processes of one machine; the opening of each adapter is in `wiring`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from controller.cli.wiring import (
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
    from controller.config.settings import Settings
    from controller.gateway.server import Service
    from controller.loop.tick import ControlLoop


def build_gateway(settings: Settings, environ: Mapping[str, str] | None = None) -> Service:
    """The data plane with its adapters."""
    from controller.adapters.aiohttp_upstream import AiohttpUpstream
    from controller.adapters.clock import SystemClock
    from controller.adapters.h1_upstream import H1Upstream
    from controller.adapters.provider_keys import ProviderKeys
    from controller.cli.overrides import usable_providers
    from controller.gateway.app import Gateway
    from controller.gateway.server import Service

    variables = os.environ if environ is None else environ
    fleet, keys, ledger, clock = open_fleet(settings), open_key_snapshot(settings), open_ledger(settings), SystemClock()
    limits, claims = open_limit_rows(settings), open_idempotency_claims(settings)
    provider_keys = ProviderKeys(settings.providers, variables)
    provider_keys.start()
    gateway = Gateway(
        settings,
        keys=keys,
        ledger=ledger,
        limits=limits,
        claims=claims,
        fleet=fleet,
        own=H1Upstream(),
        external=AiohttpUpstream(private_hosts=private_hosts(settings), ca_files=ca_files(settings)),
        provider_keys=provider_keys,
        usable_providers=usable_providers(settings, variables),
        engine_key=engine_key(settings, variables),
        clock=clock,
    )

    def close() -> None:
        provider_keys.close()
        limits.close()
        claims.close()
        ledger.close()
        keys.close()

    return Service(gateway=gateway, clock=clock, watch=fleet.watch, close=close)


def build_controller(settings: Settings, engine: str, environ: Mapping[str, str] | None = None) -> ControlLoop:
    """The control plane with its adapters, on the processes of this machine."""
    from controller.adapters.clock import SystemClock
    from controller.adapters.engine_scrape import EngineScraper
    from controller.adapters.gateway_scrape import GatewayScraper
    from controller.adapters.memory_file import MemoryFile
    from controller.adapters.processes import LocalProcesses
    from controller.cli.overrides import usable_providers
    from controller.loop.tick import ControlLoop

    variables = os.environ if environ is None else environ
    timeout_s = settings.controller.scrape_timeout_s
    admin_url = f"http://{settings.gateway.admin_host}:{settings.gateway.admin_port}"
    return ControlLoop(
        settings,
        platform=LocalProcesses(
            settings,
            engine="vllm" if engine == "vllm" else "sim",
            environ=environ,
            engine_key=engine_key(settings, variables),
        ),
        engines=EngineScraper(timeout_s),
        gateway=GatewayScraper(settings.controller.gateways or (admin_url,), timeout_s),
        spec=open_spec(settings),
        sink=open_fleet(settings),
        memory=MemoryFile(settings.state_dir),
        clock=SystemClock(),
        usable_providers=usable_providers(settings, variables),
        stops_removed=True,
    )
