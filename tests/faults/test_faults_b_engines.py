"""Fault group B: what own engines do to the gateway."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.faults.caller import ANSWERED, BROKEN, REFUSED
from tests.faults.gateway_process import POOL, TIMEOUTS, Setup
from tests.faults.play import play
from tests.faults.proxy import proxied
from tests.faults.rows import row
from tests.faults.stub import Exchange, Script, Stub
from tests.faults.stub_scripts import STREAM_HEAD, answer, by_kind, cut_after, hang, raw, recorded, refuse, stall
from tests.faults.stub_scripts import whole_http as page
from tests.faults.world import World, eventually, world

pytestmark = [pytest.mark.faults, pytest.mark.timeout(120)]

OUTSIDE = {"stub-openai": "openai"}
BACK_S = 5.0


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


STALLS: dict[str, Script] = {
    "after the head": raw(STREAM_HEAD, then="hold"),
    "after 1": stall(1),
    "after 4": stall(4),
    "comments": stall(4, comments_every_s=0.2),
}


def test_b4_streams_stall(tmp_path: Path) -> None:
    """Before content the next target answers; after it the idle time ends the stream in an error, comments or not."""

    async def scene() -> None:
        async with (
            world(tmp_path / "b4", providers=OUTSIDE) as here,
            row(here, "B4", "streams stall") as line,
        ):
            engine = here.engines[0]
            for name, script in STALLS.items():
                await here.ask_many(4, stream=True)
                engine.queue = [script]
                line.injected()
                told = await here.ask()
                line.detected()
                assert not engine.queue, f"{name}: the engine was not asked"
                line.figures[name.replace(" ", "_") + "_s"] = round(told.took_s, 2)
                if name == "after the head":
                    assert told.end == ANSWERED
                    assert told.sources == {_source(here, here.providers[0])}
                else:
                    assert told.end == BROKEN, f"{name}: {told.end}"
                    assert told.error["code"] == "idle_timeout"
                    assert told.took_s < 3.5, f"{name}: {told.took_s}"
            engine.script = answer(tokens=4, gap_s=1.0)
            assert (await here.ask()).end == ANSWERED, "events slower than nothing were taken for a stall"
            line.healed()

    play(scene())


def _source(here: World, stub: Stub) -> str:
    return stub.word(0).rsplit(":", 1)[0]


def test_b5_streams_are_cut_at_every_byte(tmp_path: Path) -> None:
    """No second call after content; an answer that is not whole ends in an error; usage that came is the bill."""

    async def scene() -> None:
        async with world(tmp_path / "b5") as here, row(here, "B5", "cut at every 3rd byte of a stream") as line:
            engine = here.engines[0]
            length = 2_000
            line.injected()
            ends = dict.fromkeys((ANSWERED, BROKEN, REFUSED), 0)
            for then in ("reset", "close"):
                first = line.random.randrange(3)
                for size_bytes in itertools.count(first, 3):
                    if size_bytes >= length:
                        break
                    engine.queue = [_cut(size_bytes, then, places := [])]
                    before = len(engine.calls)
                    told = await here.ask()
                    content_at, length = places or (0, length)
                    ends[told.end] += 1
                    if size_bytes > content_at:
                        assert len(engine.calls) <= before + 1, f"asked again after content, byte {size_bytes}"
                    engine.queue = []
                    assert (await here.ask()).end in (ANSWERED, REFUSED)
            line.detected()
            line.figures.update(ends)
            assert ends[BROKEN] > 50, "the engine was hardly asked"
            line.healed()

    play(scene(), 110.0)


def _cut(size_bytes: int, then: str, places: list[int]) -> Script:
    async def script(exchange: Exchange) -> None:
        data = recorded(exchange, 3)
        places.extend((data.index(b'"content"'), len(data)))
        await cut_after(size_bytes, 3, then=then)(exchange)

    return script


def test_b6_streams_in_slices(tmp_path: Path) -> None:
    """However the bytes of a stream are cut into pieces, the caller hears the same words and the bill is the same."""

    async def scene() -> None:
        async with contextlib.AsyncExitStack() as stack:
            proxies = await stack.enter_async_context(proxied(1))

            def front(stubs: Sequence[Stub]) -> Sequence[str]:
                proxies[0].upstream_port = stubs[0].port
                return [proxies[0].url]

            here = await stack.enter_async_context(world(tmp_path / "b6", front=front))
            line = await stack.enter_async_context(row(here, "B6", "streams in slices"))
            line.injected()
            for slice_bytes in (1, 2, 3, 5, 7, 13, 64, 1000):
                proxies[0].toxics.slice_bytes = slice_bytes
                told = await here.ask()
                assert told.end == ANSWERED
                assert len(told.content) == 5
            line.detected()
            rows = await here.ledger()
            assert not any(rows[told.request_id].usage_estimated for told in here.told), "usage was lost"
            line.healed()

    play(scene())


NONSENSE: dict[str, Script] = {
    "HTML": raw(page(b"<html>hello</html>", kind="text/html")),
    "empty": raw(page(b"")),
    "not JSON": raw(page(b"hello")),
    "JSON of another kind": raw(page(b"[1,2]")),
    "too short": raw(
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 500\r\n\r\n{}", then="close"
    ),
    "cut gzip": raw(page(b"\x1f\x8b\x08\x00", content_encoding="gzip"), then="close"),
    "no HTTP": raw(b"hello\r\n\r\n", then="close"),
    "nothing": raw(b"", then="close"),
}


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "unary"])
def test_b7_nonsense_with_status_200(stream: bool, tmp_path: Path) -> None:
    """What is no answer never reaches the caller: the next target answers."""

    async def scene() -> None:
        async with (
            world(tmp_path / "b7", providers=OUTSIDE) as here,
            row(here, "B7", f"200 with nonsense, {'stream' if stream else 'unary'}") as line,
        ):
            engine = here.engines[0]
            line.injected()
            for name, script in NONSENSE.items():
                await here.ask_many(5, stream=stream)
                await eventually(lambda: _asked(here, engine), within_s=20.0, every_s=0.2)
                engine.queue = [script]
                told = await here.ask(stream=stream)
                assert not engine.queue, f"{name}: the engine was not asked"
                assert told.end == ANSWERED, f"{name}: {told.end} {told.body[:200]!r}"
                if name != "nothing":  # as when a kept connection was just closed: asked once more on a new one
                    assert told.sources == {_source(here, here.providers[0])}, name
            line.detected()
            line.healed()

    async def _asked(here: World, engine: Stub) -> bool:
        before = len(engine.calls)
        await here.ask(stream=stream)
        return len(engine.calls) > before

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
            line.figures["refused_s"] = round(slowest_s, 3)
            engine.script = provider.script = answer()
            await eventually(lambda: _answered(here), within_s=10.0, every_s=0.2)
            line.healed()

    async def _answered(here: World) -> bool:
        return (await here.ask(stream=False, model=POOL)).end == ANSWERED

    play(scene())


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
