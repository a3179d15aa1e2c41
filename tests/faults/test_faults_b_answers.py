"""Fault group B, answers: they stall, are cut at any byte, come in slices, or are none."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.faults.caller import ANSWERED, BROKEN, REFUSED
from tests.faults.play import play
from tests.faults.proxy import proxied
from tests.faults.rows import row
from tests.faults.stub import Exchange, Script, Stub
from tests.faults.stub_scripts import STREAM_HEAD, answer, cut_after, raw, recorded, stall
from tests.faults.stub_scripts import whole_http as page
from tests.faults.world import World, eventually, world

pytestmark = [pytest.mark.faults, pytest.mark.timeout(120)]

OUTSIDE = {"stub-openai": "openai"}
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
