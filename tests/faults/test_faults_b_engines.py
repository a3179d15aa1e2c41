"""Fault group B: own engines that die, hang, take no connection, or are full."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.faults.caller import ANSWERED, BROKEN
from tests.faults.gateway_process import POOL, TIMEOUTS, Setup
from tests.faults.play import play
from tests.faults.proxy import proxied
from tests.faults.rows import row
from tests.faults.stub import Stub
from tests.faults.stub_scripts import answer, by_kind, hang, refuse
from tests.faults.world import World, eventually, world

pytestmark = [pytest.mark.faults, pytest.mark.timeout(120)]

OUTSIDE = {"stub-openai": "openai"}
BACK_S, REFUSED_S = 5.0, 0.05


async def _serves_again(here: World, stub: Stub, within_s: float) -> float:
    """Seconds until the stub hears requests again; all that were sent meanwhile are judged like the others."""
    before, count = len(stub.calls), itertools.count()

    async def heard() -> bool:
        asks = ({"messages": [{"role": "user", "content": f"{next(count)} is a number"}]} for _ in range(16))
        told = await asyncio.gather(*(here.ask(stream=False, fields=fields) for fields in asks))
        assert {one.end for one in told} == {ANSWERED}
        return len(stub.calls) > before

    return await eventually(heard, within_s=within_s, every_s=0.2)


def test_b1_an_engine_dies_with_open_streams(tmp_path: Path) -> None:
    """Who had no byte yet is answered by the other engine, open streams end in an error within a second."""

    async def scene() -> None:
        async with world(tmp_path / "b1", engines=2) as here, row(here, "B1", "engine dies with streams") as line:
            dying = here.engines[0]
            for engine in here.engines:
                engine.script = by_kind(stream=answer(tokens=100, gap_s=0.03), unary=answer(first_after_s=2.0))
            streams = [here.asking() for _ in range(20)]
            early = [here.asking(stream=False) for _ in range(20)]
            await asyncio.sleep(1.0)
            cut = [call.request_id for call in dying.open_calls if call.stream]
            assert cut
            assert len(dying.open_calls) > len(cut)
            line.injected()
            died_s = time.monotonic()
            await dying.die()
            answered = await asyncio.gather(*early)
            assert {told.end for told in answered} == {ANSWERED}, "a request without a byte was lost"
            ends = await asyncio.gather(*streams)
            broken = [told for told in ends if told.end == BROKEN]
            assert {told.request_id for told in broken} == set(cut)
            line.detected()
            line.figures["error_s"] = round(max(told.ended_s for told in broken) - died_s, 3)
            assert line.figures["error_s"] <= 1.0
            for engine in here.engines:
                engine.script = answer()
            later = await here.ask_many(20, stream=False)
            lost = [(told.status, told.body[:200]) for told in later if told.end != ANSWERED]
            assert not lost, f"{len(lost)}: {lost[0]}"
            await dying.listen()
            line.figures["back_s"] = round(await _serves_again(here, dying, BACK_S), 1)
            line.healed()

    play(scene())


def test_b2_an_engine_hangs_and_calls_itself_healthy(tmp_path: Path) -> None:
    """Nothing comes out of it for longer than predicted: its callers move on, and in ten seconds it gets no more."""

    async def scene() -> None:
        setup = Setup(changes={"gateway": {"timeouts": {**TIMEOUTS, "ttft_s": 12.0}}})  # what is hung is found sooner
        async with (
            world(tmp_path / "b2", engines=2, providers=OUTSIDE, setup=setup) as here,
            row(here, "B2", "engine hangs, health 200") as line,
        ):
            hung = here.engines[0]
            hung.script = hang()
            line.injected()
            began_s = time.monotonic()

            async def is_left_alone() -> bool:
                before = len(hung.calls)
                told = await here.ask_many(8, stream=True)
                bad = [(one.status, one.body[:200], round(one.took_s, 2)) for one in told if one.end != ANSWERED]
                assert not bad, bad
                return len(hung.calls) == before

            await eventually(is_left_alone, within_s=10.0, every_s=0.05)
            line.detected()
            line.figures["ejected_s"] = round(time.monotonic() - began_s, 1)
            hung.script = answer()
            line.figures["back_s"] = round(await _serves_again(here, hung, 30.0), 1)
            line.healed()

    play(scene())


@contextlib.contextmanager
def _black_hole(port: int) -> Iterator[None]:
    """A port whose queue of connections is full: whoever connects hears nothing."""
    with contextlib.ExitStack() as stack:
        hole = stack.enter_context(socket.socket())
        hole.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        hole.bind(("127.0.0.1", port))
        hole.listen(0)
        for _ in range(2):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        yield


def test_b3_an_engine_takes_no_connection(tmp_path: Path) -> None:
    """The time to connect passes once, everyone is answered by the other engine, and nobody else waits."""

    async def scene() -> None:
        engine = Stub("engine-1", answer())
        async with contextlib.AsyncExitStack() as stack:
            proxies = await stack.enter_async_context(proxied(1))

            def front(stubs: Sequence[Stub]) -> Sequence[str]:
                proxies[0].upstream_port = stubs[0].port
                return [proxies[0].url, stubs[1].url]

            here = await stack.enter_async_context(world(tmp_path / "b3", engines=2, front=front))
            line = await stack.enter_async_context(row(here, "B3", "connections in a black hole"))
            engine = here.engines[0]
            await proxies[0].stop()
            with _black_hole(proxies[0].port):
                line.injected()
                told = await here.ask_many(10, stream=False)
                assert {one.end for one in told} == {ANSWERED}
                line.detected()
                line.figures["slowest_s"] = round(max(one.took_s for one in told), 3)
                assert line.figures["slowest_s"] < 3.0
                later = await here.ask_many(10, stream=False)
                line.figures["later_s"] = round(max(one.took_s for one in later), 3)
                assert line.figures["later_s"] < 1.0, "the black hole was asked again"
            await proxies[0].start()
            line.figures["back_s"] = round(await _serves_again(here, engine, 30.0), 1)
            line.healed()

    play(scene())


def test_b8_every_target_is_full(tmp_path: Path) -> None:
    """A full own pool costs one hop; when everything is full the caller hears 429 with a time to come back."""

    async def scene() -> None:
        async with (
            world(tmp_path / "b8", providers=OUTSIDE) as here,
            row(here, "B8", "own pool full, then all full") as line,
        ):
            engine, provider = here.engines[0], here.providers[0]
            line.injected()
            for status in (429, 503):
                engine.queue = [refuse(status, "queue full")]
                before = len(here.calls)
                told = await here.ask(stream=False)
                assert told.end == ANSWERED
                assert len(here.calls) <= before + 2
            line.detected()
            engine.script = refuse(429, "queue full", retry_after="2")
            provider.script = refuse(429, "queue full", retry_after="2")
            slowest_s = 0.0
            for _ in range(20):
                told = await here.ask(stream=False)
                assert told.status == 429
                assert int(told.headers["retry-after"]) >= 1
                slowest_s = max(slowest_s, told.took_s)
            line.within("refused_s", slowest_s, REFUSED_S)
            engine.script = provider.script = answer()
            await eventually(lambda: _answered(here), within_s=10.0, every_s=0.2)
            line.healed()

    async def _answered(here: World) -> bool:
        return (await here.ask(stream=False, model=POOL)).end == ANSWERED

    play(scene())
