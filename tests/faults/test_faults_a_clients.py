"""Fault group A: callers that leave, and callers that repeat themselves."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.faults import books
from tests.faults.caller import LEFT, Leave
from tests.faults.play import play
from tests.faults.rows import row
from tests.faults.stub_scripts import answer
from tests.faults.world import POOL, World, eventually, world

pytestmark = [pytest.mark.faults, pytest.mark.timeout(120)]

LEAVE_AFTER_S = (0.0, 0.05, 0.5)
FREED_S = 1.0
OUTSIDE = {"stub-openai": "openai", "stub-anthropic": "anthropic"}


@pytest.mark.parametrize("model", [POOL, *OUTSIDE])
def test_a1_callers_leave_before_the_first_token(model: str, tmp_path: Path) -> None:
    """The upstream sees them go within a second, streaming or not, and money set aside is given back or booked."""

    async def scene() -> None:
        async with world(tmp_path / "a1", providers=OUTSIDE) as here, row(here, "A1", f"leave early, {model}") as line:
            for stub in here.stubs:
                stub.script = answer(first_after_s=8.0, head_after_s=0.0)
            first = len(here.calls)
            line.injected()
            for stream in (True, False):
                for after_s in LEAVE_AFTER_S:
                    told = await here.ask(stream=stream, model=model, leave=Leave(after_s=after_s))
                    assert told.end == LEFT
                    line.detected()
                    await eventually(
                        lambda: all(call.left_s is not None for call in here.calls[first:]), within_s=FREED_S
                    )
                    left = [call.left_s - told.ended_s for call in here.calls[first:] if call.left_s is not None]
                    line.figures["upstream_saw_s"] = round(
                        max([line.figures.get("upstream_saw_s", 0.0), *left[-1:]]), 3
                    )
                    await eventually(lambda: _is_free(here), within_s=FREED_S)
            await eventually(lambda: not books.reserved_nanousd(here.gateway.database), within_s=2.0, every_s=0.05)
            line.healed()

    async def _is_free(here: World) -> bool:
        return not await here.gauge("spillway_in_flight")

    play(scene())


@pytest.mark.parametrize("model", [POOL, *OUTSIDE])
def test_a2_callers_leave_in_the_middle(model: str, tmp_path: Path) -> None:
    """An engine is told within a second; what a provider made by then is billed, as an estimate that says so."""

    async def scene() -> None:
        async with (
            world(tmp_path / "a2", providers=OUTSIDE) as here,
            row(here, "A2", f"leave in mid-stream, {model}") as line,
        ):
            for stub in here.stubs:
                stub.script = answer(tokens=100, gap_s=0.02)
            line.injected()
            for after_events in (1, 3, 20):
                told = await here.ask(model=model, leave=Leave(after_events=after_events))
                assert told.end == LEFT
                call = here.calls[-1]
                await eventually(lambda call=call: call.left_s, within_s=1.0)
                assert call.left_s is not None
                line.detected()
                worst_s = max(line.figures.get("upstream_saw_s", 0.0), call.left_s - told.ended_s)
                line.figures["upstream_saw_s"] = round(worst_s, 3)
                entry = (await here.ledger())[told.request_id]
                assert entry.usage_estimated
                assert entry.status == 499
                assert len(told.content) <= entry.output_tokens <= len(told.content) + 5
            line.healed()

    play(scene())


def test_a3_thirty_callers_drop_long_streams_at_once(tmp_path: Path) -> None:
    """Thirty streams of 5 MiB are dropped in one moment: readiness never fails, and the loop stays free."""

    async def scene() -> None:
        async with world(tmp_path / "a3") as here, row(here, "A3", "30 callers drop 5 MiB streams") as line:
            engine = here.engines[0]
            engine.marker = here.canaries.completion + "x" * 65_000
            engine.script = answer(tokens=80, gap_s=0.02)
            streams = [here.asking(leave=Leave(after_s=1.2)) for _ in range(30)]
            await asyncio.sleep(1.0)
            assert len(engine.open_calls) == 30
            line.injected()
            ends = await asyncio.gather(*streams)
            assert {told.end for told in ends} == {LEFT}
            took_s = await eventually(lambda: not engine.open_calls, within_s=1.0)
            line.detected()
            line.figures["all_freed_s"] = round(took_s, 3)
            for _ in range(20):
                assert (await here.gateway.page("/readyz")).startswith("ready")
            line.healed()

    play(scene())


def test_a8_one_idempotency_key_many_times(tmp_path: Path) -> None:
    """Ten parallel copies and a later one make one upstream call and one row, and hear the same answer."""

    async def scene() -> None:
        async with (
            world(tmp_path / "a8", providers={"stub-openai": "openai"}) as here,
            row(here, "A8", "one key, 11 requests") as line,
        ):
            for stub in here.stubs:
                stub.script = answer(tokens=20, gap_s=0.02)
            for model in (POOL, "stub-openai"):
                before = len(here.calls)
                line.injected()
                told = await here.ask_many(10, stream=False, model=model, idempotency_key=f"once-{model}")
                told.append(await here.ask(stream=False, model=model, idempotency_key=f"once-{model}"))
                line.detected()
                assert {one.status for one in told} == {200}
                assert len({one.body for one in told}) == 1
                assert len(here.calls) == before + 1
                rows = await here.ledger()
                assert sum(one.request_id in rows for one in told) >= 1
                assert len([row for row in rows if row in {one.request_id for one in told}]) == 1
            line.healed()

    play(scene())
