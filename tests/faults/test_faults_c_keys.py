"""Fault group C, keys: those that providers refuse, for whatever reason, and those that are replaced under load."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.faults.caller import Told
from tests.faults.gateway_process import Setup, key_variable
from tests.faults.play import play
from tests.faults.provider_scene import BOTH, FIRST, SPARE, all_answered, asked, setup_of, sources
from tests.faults.rows import row
from tests.faults.stub import Exchange, Script
from tests.faults.stub_scripts import answer, refuse, whole_http
from tests.faults.world import World, eventually, world

pytestmark = [pytest.mark.faults, pytest.mark.timeout(120)]

DEAD = f'spillway_provider_keys{{provider="{FIRST}",state="refused"}}'
FORBIDDEN = {"error": {"message": "no access", "type": "invalid_request_error", "param": None, "code": None}}
NO_QUOTA = {"error": {"message": "You exceeded your current quota, check your plan.", "type": "insufficient_quota",
                      "param": None, "code": "insufficient_quota"}}  # fmt: skip
LOW_CREDIT = {"type": "error", "error": {"type": "invalid_request_error", "message": "Your credit balance is too low to"
                                         " access the Anthropic API. Please go to Plans & Billing."}}  # fmt: skip
REFUSALS = {
    "403": ("openai", 403, FORBIDDEN),
    "insufficient_quota": ("openai", 429, NO_QUOTA),
    "credit too low": ("anthropic", 400, LOW_CREDIT),
}


@pytest.mark.parametrize("why", REFUSALS)
def test_c3_a_key_is_refused(tmp_path: Path, why: str) -> None:
    """One call and none after it, whatever words the provider has; the metric says so at the next look."""
    dialect, status, body = REFUSALS[why]

    async def refusing(exchange: Exchange) -> None:
        await exchange.write(whole_http(json.dumps(body).encode(), status=status))

    async def scene() -> None:
        async with (
            world(tmp_path / "c3", engines=0, providers={**BOTH, FIRST: dialect}, setup=setup_of(*BOTH)) as here,
            row(here, "C3", f"key refused: {why}") as line,
        ):
            here.providers[0].script = refusing
            assert (await here.gateway.metrics())[DEAD] == 0.0
            line.injected()
            assert await asked(here) == 1
            assert (await here.gateway.metrics())[DEAD] == 1.0, "nobody would be paged"
            line.detected()
            assert await asked(here, 20, stream=False) == 0
            assert await asked(here, 5) == 0
            line.healed()

    play(scene())


def _only(*keys: str) -> Script:
    async def script(exchange: Exchange) -> None:
        good = exchange.call.headers["authorization"].removeprefix("Bearer ") in keys
        await (answer() if good else refuse(401, "bad key"))(exchange)

    return script


def _with_key_file(file: Path) -> Setup:
    setup = setup_of(SPARE, providers={FIRST: {"api_key_file": str(file)}})
    return replace(setup, environ={**setup.environ, key_variable(FIRST): ""})


async def _load(here: World, told: list[Told], stop: asyncio.Event) -> None:
    """Eight at a time, streams and others."""
    while not stop.is_set():
        pairs = [here.ask_many(4, model=FIRST, stream=stream) for stream in (True, False)]
        for some in await asyncio.gather(*pairs):
            told += some
        await asyncio.sleep(0.05)


@pytest.mark.parametrize("overlap", [True, False], ids=["overlap", "at once"])
def test_c3_a_key_is_replaced_under_load(tmp_path: Path, overlap: bool) -> None:
    """No request is lost: the provider takes both keys for a while, or the old one ends before the new one is read."""

    async def scene() -> None:
        key_file = tmp_path / "provider.key"
        key_file.write_text("old-key")
        async with (
            world(tmp_path / "c3", engines=0, providers=BOTH, setup=_with_key_file(key_file)) as here,
            row(here, "C3", f"key replaced under load, {'overlap' if overlap else 'at once'}") as line,
        ):
            first, told, stop = here.providers[0], list[Told](), asyncio.Event()
            load = asyncio.create_task(_load(here, told, stop), name="load")
            before = len(first.calls)

            def with_key(key: str) -> int:
                return sum(call.headers["authorization"].endswith(key) for call in first.calls[before:])

            await eventually(lambda: with_key("old-key") >= 16, within_s=5.0)
            key_file.write_text("new-key")
            first.script = _only("old-key", "new-key") if overlap else _only("new-key")
            at_once, injected_s = with_key("old-key"), time.monotonic()
            line.injected()
            await eventually(lambda: with_key("new-key") >= 16, within_s=60.0)
            line.figures["rotated_s"] = round(time.monotonic() - injected_s, 1)
            line.detected()
            old = with_key("old-key")
            first.script = _only("new-key")
            await asyncio.sleep(1.0)
            stop.set()
            await load
            assert with_key("old-key") == old, "the old key is used beside the new one"
            all_answered(told)
            if overlap:
                assert sources(*told) == {FIRST}
            else:
                assert old - at_once <= 8, "those under way when it ended, no more"
            line.healed()

    play(scene())


def test_c3_a_key_dies_and_is_replaced(tmp_path: Path) -> None:
    """One call, then none with that key; the new one in its file is used without a restart."""

    async def scene() -> None:
        key_file = tmp_path / "provider.key"
        key_file.write_text("old-key")
        setup = _with_key_file(key_file)
        async with (
            world(tmp_path / "c3", engines=0, providers=BOTH, setup=setup) as here,
            row(here, "C3", "key refused, then rotated") as line,
        ):
            first = here.providers[0]
            first.script = _only("new-key")
            line.injected()
            assert await asked(here) == 1
            line.detected()
            assert await asked(here, 20, stream=False) == 0
            key_file.write_text("new-key")
            rotated_s = time.monotonic()

            async def is_used() -> bool:
                return await asked(here, stream=False) > 0

            await eventually(is_used, within_s=60.0, every_s=0.25)
            line.figures["rotated_s"] = round(time.monotonic() - rotated_s, 1)
            line.healed()

    play(scene())
