"""Fault group B, event streams: whatever an engine's events look like, they are understood or refused, and billed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.faults.caller import ANSWERED, BROKEN, Told
from tests.faults.play import play
from tests.faults.rows import row
from tests.faults.stub import Exchange, Script
from tests.faults.stub_scripts import DONE, LAST_CHUNK, STREAM_HEAD, events, sse, usage_of
from tests.faults.world import World, world

pytestmark = [pytest.mark.faults, pytest.mark.timeout(120)]

TOKENS = 3
ARRIVES_S = 0.001  # for a piece to be read before the next one comes
WIDE = "é€😀"  # two, three and four bytes in UTF-8
OVER_THE_CAP = b"data: " + b"x" * (1024 * 1024 + 10)


@dataclass(frozen=True, kw_only=True)
class Odd:
    """One way to write a whole answer. `usage`: its usage is told; `end`: what the caller hears at last."""

    write: Callable[[bytes], bytes] = bytes
    extra: tuple[bytes, ...] = ()  # events behind the first token
    usage: bool = True
    done: bool = True
    end: str = ANSWERED


def _wide(data: bytes) -> bytes:
    """JSON's escapes as UTF-8."""
    for char in WIDE:
        units = char.encode("utf-16-be").hex()
        escaped = "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))
        data = data.replace(escaped.encode(), char.encode())
    return data


def _fields(data: bytes) -> bytes:
    return data.replace(b"data: {", b"id: 7\nretry: 1\nevent: x\nodd: field\nodd\ndata: {")


KINDS: dict[str, Odd] = {
    "LF": Odd(),
    "CR": Odd(write=lambda data: data.replace(b"\n", b"\r")),
    "CRLF": Odd(write=lambda data: data.replace(b"\n", b"\r\n")),
    "no space": Odd(write=lambda data: data.replace(b"data: ", b"data:")),
    "several lines": Odd(write=lambda data: data.replace(b',"', b',\ndata: "')),
    "byte order mark": Odd(write=lambda data: b"\xef\xbb\xbf" + data),
    "UTF-8": Odd(write=_wide),
    "fields and comments": Odd(write=lambda data: b": hello\n\n" + _fields(data)),
    "empty choices": Odd(extra=(sse({"id": "c", "choices": []}),)),
    "null usage": Odd(extra=(sse({"id": "c", "choices": [], "usage": None}),)),
    "usage all along": Odd(extra=(sse({"id": "c", "choices": [], "usage": usage_of(1, 11)}),)),
    "no usage": Odd(usage=False),
    "two ends": Odd(write=lambda data: data + DONE),
    "no end": Odd(done=False),
    "junk behind": Odd(write=lambda data: data + b'\x00\xff junk\n\ndata: {"choices": 7}\n\ndata: not JSON\n\n'),
}
BROKEN_KINDS: dict[str, Odd] = {
    "a line over the cap": Odd(extra=(OVER_THE_CAP + b"\n\n",), end=BROKEN),
    "a line without end": Odd(extra=(OVER_THE_CAP,), end=BROKEN),
    "many lines over the cap": Odd(extra=((b"data: " + b"x" * 1000 + b"\n") * 1100 + b"\n",), end=BROKEN),
}


def _bytes(exchange: Exchange, odd: Odd) -> bytes:
    made = events(exchange, TOKENS, usage=odd.usage, done=odd.done)
    return odd.write(b"".join([*made[:2], *odd.extra, *made[2:]]))


def _pieces(odd: Odd, ends: Sequence[int], length: list[int]) -> Script:
    """The answer in pieces that end there, each in an HTTP chunk and a packet of its own."""

    async def script(exchange: Exchange) -> None:
        data = _bytes(exchange, odd)
        length[:] = [len(data)]
        exchange.call.made_tokens = TOKENS
        exchange.call.told = odd.usage and odd.end == ANSWERED
        await exchange.write(STREAM_HEAD)
        start = 0
        for end in (*(end for end in ends if 0 < end < len(data)), len(data)):
            await exchange.chunk(data[start:end])
            await asyncio.sleep(ARRIVES_S)
            start = end
        await exchange.write(LAST_CHUNK)

    return script


async def _heard(here: World, odd: Odd, ends: Sequence[int], length: list[int]) -> Told:
    """One answer in these pieces, as it was told."""
    engine = here.engines[0]
    engine.queue = [_pieces(odd, ends, length)]
    told = await here.ask(fields={"stream_options": {"include_usage": True}})
    assert not engine.queue, "the engine was not asked"
    return told


def test_b6_odd_events(tmp_path: Path) -> None:
    """Whatever line ends, fields, marks and ends: every word arrives, and what usage was told is the bill."""

    async def scene() -> None:
        async with world(tmp_path / "b6") as here, row(here, "B6", "odd events") as line:
            engine = here.engines[0]
            engine.marker = here.canaries.completion + WIDE
            line.injected()
            for name, odd in KINDS.items():
                for ends in ((), sorted(line.random.sample(range(1, 900), 30))):
                    told = await _heard(here, odd, ends, [])
                    assert (told.end, len(told.content)) == (ANSWERED, TOKENS), f"{name} {ends}: {told.events[-1:]}"
                    rows = await here.ledger()
                    assert rows[told.request_id].usage_estimated is not odd.usage, f"{name} {ends}: the usage"
            line.detected()
            for name, odd in BROKEN_KINDS.items():
                told = await _heard(here, odd, (), [])
                assert told.end == BROKEN, f"{name}: {told.end}"
                assert len(told.content) == 1, name
                assert (await here.ask()).end == ANSWERED, f"after {name}"
            line.healed()

    play(scene())


@pytest.mark.parametrize("name", ["UTF-8", "CRLF"])
def test_b6_split_at_every_offset(name: str, tmp_path: Path) -> None:
    """Wherever the bytes of a stream are cut in two, its words and its usage arrive."""

    async def scene() -> None:
        async with world(tmp_path / "b6") as here, row(here, "B6", f"split at every offset, {name}") as line:
            engine, odd = here.engines[0], KINDS[name]
            engine.marker = here.canaries.completion + WIDE
            length, splits = [2], 0
            line.injected()
            while splits + 1 < length[0]:
                splits += 1
                told = await _heard(here, odd, (splits,), length)
                assert (told.end, len(told.content)) == (ANSWERED, TOKENS), f"split at {splits}: {told.events[-1:]}"
            line.detected()
            line.figures["splits"] = splits
            assert splits > 500, "hardly anything was split"
            rows = await here.ledger()
            assert not any(rows[told.request_id].usage_estimated for told in here.told), "usage was lost"
            line.healed()

    play(scene())
