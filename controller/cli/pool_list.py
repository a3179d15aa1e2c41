"""`spillway pool list`: bounds, routing and pins of every pool, and the replicas that can be drained."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

import typer

from controller.cli.cluster_options import also_on_cluster
from controller.cli.pool_words import instant, living, pin_words

if TYPE_CHECKING:
    from controller.config.settings import Settings
    from controller.core.fleet import FleetView, Pin, Replica

NONE, UNKNOWN = "<none>", "<unknown>"
POOL_COLUMNS = ("NAME", "MODEL", "MIN", "MAX", "READY", "ROUTING", "PINNED")
REPLICA_COLUMNS = ("REPLICA", "POOL", "STATE", "OPEN", "AGE")


@also_on_cluster("cluster_pool:list_pools")
def list_pools(
    config: Path | None = typer.Option(None, "--config", "-c", help="spillway.yaml to use"),
    state_dir: Path | None = typer.Option(None, "--state-dir", help="state folder of the system [default: .spillway]"),
    as_json: bool = typer.Option(False, "--json", help="one JSON document on stdout"),
) -> None:
    """List the pools with their bounds and pins, and their replicas by ID; also while nothing runs."""
    from controller.cli.output import say
    from controller.cli.status import STALE_AFTER_S
    from controller.cli.wiring import open_fleet, open_spec, settings_from

    settings, now_s = settings_from(config, state_dir), time.time()
    view, pins = open_fleet(settings).last(), open_spec(settings).read()[0]
    rows = [_row(name, settings, view, living(pins.get(name), now_s)) for name in settings.pools]
    show_pools(rows, now_s, as_json=as_json)
    if as_json:
        return
    if view is None:
        say("note", "no controller has published here: nothing is known of replicas")
    elif now_s - view.published_at_s > STALE_AFTER_S:
        say("note", f"no controller publishes here now: replicas and routing as of {instant(view.published_at_s)}")


def show_pools(rows: Sequence[Mapping[str, object]], now_s: float, *, as_json: bool) -> None:
    """The pools, their replicas and pins, as tables or as data."""
    from controller.cli.output import emit_json, say, table

    if as_json:
        emit_json("pools", rows)
        return
    table("", POOL_COLUMNS, [_cells(row) for row in rows])
    replicas = [one for row in rows for one in cast("Sequence[Replica]", row["replicas"])]
    if replicas:
        table("\nReplicas", REPLICA_COLUMNS, [_replica_cells(one, now_s) for one in replicas])
    for row in rows:
        pin = cast("Pin | None", row["pin"])
        if pin is not None:
            say("pinned", f"{row['name']} until {instant(pin.until_s)} by {pin.who}: {pin.reason}")


def _row(name: str, settings: Settings, view: FleetView | None, pin: Pin | None) -> dict[str, object]:
    from controller.core.fleet import ReplicaState

    pool, seen = settings.pools[name], None if view is None else view.pools.get(name)
    return {
        "name": name,
        "model": pool.model,
        "min_replicas": pool.scale.min_replicas,
        "max_replicas": pool.scale.max_replicas,
        "fixed": bool(pool.endpoints),
        "ready": None if seen is None else seen.count(ReplicaState.READY),
        "routing": None if seen is None else seen.mode,
        "pin": pin,
        "replicas": () if seen is None else seen.replicas,
    }


def _cells(row: Mapping[str, object]) -> list[str]:
    bounds = [NONE, NONE] if row["fixed"] else [str(row["min_replicas"]), str(row["max_replicas"])]
    live = [UNKNOWN if row[name] is None else str(row[name]) for name in ("ready", "routing")]
    pin = cast("Pin | None", row["pin"])
    return [str(row["name"]), str(row["model"]), *bounds, *live, NONE if pin is None else pin_words(pin)]


def _replica_cells(replica: Replica, now_s: float) -> list[str]:
    from controller.cli.status_tables import age_words

    counts = [replica.running, replica.waiting]
    busy = UNKNOWN if None in counts else str(sum(count or 0 for count in counts))
    age = age_words(now_s - replica.started_at_s) if replica.started_at_s > 0 else UNKNOWN
    return [replica.replica_id, replica.pool, replica.state.value, busy, age]
