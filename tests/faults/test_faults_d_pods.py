"""Fault group D, pods: pending for ever, crashing, dead while the API says they run; clocks that jump; drains."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from tests.cluster.handle import ControlPlane
from tests.faults.caller import ANSWERED, BROKEN
from tests.faults.cluster_fleet import AUTOSCALE, PAIR, Fleet, Shape
from tests.faults.draining_pods import drained, gone_once_ended
from tests.faults.fleet_on_kubernetes import fleet_row
from tests.faults.gateway_process import POOL
from tests.faults.moved_clock import MovedClock
from tests.faults.play import play
from tests.faults.world import eventually

pytestmark = [pytest.mark.faults, pytest.mark.cluster, pytest.mark.timeout(400)]

LIMIT_S = 300.0
HOUR_S = 3600.0
SAID_S = 30.0
EJECTED_S = 10.0
PATIENCE_S = 150.0  # of the row itself, on a busy machine
DRAIN = {**AUTOSCALE, "drainDeadlineSeconds": 60}
SHORT_DRAIN = {**AUTOSCALE, "drainDeadlineSeconds": 3}


def test_d9_pods_stay_pending(tmp_path: Path, fleet_plane: ControlPlane) -> None:
    """There is no room: that is said, no more is asked for than was wanted; with room the pods start and serve."""

    async def scene() -> None:
        async with fleet_row(fleet_plane, tmp_path, Shape(room=1, maximum=6), "D9", "pods stay pending") as (
            fleet,
            line,
        ):
            line.injected()
            await fleet.pin(3)

            async def is_said() -> bool:
                return (await fleet.condition("CapacityUnavailable")).get("status") == "True"

            line.within("said_s", await eventually(is_said, within_s=PATIENCE_S, every_s=0.2), SAID_S)
            line.detected()
            assert "Insufficient nvidia.com/gpu" in (await fleet.condition("CapacityUnavailable"))["message"]
            await fleet.ask_for(15.0)
            assert max(fleet.history.counts(POOL)) <= 3
            await fleet.node.set_room(None)
            line.figures["back_s"] = round(await fleet.settles(3), 1)
            assert not await is_said()
            line.healed()
            fleet.all_answered()

    play(scene(), LIMIT_S)


async def _replaced(fleet: Fleet, pod: str) -> float:
    """Seconds from when somebody takes the pod away until another one serves in its place."""
    began_s = time.monotonic()
    await fleet.api.call("DELETE", fleet.path("pods", pod))
    await eventually(lambda: pod not in fleet.node.wards, within_s=PATIENCE_S)
    await fleet.settles(2)
    return round(time.monotonic() - began_s, 1)


def test_d9_pods_crash(tmp_path: Path, fleet_plane: ControlPlane) -> None:
    """A replica in a crash loop is not sent to, and none is asked for in its place beyond what was wanted."""

    async def scene() -> None:
        async with fleet_row(fleet_plane, tmp_path, PAIR, "D9", "a pod in a crash loop") as (
            fleet,
            line,
        ):
            crashed, healthy = list(fleet.node.serving)
            line.injected()
            began_s = time.monotonic()
            await fleet.node.crash(crashed)
            await fleet.ask_for(15.0)
            line.detected()
            said = await fleet.status()
            assert said["replicas"]["ready"] == 1, said
            assert set(fleet.history.counts(POOL, began_s)) <= {3}
            fleet.all_answered()
            assert fleet.node.wards[healthy].served
            line.figures["back_s"] = await _replaced(fleet, crashed)
            line.healed()

    play(scene(), LIMIT_S)


def test_d11_dead_but_running(tmp_path: Path, fleet_plane: ControlPlane) -> None:
    """The gateway finds out by itself; nobody is told an error."""

    async def scene() -> None:
        async with fleet_row(fleet_plane, tmp_path, PAIR, "D11", "dead, and Running in the API") as (fleet, line):
            dead, _ = list(fleet.node.serving)
            line.injected()
            await fleet.node.silence(dead)
            await fleet.ask_for(EJECTED_S + 5.0, per_s=20.0)
            line.detected()
            fleet.all_answered()
            own = [one for one in fleet.world.told if one.headers.get("x-spillway-attempts", "1") != "1"]
            line.figures["retried"] = len(own)
            last_s = max((one.sent_s for one in own), default=line.began_s)
            line.within("ejected_s", max(0.0, last_s - line.began_s - (line.injected_at_s or 0.0)), EJECTED_S)
            line.figures["back_s"] = await _replaced(fleet, dead)
            line.healed()

    play(scene(), LIMIT_S)


def test_d12_clock_jumps(tmp_path: Path, fleet_plane: ControlPlane) -> None:
    """An hour on and two hours back: nothing is scaled, no mode changes, the lease stays, and work goes on."""

    async def scene() -> None:
        clock = MovedClock(tmp_path / "clock" / "shift")
        shape = Shape(replicas=2, minimum=2, wrapper=clock.wrapper)
        async with fleet_row(fleet_plane, tmp_path, shape, "D12", "the clock jumps by an hour") as (fleet, line):
            await fleet.ask_for(5.0)
            line.injected()
            began_s, routing = time.monotonic(), (await fleet.status())["routing"]["mode"]
            for shift_s in (HOUR_S, -HOUR_S, 0.0):
                clock.set(time.time() + shift_s)
                await fleet.ask_for(6.0)
            line.detected()
            assert fleet.history.counts(POOL, began_s) == []
            assert (await fleet.status())["routing"]["mode"] == routing
            assert fleet.controller.is_running()
            await fleet.pin(3)
            line.figures["back_s"] = round(await fleet.settles(3), 1)
            line.healed()

    play(scene(), LIMIT_S)


def test_d13_drained_with_open_streams(tmp_path: Path, fleet_plane: ControlPlane) -> None:
    """A pool shrinks while every replica answers: no stream is cut, and the pod goes once its last has ended."""

    async def scene() -> None:
        async with fleet_row(
            fleet_plane, tmp_path, Shape(replicas=2, autoscale=DRAIN), "D13", "scale-down with open streams"
        ) as (fleet, line):
            tasks, busiest = await drained(fleet, line, 25.0)
            await asyncio.sleep(5.0)
            await gone_once_ended(fleet, line, tasks, busiest)

    play(scene(), LIMIT_S)


def test_d13_drain_deadline(tmp_path: Path, fleet_plane: ControlPlane) -> None:
    """Streams that outlast the deadline are cut then, with an error event, and not before."""

    async def scene() -> None:
        async with fleet_row(
            fleet_plane, tmp_path, Shape(replicas=2, autoscale=SHORT_DRAIN), "D13", "streams outlast the deadline"
        ) as (fleet, line):
            tasks, _ = await drained(fleet, line, 18.0)
            began_s = line.began_s + (line.injected_at_s or 0.0)
            await asyncio.gather(*tasks)
            line.detected()
            cut = [one for one in fleet.world.told if one.end == BROKEN]
            line.figures["cut"] = len(cut)
            assert cut, "the deadline cut nothing"
            assert all(one.ended_s - began_s >= SHORT_DRAIN["drainDeadlineSeconds"] for one in cut)
            assert {one.end for one in fleet.world.told} <= {ANSWERED, BROKEN}
            await fleet.settles(1)
            line.healed()

    play(scene(), LIMIT_S)
