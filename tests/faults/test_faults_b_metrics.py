"""Fault group B: engines whose metrics lie, to the gateway and to the controller."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from tests.e2e.stack import free_ports
from tests.faults.caller import ANSWERED
from tests.faults.fleet_of_stubs import ControllerProcess, controller, stand_ins
from tests.faults.gateway_process import Setup
from tests.faults.play import play
from tests.faults.rows import Row, row
from tests.faults.stub import Stub
from tests.faults.world import World, eventually, world

pytestmark = [pytest.mark.faults, pytest.mark.timeout(120)]

LIES: dict[str, bytes] = {
    "absent": b"",
    "NaN": b"vllm:num_requests_running NaN\nvllm:num_requests_waiting NaN\nvllm:kv_cache_usage_perc NaN\n",
    "huge": b"vllm:num_requests_running 1e308\nvllm:num_requests_waiting 1e308\nvllm:kv_cache_usage_perc 1e308\n",
    "negative": b"vllm:num_requests_running -5\nvllm:num_requests_waiting -5\nvllm:kv_cache_usage_perc -1\n",
    "no metrics": b"<html>\xff\xfe</html>",
    "renamed": b"engine_requests_running 5\n",
}


def test_b10_metrics_lie(tmp_path: Path) -> None:
    """Whatever an engine says on its metrics page, requests are answered."""

    async def scene() -> None:
        async with world(tmp_path / "b10", engines=2) as here, row(here, "B10", "lying metrics") as line:
            line.injected()
            for data in LIES.values():
                here.engines[0].pages["/metrics"] = lambda data=data: (200, data)
                deadline_s = time.monotonic() + 1.5
                while time.monotonic() < deadline_s:
                    told = await here.ask_many(4, stream=False)
                    assert {one.end for one in told} == {ANSWERED}
                    await asyncio.sleep(0.05)
            line.detected()
            line.healed()

    play(scene())


# controller ticks of 0.25 s
OUTSIDE = {"stub-openai": "openai"}
SPILL_RATIO, COOLDOWN_S = 0.5, 5.0
BELIEVED_S, FROZEN_S = 10.0, 4.0  # it takes 3 s, on a busy machine more; then to the end of the cooldown and on
LIE_S, BACK_S = 1.0, 40.0
FROZEN = (
    b"vllm:num_requests_running 1\nvllm:num_requests_waiting 0\nvllm:kv_cache_usage_perc 0.1\n"
    b"vllm:prompt_tokens_total 700\nvllm:generation_tokens_total 300\n"
)
POOL_SECTION: Mapping[str, object] = {
    "endpoints": [],
    "replicas": {"min": 1, "max": 4},
    "autoscale": {"scale_down_cooldown_s": COOLDOWN_S, "drain_deadline_s": 5.0, "cold_start_s": 1.0},
    "spill": {"to": list(OUTSIDE), "min_dwell_s": 1.0, "return_ramp_ratio_per_s": 0.05},
}


async def _holds(here: World, running: ControllerProcess, seconds: float, reason: str) -> None:
    """For so long nothing starts, drains, ends or returns, requests are answered, and in the end the reason is said."""
    deadline_s, before = time.monotonic() + seconds, (await running.pool())["spill_ratio"]
    while time.monotonic() < deadline_s:
        pool = await running.pool()
        assert pool["desired_replicas"] == 2, pool["decision_reason"]
        assert (pool["mode"], pool["spill_ratio"]) == ("Spilling", before), pool["mode_reason"]
        assert running.replicas() == dict.fromkeys(("engine-1", "engine-2"), "running")
        told = await here.ask_many(2, stream=False)
        assert {one.end for one in told} == {ANSWERED}
        await asyncio.sleep(0.2)

    async def is_said() -> bool:  # a scrape may be late for once
        return str((await running.pool())["decision_reason"]).startswith(reason)

    await eventually(is_said, within_s=5.0, every_s=0.1)


async def _lied_to(here: World, line: Row, running: ControllerProcess) -> None:
    """Each lie by all engines, then by one beside an honest idle one."""

    def say(engines: Sequence[Stub], data: bytes) -> None:
        for engine in engines:
            engine.pages["/metrics"] = lambda: (200, data)

    say(here.engines, FROZEN)

    async def is_blind() -> bool:
        return await running.metric("spillway_pool_blind") == 1

    await eventually(is_blind, within_s=BELIEVED_S, every_s=0.1)
    await _holds(here, running, FROZEN_S, "no_data")
    line.detected()
    for data in LIES.values():
        say(here.engines, data)
        await _holds(here, running, LIE_S, "no_data")
    del here.engines[1].pages["/metrics"]
    for data in LIES.values():
        say(here.engines[:1], data)
        await _holds(here, running, LIE_S, "no word from 1 of 2")

    async def is_counted() -> bool:
        return await running.metric("spillway_pool_unknown_replicas") == 1

    await eventually(is_counted, within_s=5.0, every_s=0.1)
    assert await running.metric("spillway_pool_actions_total") == 0


def test_b10_metrics_lie_to_the_controller(tmp_path: Path) -> None:
    """Nothing is scaled and nothing returns on such figures; with honest ones the idle pool comes home and shrinks."""

    async def scene() -> None:
        (port,) = free_ports(1)
        setup = Setup(pool=POOL_SECTION, changes={"controller": {"port": port, "tick_s": 0.25}})
        with contextlib.ExitStack() as stack:

            def front(stubs: Sequence[Stub]) -> Sequence[str]:
                stack.enter_context(stand_ins(tmp_path / "b10", stubs, SPILL_RATIO))
                return [stub.url for stub in stubs]

            async with (
                world(tmp_path / "b10", engines=2, providers=OUTSIDE, setup=setup, front=front) as here,
                row(here, "B10", "metrics lie to the controller") as line,
            ):
                for engine in here.engines:
                    engine.pages["/metrics"] = lambda: (200, FROZEN)
                line.injected()
                async with controller(here.gateway, port) as running:
                    await _lied_to(here, line, running)
                    here.engines[0].pages.clear()

                    async def is_home() -> bool:
                        pool = await running.pool()
                        return pool["mode"] == "Local" and list(running.replicas().values()) == ["running"]

                    line.figures["back_s"] = round(await eventually(is_home, within_s=BACK_S, every_s=0.1), 1)
                    line.healed()
                    assert {one.end for one in await here.ask_many(8, stream=False)} == {ANSWERED}

    play(scene())
