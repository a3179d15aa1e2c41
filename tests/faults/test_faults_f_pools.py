"""Fault group F, pools: a ModelPool that is edited again and again, well and badly, under traffic."""

from __future__ import annotations

import asyncio
from pathlib import Path

import psutil
import pytest

from tests.cluster.handle import ControlPlane
from tests.faults.cluster_fleet import PAIR, Fleet
from tests.faults.fleet_on_kubernetes import fleet_row
from tests.faults.gateway_process import POOL
from tests.faults.play import play
from tests.faults.world import eventually

pytestmark = [pytest.mark.faults, pytest.mark.cluster, pytest.mark.timeout(400)]

LIMIT_S = 300.0
EDITS, EVERY_S = 100, 0.3
SAID_S, PATIENCE_S = 30.0, 150.0
SPARE_FDS = 3


async def _edit(fleet: Fleet, to: list[str]) -> None:
    await fleet.api.patch(fleet.path("modelpools", POOL), {"spec": {"spill": {"to": to}}})


def test_f3_model_pool_edited_all_the_time(tmp_path: Path, fleet_plane: ControlPlane) -> None:
    """Every second edit names a model that does not exist: the pool goes on, the condition says so, nothing is lost."""

    async def scene() -> None:
        async with fleet_row(fleet_plane, tmp_path, PAIR, "F3", "100 edits of a ModelPool") as (
            fleet,
            line,
        ):
            process = psutil.Process(fleet.controller.pid)
            fds = process.num_fds()
            line.injected()
            asking = asyncio.create_task(fleet.ask_for(EDITS * EVERY_S))
            for number in range(EDITS):
                await _edit(fleet, ["stub-openai"] if number % 2 else ["no-such-model"])
                await asyncio.sleep(EVERY_S)
            await asking
            await _edit(fleet, ["no-such-model"])

            async def is_said() -> bool:
                said = await fleet.condition("Stalled")
                return said.get("status") == "True" and "no-such-model" in said["message"]

            line.within("said_s", await eventually(is_said, within_s=PATIENCE_S, every_s=0.2), SAID_S)
            line.detected()
            await fleet.ask_for(3.0)
            await _edit(fleet, ["stub-openai"])

            async def is_mended() -> bool:
                return (await fleet.condition("Stalled")).get("status") == "False"

            line.within("mended_s", await eventually(is_mended, within_s=PATIENCE_S, every_s=0.2), SAID_S)
            fleet.all_answered()
            assert set(fleet.history.counts(POOL)) == {2}
            assert process.num_fds() <= fds + SPARE_FDS
            await fleet.pin(3)
            await fleet.settles(3)
            line.healed()

    play(scene(), LIMIT_S)
