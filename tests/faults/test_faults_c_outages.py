"""Fault group C, outages: providers that slow down, and those that are all gone for a while."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from tests.faults.caller import ANSWERED, Told
from tests.faults.gateway_process import TIMEOUTS
from tests.faults.play import play
from tests.faults.provider_scene import BOTH, FIRST, PATIENT_LEDGER, SPARE, all_answered, asked, setup_of, sources
from tests.faults.rows import row
from tests.faults.stub import Exchange, Script
from tests.faults.stub_scripts import answer, refuse
from tests.faults.world import World, eventually, world

pytestmark = [pytest.mark.faults, pytest.mark.timeout(150)]

PLACES, TOOK_S = 8, 1.0  # of each provider: eight calls a second
CAPACITY_PER_S = len(BOTH) * PLACES / TOOK_S
OFFERED_PER_S = 10 * CAPACITY_PER_S
TURN_S = 0.1
LEARN_S, DOWN_S, FIRST_S, HEAL_S, WINDOW_S = 10.0, 12.0, 10.0, 30.0, 5.0
BURST = 1.2
GOOD, LEARNED = 0.9, 0.75


def test_c5_a_brownout(tmp_path: Path) -> None:
    """A provider whose first token is late is left for the next one, then left alone; no request is sent twice."""

    async def scene() -> None:
        timeouts = {**TIMEOUTS, "ttft_s": 10.0, "provider_ttft_s": 1.0}
        setup = setup_of(*BOTH, gateway={"timeouts": {**timeouts, **PATIENT_LEDGER["timeouts"]}})
        async with (
            world(tmp_path / "c5", engines=0, providers=BOTH, setup=setup) as here,
            row(here, "C5", "brownout: late first token") as line,
        ):
            first = here.providers[0]
            first.script = answer(first_after_s=5.0)
            line.injected()
            told = []
            for _ in range(2):  # three at once: a retry budget of 20 % and 3 is for blips
                told += await here.ask_many(3, model=FIRST)
            all_answered(told)
            assert sources(*told) == {SPARE}
            line.figures["slowest_s"] = round(max(one.took_s for one in told), 2)
            line.detected()
            quick = await here.ask(model=FIRST)
            assert quick.took_s < 1.0, "it was tried again although it keeps being late"
            first.script = answer()

            async def is_back() -> bool:
                return await asked(here) > 0

            await eventually(is_back, within_s=40.0, every_s=0.25)
            line.healed()

    play(scene())


def test_c5_a_slow_stream(tmp_path: Path) -> None:
    """Five tokens a second, the first in time: it is heard to its end and bought once; nobody answers in its place."""

    async def scene() -> None:
        async with (
            world(tmp_path / "c5", engines=0, providers=BOTH, setup=setup_of(*BOTH)) as here,
            row(here, "C5", "brownout: 5 tokens a second") as line,
        ):
            here.providers[0].script = answer(tokens=12, gap_s=0.2)
            line.injected()
            told = await here.ask_many(6, model=FIRST)
            all_answered(told)
            assert sources(*told) == {FIRST}
            assert {len(one.content) for one in told} == {12}
            line.figures["slowest_s"] = round(max(one.took_s for one in told), 2)
            line.detected()
            line.healed()

    play(scene())


def _with_places() -> Script:
    """So many calls at a time, and a refusal without a time for those beyond."""
    busy = 0

    async def script(exchange: Exchange) -> None:
        nonlocal busy
        if busy >= PLACES:
            await refuse(429)(exchange)
            return
        busy += 1
        try:
            await answer(head_after_s=TOOK_S)(exchange)
        finally:
            busy -= 1

    return script


async def _offer(here: World, told: list[Told], stop: asyncio.Event) -> None:
    """Ten times what the providers bear, as it comes, whoever is still waiting."""
    async with asyncio.TaskGroup() as group:
        loop = asyncio.get_running_loop()
        turn_s = loop.time()
        while not stop.is_set():
            for _ in range(round(OFFERED_PER_S * TURN_S)):
                group.create_task(_one(here, told), name="offered")
            turn_s += TURN_S
            await asyncio.sleep(max(0.0, turn_s - loop.time()))


async def _one(here: World, told: list[Told]) -> None:
    told.append(await here.ask(model=FIRST, stream=False))


def _answered_per_s(told: list[Told], start_s: float, end_s: float) -> float:
    return sum(one.end == ANSWERED and start_s <= one.ended_s < end_s for one in told) / (end_s - start_s)


def test_c6_all_providers_down_and_back(tmp_path: Path) -> None:
    """Under ten times the load: refused at once while down; then no stampede, and as before in thirty seconds."""

    async def scene() -> None:
        async with (
            world(tmp_path / "c6", engines=0, providers=BOTH, setup=setup_of(*BOTH)) as here,
            row(here, "C6", "all down, then back") as line,
        ):
            for stub in here.providers:
                stub.script = _with_places()
            told, stop = list[Told](), asyncio.Event()
            load = asyncio.create_task(_offer(here, told, stop), name="load")
            await asyncio.sleep(LEARN_S)
            down_s = time.monotonic()
            before = _answered_per_s(told, down_s - WINDOW_S, down_s)
            line.figures["before_per_s"] = round(before, 1)
            assert before >= LEARNED * CAPACITY_PER_S
            line.injected()
            for stub in here.providers:
                await stub.die()
            await asyncio.sleep(DOWN_S)
            refused = [one for one in told if down_s + 1.0 < one.ended_s]
            assert refused
            assert all(one.end != ANSWERED for one in refused)
            line.within("slowest_refusal_s", max(one.took_s for one in refused), TIMEOUTS["connect_s"])
            line.detected()
            for stub in here.providers:
                await stub.listen()
            back_s, calls = time.monotonic(), len(here.calls)
            await asyncio.sleep(FIRST_S)
            line.figures["first_calls"] = len(here.calls) - calls
            assert len(here.calls) - calls <= BURST * CAPACITY_PER_S * FIRST_S

            def is_as_before() -> bool:
                now_s = time.monotonic()
                return _answered_per_s(told, now_s - WINDOW_S, now_s) >= GOOD * before

            await eventually(is_as_before, within_s=HEAL_S - FIRST_S, every_s=0.25)
            line.figures["goodput_back_s"] = round(time.monotonic() - back_s, 1)
            first_s = min(one.ended_s for one in told if one.end == ANSWERED and one.ended_s > back_s)
            ramp = sum(first_s <= call.began_s < first_s + FIRST_S for call in here.calls)
            assert ramp <= BURST * CAPACITY_PER_S * FIRST_S
            line.figures["ramp_calls"] = ramp
            stop.set()
            await load
            line.healed()

    play(scene(), limit_s=140.0)
