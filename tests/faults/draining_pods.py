"""A pod that is to go while it answers: long streams on every replica, and an operator who wants one replica less."""

from __future__ import annotations

import asyncio
import time

from tests.faults.caller import Told
from tests.faults.cluster_fleet import Fleet
from tests.faults.rows import Row
from tests.faults.stub import Stub
from tests.faults.stub_scripts import answer
from tests.faults.world import eventually

PATIENCE_S = 150.0  # on a busy machine
STREAMS = 8


def _long_answers(fleet: Fleet, seconds: float) -> None:
    """Every answer of the replicas that there are takes so long."""
    for engine in fleet.world.engines:
        assert isinstance(engine, Stub)
        engine.script = answer(tokens=int(seconds / 0.05), gap_s=0.05)


async def _open_streams(fleet: Fleet, count: int) -> tuple[list[asyncio.Task[Told]], str]:
    """So many open streams, and the pod that has most of them."""
    tasks = [fleet.world.asking(stream=True) for _ in range(count)]
    stubs = [one for one in fleet.world.engines if isinstance(one, Stub)]
    await eventually(lambda: sum(len(one.open_calls) for one in stubs) == count, within_s=PATIENCE_S)
    return tasks, max(stubs, key=lambda one: len(one.open_calls)).name


async def drained(fleet: Fleet, line: Row, seconds: float) -> tuple[list[asyncio.Task[Told]], str]:
    """Eight streams of so many seconds are open, and an operator wants the pod gone that has most of them."""
    _long_answers(fleet, seconds)
    tasks, busiest = await _open_streams(fleet, STREAMS)
    line.injected()
    order = {"metadata": {"annotations": {"spillway.dev/drain": "true"}}}
    await fleet.api.patch(fleet.path("pods", busiest), order)
    await fleet.pin(1)
    return tasks, busiest


async def gone_once_ended(fleet: Fleet, line: Row, tasks: list[asyncio.Task[Told]], pod: str) -> None:
    """Every stream ends whole, and then the pod goes, that very one."""
    assert not all(task.done() for task in tasks), "the streams are too short for this row"
    assert await fleet.replicas() == 2
    assert not fleet.node.wards[pod].leaves.is_set()
    line.detected()
    await asyncio.gather(*tasks)
    fleet.all_answered()
    ended_s = time.monotonic()
    await fleet.settles(1)
    assert pod not in fleet.node.wards
    line.figures["gone_s"] = round(time.monotonic() - ended_s, 1)
    line.healed()
