"""Fault group C: providers that say when to come back, or fail after they have begun."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from tests.faults.caller import ANSWERED, BROKEN
from tests.faults.gateway_process import key_variable
from tests.faults.play import play
from tests.faults.provider_scene import BOTH, FIRST, SPARE, all_answered, setup_of, sources
from tests.faults.rows import row
from tests.faults.stub import Exchange
from tests.faults.stub_scripts import STREAM_HEAD, answer, refuse, sse
from tests.faults.world import eventually, world

pytestmark = [pytest.mark.faults, pytest.mark.timeout(120)]

WAITS = {"seconds": "3", "date": "", "huge": "1000000000", "negative": "-1", "absent": None}
OVERLOADED = {"error": {"message": "overloaded", "type": "server_error", "param": None, "code": "server_is_overloaded"}}


def test_c1_a_provider_says_when_to_come_back(tmp_path: Path) -> None:
    """No call within what it asked for, in any of its forms; requests go elsewhere meanwhile."""

    async def scene() -> None:
        names = {f"p-{name}": "openai" for name in WAITS}
        setup = setup_of(*names, SPARE, fallbacks={name: [SPARE] for name in names})
        async with (
            world(tmp_path / "c1", engines=0, providers={**names, SPARE: "openai"}, setup=setup) as here,
            row(here, "C1", "429 with Retry-After") as line,
        ):
            line.injected()
            for stub, wait in zip(here.providers, WAITS.values(), strict=False):
                soon = format_datetime(datetime.now(UTC) + timedelta(seconds=4), usegmt=True)
                stub.script = refuse(429) if wait is None else refuse(429, retry_after=wait or soon)
            before = {stub.name: len(stub.calls) for stub in here.providers}
            for _ in range(6):
                for name in names:
                    assert (await here.ask(model=name, stream=False)).end == ANSWERED
                line.detected()
                await asyncio.sleep(0.1)
            made = {stub.name: len(stub.calls) - before[stub.name] for stub in here.providers}
            assert {made[f"p-{name}"] for name in ("seconds", "date", "huge")} == {1}
            assert max(made["p-negative"], made["p-absent"]) < 6, "nothing was asked for, and yet it is not hammered"
            patient = here.providers[0]
            for stub in here.providers:
                stub.script = answer()
            heard = len(patient.calls)

            async def is_back() -> bool:
                await here.ask(model=patient.name, stream=False)
                return len(patient.calls) > heard

            line.figures["back_s"] = round(await eventually(is_back, within_s=6.0, every_s=0.1), 1)
            line.healed()
            huge = here.providers[2]
            assert len(huge.calls) - before[huge.name] == 1

    play(scene())


QUICK, TOLD_TO_WAIT, TWIN = "key-quick", "key-told-to-wait", "stub-twin"


def _wait_for_one_key(retry_after: str) -> object:
    async def script(exchange: Exchange) -> None:
        waits = exchange.call.headers.get("authorization") == f"Bearer {TOLD_TO_WAIT}"
        await (refuse(429, retry_after=retry_after) if waits else answer())(exchange)

    return script


def test_c1_one_of_several_keys_is_told_to_wait(tmp_path: Path) -> None:
    """It rests, under any name that it has; the provider's other key carries the load, and nobody else is asked."""

    async def scene() -> None:
        names = {FIRST: "openai", TWIN: "openai", SPARE: "openai"}
        setup = setup_of(
            SPARE,
            providers={FIRST: {"api_key_env": f"{key_variable(FIRST)}, SECOND_KEY"}},
            fallbacks={FIRST: [SPARE], TWIN: [SPARE]},
        )
        keys = {key_variable(FIRST): QUICK, "SECOND_KEY": TOLD_TO_WAIT, key_variable(TWIN): TOLD_TO_WAIT}
        setup = replace(setup, environ={**setup.environ, **keys})

        async with (
            world(tmp_path / "c1", engines=0, providers=names, setup=setup) as here,
            row(here, "C1", "429 for one of two keys") as line,
        ):
            first, twin = here.providers[:2]

            def waiting_calls() -> int:
                return sum(TOLD_TO_WAIT in call.headers["authorization"] for call in first.calls[before:])

            before, twin_before = len(first.calls), len(twin.calls)
            first.script = _wait_for_one_key("3")  # type: ignore[assignment]
            line.injected()
            told = []
            for _ in range(15):
                told += await here.ask_many(2, model=FIRST, stream=False)
            all_answered(told)
            assert sources(*told) == {FIRST}, "the other key had to do"
            assert waiting_calls() == 1
            line.detected()
            all_answered([await here.ask(model=TWIN, stream=False)])
            assert len(twin.calls) == twin_before, "the key rests under its other name too"
            first.script = answer()

            async def is_used() -> bool:
                all_answered(await here.ask_many(2, model=FIRST, stream=False))
                return waiting_calls() > 1

            line.figures["back_s"] = round(await eventually(is_used, within_s=8.0, every_s=0.1), 1)
            line.healed()

    play(scene())


def _error_event(after_tokens: int) -> object:
    async def script(exchange: Exchange) -> None:
        await exchange.write(STREAM_HEAD)
        for number in range(after_tokens):
            delta = {"index": 0, "delta": {"content": exchange.stub.word(number)}, "finish_reason": None}
            exchange.call.made_tokens += 1
            await exchange.chunk(sse({"id": "c", "model": exchange.stub.name, "choices": [delta]}))
        await asyncio.sleep(0.1)  # what came with it would not have left the gateway yet
        await exchange.chunk(sse(OVERLOADED))
        await exchange.write(b"0\r\n\r\n")

    return script


def test_c2_an_error_event_after_200(tmp_path: Path) -> None:
    """As the first event the next provider answers; in the middle the caller hears it, and is billed for a part."""

    async def scene() -> None:
        async with (
            world(tmp_path / "c2", engines=0, providers=BOTH, setup=setup_of(*BOTH)) as here,
            row(here, "C2", "200, then an error") as line,
        ):
            first = here.providers[0]
            line.injected()
            first.queue = [_error_event(0), _error_event(3)]  # type: ignore[list-item]
            told = await here.ask(model=FIRST)
            assert (told.end, sources(told)) == (ANSWERED, {SPARE})
            line.detected()

            async def is_tried_again() -> bool:
                return (await here.ask(model=FIRST)).end == BROKEN

            await eventually(is_tried_again, within_s=15.0, every_s=0.2)
            told = here.told[-1]
            assert len(told.content) == 3
            assert (await here.ledger())[told.request_id].output_tokens >= 3
            assert (await here.ask(model=FIRST)).end == ANSWERED
            line.healed()

    play(scene())
