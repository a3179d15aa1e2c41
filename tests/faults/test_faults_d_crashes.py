"""Fault group D, crashes: a controller killed at each of its writes, its successor too, and while a replica drains."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.api_asked import Asked
from tests.cluster.handle import ControlPlane
from tests.faults.cluster_fleet import AUTOSCALE, Fleet, Shape
from tests.faults.draining_pods import drained, gone_once_ended
from tests.faults.fleet_history import DRAINING, NOT_OF_THE_FLEET
from tests.faults.fleet_on_kubernetes import fleet_row
from tests.faults.gateway_process import POOL
from tests.faults.play import play
from tests.faults.world import eventually

pytestmark = [pytest.mark.faults, pytest.mark.cluster, pytest.mark.timeout(900)]

LIMIT_S = 840.0
PATIENCE_S = 150.0  # of the row itself, on a busy machine
KILLS = 3
LONG_DRAIN = {**AUTOSCALE, "drainDeadlineSeconds": 120}
STRUCTURAL = {"deployments/scale", "pods"}
Json = dict[str, Any]


Crashed = Callable[[Fleet, int], Awaitable[bool]]
Chosen = Callable[[Sequence[Asked]], Sequence[int]]


def _is_structural(asked: Asked) -> bool:
    return asked.is_write and asked.resource in STRUCTURAL


def _is_of_the_fleet(asked: Asked) -> bool:
    return asked.is_write and asked.resource.split("/")[0] not in NOT_OF_THE_FLEET


async def _up_and_down(fleet: Fleet) -> None:
    """The pool grows by one and shrinks by one."""
    await fleet.pin(2)
    await fleet.settles(2)
    await fleet.pin(1)
    await fleet.settles(1)


async def _writes_of_a_round(fleet: Fleet) -> list[Asked]:
    began_s = time.monotonic()
    await _up_and_down(fleet)
    return [one.asked for one in fleet.controller.proxy.writes(began_s) if _is_of_the_fleet(one.asked)]


def _chosen(writes: Sequence[Asked]) -> list[int]:
    """Each write but those that only repeat the one before."""
    return [0, *(number for number, (one, two) in enumerate(itertools.pairwise(writes), 1) if one != two)]


def _kill(fleet: Fleet) -> None:
    os.kill(fleet.controller.pid, signal.SIGKILL)


async def _crashed(fleet: Fleet, number: int, cut: str, picks: Callable[[Asked], bool] = _is_of_the_fleet) -> bool:
    """A round in which the controller is killed at that call; whether it came to that."""
    fault = fleet.controller.proxy.lose(cut=cut, picks=picks, skips=number, then=lambda: _kill(fleet))
    await _up_and_down(fleet)
    fault.lift()
    return fault.hits == 1


async def _crashed_twice(fleet: Fleet, number: int, cut: str) -> bool:
    """A round in which it is killed at that change of the fleet, and its successor at the next one."""
    proxy, again = fleet.controller.proxy, []

    def then() -> None:
        _kill(fleet)
        again.append(proxy.lose(cut=cut, picks=_is_structural, then=lambda: _kill(fleet)))

    fault = proxy.lose(cut="after", picks=_is_structural, skips=number, then=then)
    await _up_and_down(fleet)
    for one in (fault, *again):
        one.lift()
    return fault.hits == 1 and again[0].hits == 1


async def _play(tmp_path: Path, plane: ControlPlane, what: str, crashed: Crashed, chosen: Chosen) -> None:
    """Rounds with a crash each. `chosen`: of the writes of a round, at which; each round ends as one without."""
    async with fleet_row(plane, tmp_path, Shape(replicas=1, maximum=2), "D6", what) as (fleet, line):
        await _up_and_down(fleet)
        writes = await _writes_of_a_round(fleet)
        expected: Json = await fleet.end_state()
        made, crashes = len(fleet.node.made), 0
        line.injected()
        for number in chosen(writes):
            crashes += await crashed(fleet, number)
            made += 1
            assert len(fleet.node.made) == made, f"{number} of {writes}: {len(fleet.node.made)} pods made, not {made}"
            assert not (odd := await fleet.differs(expected)), (odd, number, writes)
        line.detected()
        line.figures |= {"writes": len(writes), "kills": crashes, "lives": fleet.controller.lives}
        assert crashes, "it was never killed"
        assert max(fleet.history.counts(POOL)) <= 2
        line.healed()


def test_d6_killed_after_each_write(tmp_path: Path, fleet_plane: ControlPlane) -> None:
    """The write is done and its answer is lost with the process: the end is as without, and no pod is one too many."""
    crashed = partial(_crashed, cut="after")
    play(_play(tmp_path, fleet_plane, "killed after each write", crashed, _chosen), LIMIT_S)


def test_d6_killed_before_each_change_of_the_fleet(tmp_path: Path, fleet_plane: ControlPlane) -> None:
    """The write is lost with the process, just as it was decided."""

    def structural(writes: Sequence[Asked]) -> list[int]:
        return [number for number in _chosen(writes) if _is_structural(writes[number])]

    crashed = partial(_crashed, cut="before")
    play(_play(tmp_path, fleet_plane, "killed before each write", crashed, structural), LIMIT_S)


def test_d6_killed_between_reading_and_writing(tmp_path: Path, fleet_plane: ControlPlane) -> None:
    """It dies when it has read the number of replicas that it is about to write: up, and down."""

    def reads(asked: Asked) -> bool:
        return asked.verb == "get" and asked.resource == "deployments/scale"

    crashed = partial(_crashed, cut="after", picks=reads)
    play(_play(tmp_path, fleet_plane, "killed between read and write", crashed, lambda _: [0, 1]), LIMIT_S)


@pytest.mark.parametrize("cut", ["before", "after"])
def test_d6_successor_killed_too(tmp_path: Path, fleet_plane: ControlPlane, cut: str) -> None:
    """Killed after a change of the fleet, as between the phases of a removal; its successor at its own first one."""

    def all_but_the_last(writes: Sequence[Asked]) -> list[int]:
        return list(range(sum(map(_is_structural, writes)) - 1))

    crashed = partial(_crashed_twice, cut=cut)
    play(_play(tmp_path, fleet_plane, f"killed twice, {cut} the second write", crashed, all_but_the_last), LIMIT_S)


def test_d6_killed_while_a_replica_drains(tmp_path: Path, fleet_plane: ControlPlane) -> None:
    """Marked, and not gone yet: whoever leads next waits for its streams, cuts none, and takes away that very pod."""

    async def scene() -> None:
        async with fleet_row(
            fleet_plane, tmp_path, Shape(replicas=2, autoscale=LONG_DRAIN), "D6", "killed while a replica drains"
        ) as (fleet, line):
            tasks, busiest = await drained(fleet, line, 25.0)
            path = fleet.path("pods", busiest)

            async def is_marked() -> bool:
                return DRAINING in ((await fleet.api.get(path))["metadata"].get("annotations") or {})

            await eventually(is_marked, within_s=PATIENCE_S, every_s=0.05)
            for _ in range(KILLS):
                lives = fleet.controller.lives
                fleet.controller.kill()
                await eventually(lambda lives=lives: fleet.controller.lives > lives, within_s=PATIENCE_S)  # type: ignore[misc]
                await asyncio.sleep(line.random.uniform(0.5, 4.0))
            await gone_once_ended(fleet, line, tasks, busiest)

    play(scene(), LIMIT_S)


def test_d6_answers_get_lost(tmp_path: Path, fleet_plane: ControlPlane) -> None:
    """Every second answer to a change of the fleet does not arrive: nothing is done twice."""

    async def scene() -> None:
        async with fleet_row(fleet_plane, tmp_path, Shape(replicas=1), "D6", "answers get lost") as (fleet, line):
            turns = itertools.cycle((True, False))
            fault = fleet.controller.proxy.lose(times=None, picks=lambda asked: _is_structural(asked) and next(turns))
            line.injected()
            await fleet.pin(4)
            await fleet.settles(4)
            await fleet.pin(1)
            await fleet.settles(1)
            line.detected()
            assert fault.hits
            # A pod that would not go next is deleted, and another one may come until its Deployment is shrunk.
            deleted = [one for one in fleet.controller.proxy.writes() if one.asked.verb == "delete"]
            assert len(fleet.node.made) <= 4 + len(deleted)
            counts = fleet.history.counts(POOL)
            assert counts == [1, 2, 3, 4, 3, 2, 1], counts
            line.figures["lost"] = fault.hits
            line.healed()

    play(scene(), 300.0)
