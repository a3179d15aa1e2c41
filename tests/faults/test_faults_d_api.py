"""Fault group D, API: apiserver, etcd and leaders that die, stand still, or are cut off."""

from __future__ import annotations

import asyncio
import signal
import time
from pathlib import Path

import pytest

from tests.cluster.handle import ControlPlane
from tests.faults.caller import ANSWERED
from tests.faults.cluster_fleet import Fleet, Shape, cluster_row
from tests.faults.fleet_on_kubernetes import fleet_on_kubernetes
from tests.faults.gateway_process import POOL
from tests.faults.play import play
from tests.faults.rows import Row
from tests.faults.world import eventually

pytestmark = [pytest.mark.faults, pytest.mark.cluster, pytest.mark.timeout(400)]

LIMIT_S = 300.0
KILLED_S = 30.0
STOPPED_S = 75.0  # longer than anything known may be acted on
CAUGHT_UP_S = 30.0
PAUSED_S = 20.0
TAKEOVER_S = 20.0
PATIENCE_S = 120.0  # of the row itself, on a busy machine


async def _nothing_moves(fleet: Fleet, seconds: float, since_s: float) -> None:
    """Requests are answered all the time; afterwards no number of replicas has changed since."""
    await fleet.ask_for(seconds)
    fleet.all_answered()
    assert fleet.history.counts(POOL, since_s) == []


async def _comes_back(fleet: Fleet, line: Row) -> None:
    """What an operator wants is done again soon."""
    await fleet.pin(3)
    line.within("caught_up_s", await fleet.settles(3), CAUGHT_UP_S)
    line.healed()
    await _answers(fleet)


async def _answers(fleet: Fleet) -> None:
    assert {one.end for one in await fleet.world.ask_many(8, stream=True)} == {ANSWERED}


def test_d1_apiserver_killed(tmp_path: Path, fleet_plane: ControlPlane) -> None:
    """No request fails and nothing is scaled while it is gone; afterwards all goes on."""

    async def scene() -> None:
        async with (
            fleet_on_kubernetes(fleet_plane, tmp_path, Shape(replicas=2, minimum=2)) as fleet,
            cluster_row(fleet, "D1", "apiserver killed") as line,
        ):
            line.injected()
            began_s = time.monotonic()
            fleet_plane.component("kube-apiserver").kill()
            await _nothing_moves(fleet, KILLED_S, began_s)
            fleet_plane.component("kube-apiserver").start()
            await asyncio.to_thread(fleet_plane.until_ready)
            line.detected()
            await _comes_back(fleet, line)

    play(scene(), LIMIT_S)


def test_d1_apiserver_stopped(tmp_path: Path, fleet_plane: ControlPlane) -> None:
    """The same where it stands still: every connection stays open and nothing is said on it."""

    async def scene() -> None:
        async with (
            fleet_on_kubernetes(fleet_plane, tmp_path, Shape(replicas=2, minimum=2)) as fleet,
            cluster_row(fleet, "D1", "apiserver stopped", takeovers=1) as line,
        ):
            line.injected()
            began_s = time.monotonic()
            fleet_plane.component("kube-apiserver").freeze()
            try:
                await _nothing_moves(fleet, STOPPED_S, began_s)
            finally:
                fleet_plane.component("kube-apiserver").thaw()
            await asyncio.to_thread(fleet_plane.until_ready)
            line.detected()
            await _comes_back(fleet, line)

    play(scene(), LIMIT_S)


def test_d2_etcd_paused(tmp_path: Path, fleet_plane: ControlPlane) -> None:
    """Whoever cannot renew the lease writes nothing; after the pause one of two leads, and the fleet is as it was."""

    async def scene() -> None:
        async with (
            fleet_on_kubernetes(fleet_plane, tmp_path, Shape(replicas=2, minimum=2, controllers=2)) as fleet,
            cluster_row(fleet, "D2", "etcd paused", takeovers=1) as line,
        ):
            line.injected()
            began_s = time.monotonic()
            fleet_plane.component("etcd").freeze()
            try:
                await _nothing_moves(fleet, PAUSED_S, began_s)
            finally:
                fleet_plane.component("etcd").thaw()
            line.detected()
            await asyncio.to_thread(fleet_plane.until_ready)
            await _comes_back(fleet, line)

    play(scene(), LIMIT_S)


def test_d2_leader_paused(tmp_path: Path, fleet_plane: ControlPlane) -> None:
    """The other one takes over; the paused one wakes up, writes nothing and ends."""

    async def scene() -> None:
        async with (
            fleet_on_kubernetes(fleet_plane, tmp_path, Shape(replicas=2, minimum=2, controllers=2)) as fleet,
            cluster_row(fleet, "D2", "leader paused", takeovers=1) as line,
        ):
            first, second = fleet.controllers
            first.is_kept = False
            assert await fleet.leader() == first.name
            line.injected()
            began_s = time.monotonic()
            first.signal(signal.SIGSTOP)

            async def is_taken() -> bool:
                return await fleet.leader() == second.name

            line.within("takeover_s", await eventually(is_taken, within_s=PATIENCE_S, every_s=0.1), TAKEOVER_S)
            line.detected()
            await fleet.ask_for(max(0.0, PAUSED_S - (time.monotonic() - began_s)))
            awake_s = time.monotonic()
            first.signal(signal.SIGCONT)
            line.within("ended_s", await eventually(lambda: not first.is_running(), within_s=PATIENCE_S), 15.0)
            assert first.code() == 1
            assert [one.asked for one in first.proxy.writes(awake_s)] == []
            assert fleet.history.counts(POOL, began_s) == []
            await _comes_back(fleet, line)

    play(scene(), LIMIT_S)


def test_d3_leader_cut_off(tmp_path: Path, fleet_plane: ControlPlane) -> None:
    """One takeover, after which the one cut off has ended by itself; no replica comes or goes for it."""

    async def scene() -> None:
        async with (
            fleet_on_kubernetes(fleet_plane, tmp_path, Shape(replicas=2, minimum=2, controllers=2)) as fleet,
            cluster_row(fleet, "D3", "leader cut off", takeovers=1) as line,
        ):
            first, second = fleet.controllers
            first.is_kept = False
            line.injected()
            began_s = time.monotonic()
            first.proxy.silence()

            async def is_taken() -> bool:
                return await fleet.leader() == second.name

            line.within("takeover_s", await eventually(is_taken, within_s=PATIENCE_S, every_s=0.1), TAKEOVER_S)
            line.detected()
            await eventually(lambda: not first.is_running(), within_s=PATIENCE_S)
            first.proxy.thaw()
            await _nothing_moves(fleet, 5.0, began_s)
            await _comes_back(fleet, line)

    play(scene(), LIMIT_S)
