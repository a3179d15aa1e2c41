"""A pod that is to go while it answers: long streams on every replica, and an operator who wants one replica less."""

from __future__ import annotations

import asyncio

from tests.faults.caller import Told
from tests.faults.cluster_fleet import Fleet
from tests.faults.stub import Stub
from tests.faults.stub_scripts import answer
from tests.faults.world import eventually

PATIENCE_S = 150.0  # on a busy machine


def long_answers(fleet: Fleet, seconds: float) -> None:
    """Every answer of the replicas that there are takes so long."""
    for engine in fleet.world.engines:
        assert isinstance(engine, Stub)
        engine.script = answer(tokens=int(seconds / 0.05), gap_s=0.05)


async def open_streams(fleet: Fleet, count: int) -> tuple[list[asyncio.Task[Told]], str]:
    """So many open streams, and the pod that has most of them."""
    tasks = [fleet.world.asking(stream=True) for _ in range(count)]
    stubs = [one for one in fleet.world.engines if isinstance(one, Stub)]
    await eventually(lambda: sum(len(one.open_calls) for one in stubs) == count, within_s=PATIENCE_S)
    return tasks, max(stubs, key=lambda one: len(one.open_calls)).name


async def drain(fleet: Fleet, pod: str) -> None:
    """An operator wants one replica less, and that it is this one."""
    order = {"metadata": {"annotations": {"spillway.dev/drain": "true"}}}
    await fleet.api.patch(fleet.path("pods", pod), order)
    await fleet.pin(1)
