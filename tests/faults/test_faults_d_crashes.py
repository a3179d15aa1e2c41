"""Fault group D, crashes: a controller killed right after, or right before, each of its writes."""

from __future__ import annotations

import itertools
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.api_asked import Asked
from tests.cluster.handle import ControlPlane
from tests.faults.cluster_fleet import Fleet, Shape, cluster_row
from tests.faults.fleet_history import NOT_OF_THE_FLEET
from tests.faults.fleet_on_kubernetes import fleet_on_kubernetes
from tests.faults.gateway_process import POOL
from tests.faults.play import play

pytestmark = [pytest.mark.faults, pytest.mark.cluster, pytest.mark.timeout(900)]

LIMIT_S = 840.0
STRUCTURAL = {"deployments/scale", "pods"}
Json = dict[str, Any]


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


async def _crashed(fleet: Fleet, number: int, cut: str) -> bool:
    """A round in which the controller is killed at that write; whether it came to that."""
    pid = fleet.controller.pid
    fault = fleet.controller.proxy.lose(
        cut=cut, picks=_is_of_the_fleet, skips=number, then=lambda: os.kill(pid, signal.SIGKILL)
    )
    await _up_and_down(fleet)
    fault.lift()
    return fault.hits == 1


async def _play(tmp_path: Path, plane: ControlPlane, cut: str, *, only_structural: bool) -> None:
    async with (
        fleet_on_kubernetes(plane, tmp_path, Shape(replicas=1, maximum=2)) as fleet,
        cluster_row(fleet, "D6", f"killed {cut} each write") as line,
    ):
        await _up_and_down(fleet)
        writes = await _writes_of_a_round(fleet)
        expected: Json = await fleet.end_state()
        made, crashes = len(fleet.node.made), 0
        line.injected()
        for number in _chosen(writes):
            if only_structural and writes[number].resource not in STRUCTURAL:
                continue
            crashes += await _crashed(fleet, number, cut)
            made += 1
            assert len(fleet.node.made) == made, f"{writes[number]}: {len(fleet.node.made)} pods made, not {made}"
            assert await fleet.end_state() == expected, writes[number]
        line.detected()
        line.figures |= {"writes": len(writes), "kills": crashes, "lives": fleet.controller.lives}
        assert crashes, "it was never killed"
        assert max(fleet.history.counts(POOL)) <= 2
        line.healed()


def test_d6_killed_after_each_write(tmp_path: Path, fleet_plane: ControlPlane) -> None:
    """The write is done and its answer is lost with the process: the end is as without, and no pod is one too many."""
    play(_play(tmp_path, fleet_plane, "after", only_structural=False), LIMIT_S)


def test_d6_killed_before_each_change_of_the_fleet(tmp_path: Path, fleet_plane: ControlPlane) -> None:
    """The write is lost with the process, just as it was decided."""
    play(_play(tmp_path, fleet_plane, "before", only_structural=True), LIMIT_S)


def test_d6_answers_get_lost(tmp_path: Path, fleet_plane: ControlPlane) -> None:
    """Every second answer to a change of the fleet does not arrive: nothing is done twice."""

    async def scene() -> None:
        async with (
            fleet_on_kubernetes(fleet_plane, tmp_path, Shape(replicas=1)) as fleet,
            cluster_row(fleet, "D6", "answers get lost") as line,
        ):
            turns = itertools.cycle((True, False))
            fault = fleet.controller.proxy.lose(
                times=None, picks=lambda asked: asked.is_write and asked.resource in STRUCTURAL and next(turns)
            )
            line.injected()
            await fleet.pin(4)
            await fleet.settles(4)
            await fleet.pin(1)
            await fleet.settles(1)
            line.detected()
            assert fault.hits
            assert len(fleet.node.made) == 4
            counts = fleet.history.counts(POOL)
            assert counts == [1, 2, 3, 4, 3, 2, 1], counts
            line.figures["lost"] = fault.hits
            line.healed()

    play(scene(), 300.0)
