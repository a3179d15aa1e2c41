"""A published fleet in a state folder, and how the tests call a command on it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import typer
from typer.testing import CliRunner, Result

from controller.adapters.fleet_file import FleetFile
from controller.cli.output import console, words
from controller.core.fleet import FleetView, Pin, PoolView, Replica, ReplicaState, RoutingMode

READY = ReplicaState.READY


def run(register: Callable[[typer.Typer], None], *arguments: str, stdin: bytes | None = None) -> Result:
    """One call of a command as `spillway` would make it."""
    console.cache_clear()  # they read COLUMNS once
    words.cache_clear()
    app = typer.Typer()
    app.callback()(lambda: None)
    register(app)
    return CliRunner().invoke(app, list(arguments), input=stdin)


def replica(
    name: str, state: ReplicaState = ReplicaState.READY, *, pool: str = "llama-8b", **fields: object
) -> Replica:
    """A simulated replica, 400 s old."""
    now_s = time.time()
    made = Replica(
        replica_id=name,
        pool=pool,
        url="http://127.0.0.1:1",
        state=state,
        started_at_s=now_s - 400.0,
        ready_at_s=now_s - 390.0,
        simulated=True,
    )
    return replace(made, **fields)  # type: ignore[arg-type]


def fleet(*, age_s: float = 0.0, pin: Pin | None = None) -> FleetView:
    """Two pools: one that spills with a replica in each state, and a calm one."""
    now_s = time.time()
    spilling = PoolView(
        name="llama-8b",
        replicas=(
            replica("llama-8b-aaa111"),
            replica("llama-8b-bbb222", ReplicaState.WARMING, ready_at_s=now_s + 30.0),
            replica("llama-8b-ccc333", ReplicaState.DRAINING, running=2, waiting=1),
            replica("llama-8b-ddd444", ReplicaState.LOST, reason="process ended"),
        ),
        mode=RoutingMode.SPILLING,
        spill_ratio=0.37,
        mode_since_s=now_s - 3720.0,
        mode_reason="saturated: 1.20 >= 0.90, which is a reason too long for a line of eighty characters",
        saturation_ratio=1.2,
        desired_replicas=3,
        decision_reason="demand 2.70 at target 0.95",
        pin=pin,
    )
    calm = PoolView(
        name="mixtral-8x7b", replicas=(replica("mixtral-8x7b-eee555", pool="mixtral-8x7b", simulated=False),)
    )
    pools = {pool.name: pool for pool in (spilling, calm)}
    return FleetView(revision=7, published_at_s=now_s - age_s, pools=pools)


def publish(state_dir: Path, view: FleetView) -> None:
    """Afterwards commands see it."""
    FleetFile(state_dir).publish(view)
