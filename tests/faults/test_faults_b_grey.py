"""Fault group B, grey replicas: engines that answer, but ten times slower or not every time."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from tests.faults.caller import ANSWERED, Told
from tests.faults.play import play
from tests.faults.proxy import Proxy, proxied
from tests.faults.rows import Row, row
from tests.faults.stub import Exchange, Script, Stub
from tests.faults.stub_scripts import answer, refuse
from tests.faults.world import World, eventually, world

pytestmark = [pytest.mark.faults, pytest.mark.timeout(120)]

REPLICAS = 4
TOKENS, GAP_S, LATENCY_S = 10, 0.03, 0.3  # each piece comes ten times later
PER_S = 40  # thirteen at a time: enough that no replica alone is the best choice
WINDOW_S = 4.0
SHARE_RATIO, WITHIN_S = 0.05, 30.0
BACK_RATIO = 0.15  # of a fair 0.25
BACK_WITHIN_S = 30.0
ERROR_RATIO = 0.2


@contextlib.asynccontextmanager
async def _four(folder: Path) -> AsyncIterator[tuple[World, Sequence[Proxy]]]:
    """Four replicas, each behind a proxy of its own."""
    async with proxied(*[1] * REPLICAS) as proxies:

        def front(stubs: Sequence[Stub]) -> Sequence[str]:
            for proxy, stub in zip(proxies, stubs, strict=True):
                proxy.upstream_port = stub.port
            return [proxy.url for proxy in proxies]

        async with world(folder, engines=REPLICAS, front=front) as here:
            for engine in here.engines:
                engine.script = answer(tokens=TOKENS, gap_s=GAP_S, first_after_s=GAP_S)
            yield here, proxies


@contextlib.asynccontextmanager
async def _load(here: World) -> AsyncIterator[None]:
    """Requests at an even pace meanwhile; all of them are answered."""
    asking: list[asyncio.Task[Told]] = []
    numbers = itertools.count()

    async def offer() -> None:
        while True:
            words = f"{next(numbers)} is a number, said {here.canaries.prompt}"  # no prompt is warm anywhere
            asking.append(here.asking(fields={"messages": [{"role": "user", "content": words}]}))
            await asyncio.sleep(1.0 / PER_S)

    offering = asyncio.create_task(offer())
    try:
        yield
    finally:
        offering.cancel()
        await asyncio.gather(offering, return_exceptions=True)
    told = await asyncio.gather(*asking)
    lost = [(one.end, one.status, one.body[:200]) for one in told if one.end != ANSWERED]
    assert not lost, f"{len(lost)} of {len(told)}: {lost[0]}"


def _share(here: World, stub: Stub, *, window_s: float = WINDOW_S) -> float:
    """The stub's share of what was sent lately."""
    since_s = time.monotonic() - window_s
    mine = sum(call.began_s >= since_s for call in stub.calls)
    return mine / max(1, sum(call.began_s >= since_s for call in here.calls))


async def _ejected(here: World) -> int:
    loads = json.loads(await here.gateway.page("/v1/loads"))
    return sum(replica["ejected"] is not None for replica in loads["replicas"].values())


async def _has_its_share(here: World, stub: Stub, within_s: float) -> None:
    await asyncio.sleep(WINDOW_S)
    await eventually(lambda: _share(here, stub) > BACK_RATIO, within_s=within_s, every_s=0.1)


async def _loses_its_share(here: World, line: Row, grey: Stub) -> None:
    began_s = time.monotonic()

    async def is_left_alone() -> bool:
        return time.monotonic() - began_s >= WINDOW_S and _share(here, grey) < SHARE_RATIO

    await eventually(is_left_alone, within_s=WITHIN_S, every_s=0.1)
    line.detected()
    line.figures["share"] = round(_share(here, grey), 3)
    line.figures["left_alone_s"] = round(time.monotonic() - began_s - WINDOW_S, 1)


async def _comes_back_slowly(here: World, line: Row, grey: Stub) -> None:
    """A fair share again; at first, on its ramp, far less."""
    began_s = time.monotonic()

    async def nobody_is_out() -> bool:
        return not await _ejected(here)

    await eventually(nobody_is_out, within_s=WITHIN_S, every_s=0.05)
    returned_s = time.monotonic()
    await asyncio.sleep(2.0)
    line.figures["share_at_first"] = round(_share(here, grey, window_s=2.0), 3)
    assert line.figures["share_at_first"] < BACK_RATIO, "no slow start"

    await _has_its_share(here, grey, BACK_WITHIN_S)
    line.figures["back_s"] = round(time.monotonic() - began_s, 1)
    line.figures["ramp_s"] = round(time.monotonic() - returned_s, 1)


async def _is_measured_again(here: World, line: Row, grey: Stub) -> None:
    """A fair share again: single requests went there to see."""
    began_s = time.monotonic()
    await _has_its_share(here, grey, BACK_WITHIN_S)
    line.figures["back_s"] = round(time.monotonic() - began_s, 1)


def _failing(line: Row, ratio: float) -> Script:
    good, bad = answer(tokens=TOKENS, gap_s=GAP_S, first_after_s=GAP_S), refuse(500)

    async def script(exchange: Exchange) -> None:
        await (bad if line.random.random() < ratio else good)(exchange)

    return script


@pytest.mark.parametrize("kind", ["slow", "errors"])
def test_b9_a_grey_replica_loses_its_share(kind: str, tmp_path: Path) -> None:
    """Under 5 % of requests within 30 s, nobody is lost; it is back within 30 s of being well."""
    what = "1 of 4 ten times slower" if kind == "slow" else "1 of 4 fails every fifth call"

    async def scene() -> None:
        async with _four(tmp_path / "b9") as (here, proxies), row(here, "B9", what) as line:
            grey = here.engines[1]
            async with _load(here):
                await _has_its_share(here, grey, WITHIN_S)
                well = grey.script
                if kind == "slow":
                    proxies[1].toxics.latency_s = LATENCY_S
                else:
                    grey.script = _failing(line, ERROR_RATIO)
                line.injected()
                await _loses_its_share(here, line, grey)
                proxies[1].toxics.latency_s, grey.script = 0.0, well
                await (_comes_back_slowly if kind == "errors" else _is_measured_again)(here, line, grey)
                line.healed()

    play(scene())


def test_b9_never_more_than_half_of_a_pool(tmp_path: Path) -> None:
    """Three of four replicas are grey: at most two are ever out."""

    async def scene() -> None:
        async with _four(tmp_path / "b9") as (here, proxies), row(here, "B9", "3 of 4 are grey") as line:
            most = 0
            async with _load(here):
                await asyncio.sleep(2.0)
                proxies[0].toxics.latency_s = proxies[1].toxics.latency_s = LATENCY_S
                here.engines[2].script = _failing(line, ERROR_RATIO)
                line.injected()
                until_s = time.monotonic() + 15.0
                while time.monotonic() < until_s:
                    most = max(most, await _ejected(here))
                    await asyncio.sleep(0.1)
                    if most:
                        line.detected()
                for proxy, engine in zip(proxies, here.engines, strict=True):
                    proxy.toxics.latency_s, engine.script = 0.0, here.engines[3].script
            line.figures["most_out"] = most
            assert 0 < most <= REPLICAS // 2
            line.healed()

    play(scene())
