"""Fault group D, API: apiserver, etcd and leaders that die, stand still, or are cut off."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cluster.deploying_plane import manager_begins_anew
from tests.cluster.handle import ControlPlane
from tests.faults.caller import ANSWERED
from tests.faults.cluster_controller import ClusterController
from tests.faults.cluster_fleet import OUTSIDE, PAIR, Fleet, Shape
from tests.faults.fleet_on_kubernetes import fleet_row
from tests.faults.gateway_process import POOL
from tests.faults.name_server import name_server
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
TWO_CONTROLLERS = Shape(replicas=2, minimum=2, controllers=2)


@dataclass(frozen=True, kw_only=True)
class Away:
    """A part of the API that is not there for some time."""

    case: str = "D1"
    part: str = "kube-apiserver"
    lasts_s: float = KILLED_S
    is_frozen: bool = False
    shape: Shape = PAIR
    takeovers: int = 0

    @contextlib.asynccontextmanager
    async def befalling(self, plane: ControlPlane) -> AsyncIterator[None]:
        """It is away; afterwards it is back, and what else goes on only then."""
        part = plane.component(self.part)
        if self.is_frozen:
            part.freeze()
        else:
            part.kill()
        try:
            yield
        finally:
            if self.is_frozen:
                part.thaw()
            else:
                part.start()
        await asyncio.to_thread(plane.until_ready)
        await asyncio.to_thread(manager_begins_anew, plane)


AWAY = {
    "apiserver killed": Away(),
    "apiserver stopped": Away(lasts_s=STOPPED_S, is_frozen=True, takeovers=1),
    "etcd paused": Away(case="D2", part="etcd", lasts_s=PAUSED_S, is_frozen=True, shape=TWO_CONTROLLERS, takeovers=1),
}


async def _nothing_moves(fleet: Fleet, seconds: float, since_s: float) -> None:
    """Requests are answered all the time; afterwards no number of replicas has changed since."""
    await fleet.ask_for(seconds)
    fleet.all_answered()
    assert fleet.history.counts(POOL, since_s) == []


async def _comes_back(fleet: Fleet, line: Row) -> None:
    """What an operator wants is done again soon: first by the controller, then by the cluster's own parts, too."""
    await fleet.pin(3)

    async def is_asked_for() -> bool:
        return await fleet.replicas() == 3

    asked_s = await eventually(is_asked_for, within_s=PATIENCE_S, every_s=0.1)
    line.figures["asked_for_s"] = round(asked_s, 3)
    line.within("caught_up_s", asked_s + await fleet.settles(3), CAUGHT_UP_S)
    line.healed()
    assert {one.end for one in await fleet.world.ask_many(8, stream=True)} == {ANSWERED}


@pytest.mark.parametrize("what", AWAY)
def test_d1_d2_part_of_the_api_is_away(tmp_path: Path, fleet_plane: ControlPlane, what: str) -> None:
    """No request fails and nothing is scaled while it is gone or says nothing; afterwards all goes on."""
    away = AWAY[what]

    async def scene() -> None:
        async with fleet_row(fleet_plane, tmp_path, away.shape, away.case, what, takeovers=away.takeovers) as (
            fleet,
            line,
        ):
            line.injected()
            began_s = time.monotonic()
            async with away.befalling(fleet_plane):
                await _nothing_moves(fleet, away.lasts_s, began_s)
            line.detected()
            await _comes_back(fleet, line)

    play(scene(), LIMIT_S)


def test_d1_names_gone_too(tmp_path: Path, fleet_plane: ControlPlane) -> None:
    """Names are not resolved any more either: pods are reached by address, the provider by the last one known."""

    async def scene() -> None:
        async with name_server() as names:
            shape = Shape(replicas=2, minimum=2, names=names)
            async with fleet_row(fleet_plane, tmp_path, shape, "D1", "apiserver killed, names gone") as (fleet, line):
                assert names.asked, "the gateway asks somebody else for names"
                line.injected()
                began_s = time.monotonic()
                names.is_mute = True
                async with Away().befalling(fleet_plane):
                    await _nothing_moves(fleet, KILLED_S, began_s)
                    for name in OUTSIDE:
                        assert (await fleet.world.ask(model=name, stream=False)).end == ANSWERED
                line.detected()
                await _comes_back(fleet, line)
                names.is_mute = False

    play(scene(), LIMIT_S)


async def _taken_over(fleet: Fleet, line: Row, other: ClusterController) -> None:
    """The other controller leads, in time."""

    async def is_taken() -> bool:
        return await fleet.leader() == other.name

    line.within("takeover_s", await eventually(is_taken, within_s=PATIENCE_S, every_s=0.1), TAKEOVER_S)
    line.detected()


def test_d2_leader_paused(tmp_path: Path, fleet_plane: ControlPlane) -> None:
    """The other one takes over; the paused one wakes up, writes nothing and ends."""

    async def scene() -> None:
        async with fleet_row(fleet_plane, tmp_path, TWO_CONTROLLERS, "D2", "leader paused", takeovers=1) as (
            fleet,
            line,
        ):
            first, second = fleet.controllers
            first.is_kept = False
            assert await fleet.leader() == first.name
            line.injected()
            began_s = time.monotonic()
            first.signal(signal.SIGSTOP)
            await _taken_over(fleet, line, second)
            await fleet.ask_for(max(0.0, PAUSED_S - (time.monotonic() - began_s)))
            awake_s = time.monotonic()
            first.signal(signal.SIGCONT)
            line.within("ended_s", await eventually(lambda: not first.is_running(), within_s=PATIENCE_S), 15.0)
            assert first.code() == 1
            assert [one.asked for one in first.proxy.writes(awake_s)] == []
            await _nothing_moves(fleet, 1.0, began_s)
            await _comes_back(fleet, line)

    play(scene(), LIMIT_S)


def test_d3_leader_cut_off(tmp_path: Path, fleet_plane: ControlPlane) -> None:
    """One takeover, after which the one cut off has ended by itself; no replica comes or goes for it."""

    async def scene() -> None:
        async with fleet_row(fleet_plane, tmp_path, TWO_CONTROLLERS, "D3", "leader cut off", takeovers=1) as (
            fleet,
            line,
        ):
            first, second = fleet.controllers
            first.is_kept = False
            line.injected()
            began_s = time.monotonic()
            first.proxy.silence()
            await _taken_over(fleet, line, second)
            await eventually(lambda: not first.is_running(), within_s=PATIENCE_S)
            first.proxy.thaw()
            await _nothing_moves(fleet, 5.0, began_s)
            await _comes_back(fleet, line)

    play(scene(), LIMIT_S)
