"""Fault group D, shortage: more work than replicas, and no room for the pods that would take it."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from controller.autoscale.cold_starts import LEAST_START_S
from controller.loop.shortage import FIRST_PAUSE_S, LATE_FACTOR, LONGEST_PAUSE_S
from tests.cluster.handle import ControlPlane
from tests.faults.cluster_fleet import OUTSIDE, Fleet, Shape
from tests.faults.fleet_on_kubernetes import fleet_row
from tests.faults.gateway_process import POOL
from tests.faults.play import play
from tests.faults.real_engine import RealEngine
from tests.faults.rows import D9_VARIABLE, Row
from tests.faults.stub import Exchange, Stub
from tests.faults.stub_scripts import answer
from tests.faults.world import eventually

SHORT_S = float(os.environ.get(D9_VARIABLE, "45"))  # there is no room for so long
LATE_S = LATE_FACTOR * LEAST_START_S  # then the first starts are given up, and one at a time is tried
LONGER_S = 0.0 if SHORT_S < LATE_S else LONGEST_PAUSE_S  # until room is found that is there again
LIMIT_S = SHORT_S + LONGER_S + 355.0
pytestmark = [pytest.mark.faults, pytest.mark.cluster, pytest.mark.timeout(LIMIT_S + 100.0)]

SAID_S = 30.0
PATIENCE_S = 150.0  # of the row itself, on a busy machine
CALLERS, SEATS = 12, 4
WANTED = CALLERS // SEATS
TOKENS, GAP_S, PAUSE_S = 20, 0.1, 0.5
SPILLING = ("Spilling", "External")
SHAPE = Shape(room=1, maximum=6, engine={"maxNumSeqs": SEATS})


@asynccontextmanager
async def _busy(fleet: Fleet) -> AsyncIterator[None]:
    """More callers than a replica has seats, each asking again as soon as it is answered."""
    over = asyncio.Event()

    async def ask() -> None:
        while not over.is_set():
            for engine in fleet.world.engines:
                _seat(engine)
            await fleet.world.ask(stream=True)
            await asyncio.sleep(PAUSE_S)

    callers = [asyncio.create_task(ask(), name="caller") for _ in range(CALLERS)]
    try:
        yield
    finally:
        over.set()
        await asyncio.gather(*callers)


def _seat(engine: Stub | RealEngine) -> None:
    """It answers so many at a time, the others wait, and its metrics say so."""
    assert isinstance(engine, Stub)
    if "/metrics" in engine.pages:
        return
    seats, answered = asyncio.Semaphore(SEATS), answer(tokens=TOKENS, gap_s=GAP_S)

    async def script(exchange: Exchange) -> None:
        async with seats:
            await answered(exchange)

    def metrics() -> tuple[int, bytes]:
        taken = len(engine.open_calls)
        figures = {
            "num_requests_running": min(SEATS, taken),
            "num_requests_waiting": max(0, taken - SEATS),
            "kv_cache_usage_perc": min(1.0, taken / SEATS),
            "generation_tokens_total": sum(call.made_tokens for call in engine.calls),
        }
        labels = f'{{engine="0",model_name="{engine.name}"}}'
        return 200, "".join(f"vllm:{name}{labels} {value}\n" for name, value in figures.items()).encode()

    engine.script, engine.pages["/metrics"] = script, metrics


async def _mode(fleet: Fleet) -> str:
    return str(((await fleet.status()).get("routing") or {}).get("mode"))


def _bought(fleet: Fleet, since_s: float) -> int:
    return sum(one.stub in OUTSIDE for one in fleet.world.calls if one.began_s >= since_s)


def _tries(seconds: float) -> int:
    """How often one start is tried once the first were given up: each is waited for longer, after a longer pause."""
    at_s, tries = LATE_S, 0
    while (at_s := at_s + min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0**tries)) < seconds:
        tries += 1
        at_s += LATE_S * 2.0**tries
    return tries


async def _stays_short(fleet: Fleet, line: Row) -> None:
    """For some time: the spill stays open, and no more is asked for than is wanted."""
    began_s = time.monotonic()
    while time.monotonic() - began_s < SHORT_S:
        assert await _mode(fleet) in SPILLING
        assert max(fleet.history.counts(POOL)) <= WANTED, fleet.history.counts(POOL)
        await asyncio.sleep(1.0)
    line.figures["bought_per_s"] = round(_bought(fleet, began_s) / SHORT_S, 1)
    assert _bought(fleet, began_s)
    tries = len(fleet.node.made) - WANTED
    assert tries == _tries(SHORT_S), f"{tries} pods came and went, where {_tries(SHORT_S)} tries were due"


def test_d9_load_without_room(tmp_path: Path, fleet_plane: ControlPlane) -> None:
    """Work for three replicas and room for one: the rest is bought all the while; with room it comes home."""

    async def scene() -> None:
        async with fleet_row(fleet_plane, tmp_path, SHAPE, "D9", "load without room") as (fleet, line):
            line.injected()
            await fleet.pin(WANTED)
            async with _busy(fleet):

                async def is_said() -> bool:
                    is_short = (await fleet.condition("CapacityUnavailable")).get("status") == "True"
                    return is_short and await _mode(fleet) in SPILLING

                line.within("said_s", await eventually(is_said, within_s=PATIENCE_S, every_s=0.2), SAID_S)
                line.detected()
                await _stays_short(fleet, line)
                await fleet.node.set_room(None)
                roomy_s = time.monotonic()

                def is_served() -> bool:
                    return len(fleet.node.serving) == WANTED and all(
                        any(call.began_s > roomy_s for call in one.calls)
                        for one in fleet.world.engines
                        if one.name in fleet.node.serving
                    )

                served_s = await eventually(is_served, within_s=PATIENCE_S + LONGER_S, every_s=0.2)
                line.within("served_s", served_s, SAID_S + LONGER_S)

            async def is_home() -> bool:
                return await _mode(fleet) == "Local"

            line.figures["home_s"] = round(await eventually(is_home, within_s=PATIENCE_S, every_s=0.2), 1)
            line.healed()
            fleet.all_answered()

    play(scene(), LIMIT_S)
