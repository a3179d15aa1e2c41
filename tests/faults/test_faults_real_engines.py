"""Rows B1, B2 and F1 on the real vLLM: a killed server, a stopped engine core, replicas and gateways told to end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.faults.caller import ANSWERED, BROKEN
from tests.faults.play import play
from tests.faults.real_engine import DRAIN_S, RealEngine, all_up, has_ended, real_engines
from tests.faults.real_rows import (
    LONG_TOKENS,
    OPENED_S,
    SHORT,
    all_answered,
    asked_and_answered,
    asked_of,
    busiest,
    health,
    ids_at,
    is_any_dead,
    is_counted,
    is_saturated,
    metrics,
    opened,
    out_of_rotation,
    patient,
    serves_again,
    started_again,
)
from tests.faults.rows import row
from tests.faults.second_gateway import exit_code, second_gateway, takes_connections, turns_unready
from tests.faults.world import Canaries, World, eventually, world

pytestmark = [pytest.mark.faults, pytest.mark.vllm, pytest.mark.timeout(900)]

LIMIT_S = 420.0
EJECTED_S, ERROR_S, ERROR_BUSY_S, BACK_S, BACK_AFTER_HANG_S, UNREADY_S = 10.0, 1.0, 5.0, 5.0, 30.0, 0.5
BACK_BUSY_S = 60.0  # where vLLM has all cores: the first answers of a new engine take seconds
GIVEN = "vllm:generation_tokens_total"
BEGUN_TOKENS = 150  # some of each stream: one whose caller has no byte yet goes elsewhere, and so might all
CANARIES = Canaries.fresh()  # of the whole file: the words of the model are made before its rows


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[RealEngine]]:
    """Two real servers: the first drains when it is told to end, the second ends at once."""
    with real_engines(tmp_path_factory.mktemp("vllm"), CANARIES.completion) as made:
        yield made


@pytest.fixture
def engines(servers: list[RealEngine]) -> list[RealEngine]:
    """Both of them, up, and asked nothing yet."""
    all_up(servers)
    for engine in servers:
        engine.note_calls()
        engine.calls.clear()
    return servers


def test_b2_a_real_engine_core_hangs(engines: Sequence[RealEngine], tmp_path: Path) -> None:
    """Its health page answers 200 all the time; it is found by its silence, where idle and saturated are not."""

    async def scene() -> None:
        async with (
            world(tmp_path / "b2", real=engines, canaries=CANARIES, setup=patient()) as here,
            row(here, "B2", "real vLLM: core stopped, health 200") as line,
        ):
            await asyncio.sleep(3.0)
            assert not await is_any_dead(here), "idle is not hung"
            await is_saturated(here, line, engines)
            streams = await opened(here, (), 6)
            hung = busiest(here, engines)
            core = hung.core()
            core.suspend()
            try:
                line.injected()
                line.figures["ejected_s"] = round(await _is_left_alone(here, hung), 1)
                line.detected()
                assert await health(hung) == 200
                ends = await asyncio.gather(*streams)
                assert {told.end for told in ends} <= {ANSWERED, BROKEN}
                assert {told.request_id for told in ends if told.end == BROKEN} <= ids_at(here, hung)
                line.figures["broken"] = sum(told.end == BROKEN for told in ends)
            finally:
                core.resume()
            line.figures["back_s"] = round(await serves_again(here, hung, BACK_AFTER_HANG_S), 1)
            line.healed()
            line.figures["tokens"] = await is_counted(here, [told for told in ends if told.end == ANSWERED])

    async def _is_left_alone(here: World, hung: RealEngine) -> float:
        """Seconds until it is out of rotation, where one at a time may try it; everybody is answered meanwhile."""

        async def is_out() -> bool:
            return any('reason="hung"' in name and hung.url in name for name in await out_of_rotation(here))

        asking = asyncio.create_task(asked_and_answered(here, 12))
        took_s = await eventually(is_out, within_s=EJECTED_S, every_s=0.05)
        before = asked_of(here, hung)
        await asked_and_answered(here, 12)
        assert asked_of(here, hung) - before <= 1
        await asking
        return took_s

    play(scene(), LIMIT_S)


def test_f1_a_gateway_is_replaced_over_real_engines(engines: Sequence[RealEngine], tmp_path: Path) -> None:
    """Its streams go on to their end, new requests are served for the lead and then by the other gateway."""

    async def scene() -> None:
        lead_s = 4.0
        async with (
            world(tmp_path / "f1", real=engines, canaries=CANARIES, setup=patient()) as here,
            row(here, "F1", "real vLLM: SIGTERM to the gateway") as line,
            second_gateway(here, drain_lead_s=lead_s, drain_s=DRAIN_S) as stopped,
        ):
            streams = await opened(here, (), 16, at=stopped)
            line.injected()
            told_s = time.monotonic()
            line.within("unready_s", await turns_unready(stopped), UNREADY_S)
            line.detected()
            served = 0
            while time.monotonic() < told_s + 0.5 * lead_s:  # with both cores taken the gateway accepts late
                told = await here.ask(at=stopped, stream=False, fields=SHORT)
                assert told.end == ANSWERED
                served += 1
            line.figures["served_in_lead"] = served
            assert served > 0
            await asyncio.sleep(max(0.0, told_s + lead_s + 0.3 - time.monotonic()))
            assert not takes_connections(stopped)
            await asked_and_answered(here)
            line.figures["after_lead"] = sum(not task.done() for task in streams)
            assert line.figures["after_lead"] > 0, "they were too short to show anything"
            ends = await asyncio.gather(*streams)
            all_answered(ends)
            assert await exit_code(stopped) == 0
            line.healed()
            line.figures["tokens"] = await is_counted(here, ends)
            assert line.figures["tokens"] == len(streams) * LONG_TOKENS

    play(scene(), LIMIT_S)


@pytest.mark.parametrize("ends", ["draining", "at once"])
def test_f1_a_real_replica_is_told_to_end(ends: str, engines: Sequence[RealEngine], tmp_path: Path) -> None:
    """Nobody who asks meanwhile is lost; streams end whole where it drains, else in an error event."""

    async def scene() -> None:
        async with (
            world(tmp_path / "f1", real=engines, canaries=CANARIES, setup=patient()) as here,
            row(here, "F1", f"real vLLM: SIGTERM to a replica, {ends}") as line,
        ):
            leaving = engines[0 if ends == "draining" else 1]
            before = (await metrics(leaving))[GIVEN]
            streams = await opened(here, [leaving], 12)
            await eventually(lambda: _gives(leaving, before + BEGUN_TOKENS), within_s=OPENED_S)
            line.injected()
            leaving.terminate()
            began_s = time.monotonic()
            while not leaving.is_gone:
                await asked_and_answered(here)
                assert time.monotonic() - began_s < DRAIN_S
            line.detected()
            line.figures["gone_s"] = round(time.monotonic() - began_s, 1)
            finished = await asyncio.gather(*streams)
            broken = {told.request_id for told in finished if told.end == BROKEN}
            assert broken <= ids_at(here, leaving)
            assert bool(broken) is (ends == "at once")
            assert {told.end for told in finished if told.request_id not in broken} == {ANSWERED}
            await asked_and_answered(here, 12)
            line.healed()
            line.figures["broken"] = len(broken)
            line.figures["tokens"] = await is_counted(here, [told for told in finished if told.end == ANSWERED])

    async def _gives(engine: RealEngine, before: float) -> bool:
        return (await metrics(engine))[GIVEN] > before

    play(scene(), LIMIT_S)


def test_b1_a_real_engine_is_killed(engines: Sequence[RealEngine], tmp_path: Path) -> None:
    """Who had no byte is answered by the other one, open streams end in an error at once; started again it serves."""

    async def scene() -> None:
        async with (
            world(tmp_path / "b1", real=engines, canaries=CANARIES, setup=patient()) as here,
            row(here, "B1", "real vLLM: killed with streams") as line,
        ):
            streams = await opened(here, (), 10)
            dying = busiest(here, engines)
            early = [here.asking(stream=False, fields={"max_tokens": 600}) for _ in range(6)]
            await asyncio.sleep(0.5)
            line.injected()
            died_s = time.monotonic()
            await asyncio.to_thread(dying.kill)
            answered = await asyncio.gather(*early)
            assert {told.end for told in answered} == {ANSWERED}, "a request without a byte was lost"
            ends = await asyncio.gather(*streams)
            broken = [told for told in ends if told.end == BROKEN]
            assert broken
            assert {told.request_id for told in broken} <= ids_at(here, dying)
            assert {told.end for told in ends} <= {ANSWERED, BROKEN}
            line.within("error_s", max(told.ended_s for told in broken) - died_s, ERROR_S)
            assert line.figures["error_s"] <= ERROR_BUSY_S
            await asked_and_answered(here, 20)
            line.detected()
            await started_again(here, line, dying)
            line.within("back_s", await serves_again(here, dying, BACK_BUSY_S), BACK_S)
            line.healed()
            line.figures["tokens"] = await is_counted(here, [told for told in ends if told.end == ANSWERED])

    play(scene(), LIMIT_S)


def test_b1_streams_of_a_killed_real_engine_go_on(engines: Sequence[RealEngine], tmp_path: Path) -> None:
    """With `gateway.resume` each caller hears one whole stream, word for word, and is billed for one."""

    async def scene() -> None:
        async with (
            world(tmp_path / "b1", real=engines, canaries=CANARIES, setup=patient(resume=True)) as here,
            row(here, "B1", "real vLLM: killed, streams go on") as line,
        ):
            await asked_and_answered(here, 30)  # of which a resumption is a small part, as I7 wants it
            streams = await opened(here, (), 12, temperature=0)
            dying = busiest(here, engines)
            other = next(engine for engine in engines if engine is not dying)
            line.injected()
            await asyncio.to_thread(dying.kill)
            ends = await asyncio.gather(*streams)
            all_answered(ends)
            line.detected()
            resumed = [call for call in here.calls if call.stub == other.name and call.path.endswith("/v1/completions")]
            assert resumed
            assert {call.request_id for call in resumed} <= ids_at(here, dying)
            for call in resumed:  # vLLM does not log what it says there; the caller has numbered words
                told = next(one for one in ends if one.request_id == call.request_id)
                has_ended(call, len(told.text.split()))
            line.figures["resumed"] = len(resumed)
            line.figures["tokens"] = await is_counted(here, ends)
            assert line.figures["tokens"] == len(streams) * LONG_TOKENS
            line.healed()

    play(scene(), LIMIT_S)
