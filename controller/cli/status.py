"""`spillway status`: pools, providers and spend, from what the controller published last, running or not."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from controller.cli.cluster_options import also_on_cluster
from controller.cli.errors import EXIT_INTERRUPTED

if TYPE_CHECKING:
    from controller.adapters.local_http import LocalHttp
    from controller.config.settings import Settings
    from controller.core.fleet import FleetView, PoolView

EPILOG = "Examples: spillway status    spillway status --watch    spillway status -o wide    spillway status --json"
WATCH_EVERY_S = 1.0
STALE_AFTER_S = 5.0


class Output(StrEnum):
    """How kubectl users ask for it."""

    WIDE = "wide"
    JSON = "json"


def register(app: typer.Typer) -> None:
    """Afterwards `app` has `status`."""
    app.command("status", epilog=EPILOG)(status)


@also_on_cluster("cluster_status:status")
def status(
    *,
    watch: bool = typer.Option(False, "--watch", "-w", help="again every second, until Ctrl-C"),
    output: Output | None = typer.Option(None, "--output", "-o", help="the same as --wide or --json"),
    wide: bool = typer.Option(False, "--wide", help="also requests in flight and spilled, draining replicas, model"),
    as_json: bool = typer.Option(False, "--json", help="one JSON document; with --watch one per line"),
    config: Path | None = typer.Option(None, "--config", "-c", help="spillway.yaml to use"),
    state_dir: Path | None = typer.Option(None, help="state folder of the system [default: .spillway]"),
) -> None:
    """Show what each pool is doing and why, the providers, and what was spent today."""
    from controller.cli.wiring import open_local_http, settings_from

    settings = settings_from(config, state_dir)
    http = open_local_http(1.0)
    try:
        show_status(
            lambda: collect(settings, http), Output.JSON if as_json else Output.WIDE if wide else output, watch=watch
        )
    finally:
        http.close()


def show_status(collected: Callable[[], dict[str, object]], shape: Output | None, *, watch: bool) -> None:
    """The document once, or again every second until Ctrl-C."""
    from controller.cli.signals import stop_signals

    if not watch:
        _show(collected(), shape)
        return
    with stop_signals() as signals, _screen(shape) as show:
        while not signals.count:
            show(collected())
            signals.wait(WATCH_EVERY_S)
    raise typer.Exit(EXIT_INTERRUPTED)


def collect(settings: Settings, http: LocalHttp) -> dict[str, object]:
    """Everything `status` shows, as data."""
    from controller.cli.errors import CliError
    from controller.cli.state import require_state
    from controller.cli.status_books import books_of
    from controller.cli.status_rotation import rotation_of
    from controller.cli.wiring import open_fleet

    view = open_fleet(settings).last()
    if view is None:
        require_state(settings)
        raise CliError(
            f"nothing has been published in {settings.state_dir}",
            "no controller has run on it",
            "start one: spillway up",
        )
    now_s = time.time()
    url = f"http://{settings.controller.host}:{settings.controller.port}/healthz"
    age_s = max(0.0, now_s - view.published_at_s)
    controller_up = http.get(url) is not None
    admin_url = f"http://{settings.gateway.admin_host}:{settings.gateway.admin_port}"
    metrics = gateway_figures(http.get(f"{admin_url}/metrics"))
    rotation = None if metrics is None else rotation_of(http.get_json(f"{admin_url}/v1/loads"))
    return {
        "at": datetime.fromtimestamp(now_s, UTC),
        "stale": not controller_up or age_s > STALE_AFTER_S,
        "age_s": round(age_s, 1),
        "controller_up": controller_up,
        "gateway_up": metrics is not None,
        "pools": [
            {
                **_configured_row(pool, settings, metrics),
                "rotation": None if rotation is None else rotation.get(pool.name, []),
            }
            for pool in ordered(view, settings)
        ],
        "providers": provider_rows(settings),
        **books_of(settings, now_s),
    }


def ordered(view: FleetView, settings: Settings) -> list[PoolView]:
    """Pools in the order of the configuration, then any others."""
    names = [name for name in settings.pools if name in view.pools]
    return [view.pools[name] for name in [*names, *(name for name in view.pools if name not in settings.pools)]]


def gateway_figures(*texts: bytes | None) -> dict[tuple[str, str], float] | None:
    """Counters of the gateways' metrics by (name, pool), summed; None when none answers, or something else does."""
    from controller.adapters.exposition import samples

    wanted = ("spillway_pool_arrivals_total", "spillway_spilled_requests_total", "spillway_in_flight")
    figures: dict[tuple[str, str], float] = {}
    try:
        for text in texts:
            for sample in samples((text or b"").decode("utf-8", "replace"), wanted):
                if "pool" in sample.labels:
                    place = (sample.name, sample.labels["pool"])
                    figures[place] = figures.get(place, 0.0) + sample.value
    except ValueError:
        return None
    return figures or None


def _configured_row(
    pool: PoolView, settings: Settings, metrics: dict[tuple[str, str], float] | None
) -> dict[str, object]:
    configured = settings.pools.get(pool.name)
    if configured is None:
        return pool_row(pool, metrics, model=None)
    return pool_row(pool, metrics, model=configured.model, is_fixed=bool(configured.endpoints))


def pool_row(
    pool: PoolView, metrics: Mapping[tuple[str, str], float] | None, *, model: str | None, is_fixed: bool = False
) -> dict[str, object]:
    """One pool as data."""
    from controller.core.fleet import ReplicaState

    def figure(name: str) -> int | None:
        return int(metrics.get((name, pool.name), 0)) if metrics is not None else None

    now_s = time.time()
    pin = pool.pin if pool.pin is not None and pool.pin.until_s > now_s else None
    age_s, age_of = _age(pool, now_s)
    return {
        "name": pool.name,
        "model": model,
        "fixed": is_fixed,
        "ready": pool.count(ReplicaState.READY),
        "desired": pool.desired_replicas,
        "missing": pool.missing_replicas,
        "warming": pool.count(ReplicaState.WARMING),
        "draining": pool.count(ReplicaState.DRAINING),
        "lost": pool.count(ReplicaState.LOST),
        "routing": pool.mode,
        "age_s": age_s,
        "age_of": age_of,
        "spill_ratio": pool.spill_ratio,
        "saturation_ratio": pool.saturation_ratio,
        "arrivals": figure("spillway_pool_arrivals_total"),
        "spilled": figure("spillway_spilled_requests_total"),
        "in_flight": figure("spillway_in_flight"),
        "routing_reason": pool.mode_reason,
        "scaling_reason": pool.decision_reason,
        "pin": pin,
        "simulated": any(replica.simulated for replica in pool.replicas),
        "replicas": pool.replicas,
    }


def _age(pool: PoolView, now_s: float) -> tuple[float | None, str | None]:
    """How long the routing has been what it is; for one that never changed, the age of the oldest replica."""
    if pool.mode_since_s > 0:
        return round(now_s - pool.mode_since_s, 1), "routing"
    started_s = [replica.started_at_s for replica in pool.replicas if replica.started_at_s > 0]
    return (round(now_s - min(started_s), 1), "replica") if started_s else (None, None)


def provider_rows(settings: Settings) -> list[dict[str, object]]:
    """The external providers as data."""
    import os

    from controller.cli.leftovers import running_up
    from controller.cli.overrides import usable_providers

    up_has_keys = running_up(settings.state_dir) is not None  # what it has none for, the stand-in answers
    usable = frozenset(settings.providers) if up_has_keys else usable_providers(settings, os.environ)
    return [
        {
            "name": provider.name,
            "state": "simulated" if provider.simulated else "usable" if name in usable else "no key",
            "base_url": provider.base_url,
            "api_key_env": provider.api_key_env,
        }
        for name, provider in settings.providers.items()
    ]


def _show(document: dict[str, object], shape: Output | None) -> None:
    from controller.cli.output import console, emit_json
    from controller.cli.status_tables import status_view

    if shape is Output.JSON:
        emit_json("status", document)
    else:
        console().print(status_view(document, wide=shape is Output.WIDE), soft_wrap=True)


@contextmanager
def _screen(shape: Output | None) -> Iterator[Callable[[dict[str, object]], None]]:
    """How a watch shows each document: redrawn in place on a terminal, else one after the other."""
    from controller.cli.output import console

    if shape is Output.JSON or not console().is_terminal:
        yield lambda document: _show(document, shape)
        return
    from rich.live import Live

    from controller.cli.status_tables import status_view

    with Live(console=console(), auto_refresh=False, screen=True) as live:
        yield lambda document: live.update(status_view(document, wide=shape is Output.WIDE), refresh=True)
