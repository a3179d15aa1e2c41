"""Fault group A, slow callers: they read slowly, send slowly, or hold every connection."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from tests.faults.crowd import FEW_BYTES, Held, crowd, read_some, send_some
from tests.faults.gateway_process import Setup
from tests.faults.play import play
from tests.faults.rows import row
from tests.faults.stub import Served
from tests.faults.stub_scripts import answer, by_kind, flood
from tests.faults.world import World, eventually, world

pytestmark = [pytest.mark.faults, pytest.mark.timeout(120)]

BUFFERED_BYTES, STREAM_BYTES = 64 * 1024, 48 * 1024  # what a slow reader may add to what any open stream costs


def test_a4_slow_readers(tmp_path: Path) -> None:
    """500 callers hardly read: their streams wait at the engine, others are served as before, the deaf are cut."""
    slots = {
        "engine": {"max_num_seqs": 128}
    }  # there is room for the others: who would wait for a slot is no matter here
    setup = Setup(changes={"gateway": {"timeouts": {"idle_s": 6.0, "total_s": 60.0}}}, pool=slots)

    async def scene() -> None:
        async with world(tmp_path / "a4", engines=8, setup=setup) as here, row(here, "A4", "500 slow readers") as line:
            quiet = await here.service(1.5)
            for engine in here.engines:
                engine.script = by_kind(stream=flood(4_000, gap_s=0.1), unary=answer())
            _, rss_before = here.gateway.resources()
            request = here.request(stream=True)
            async with crowd(here.gateway.port, 500, request, receive_buffer_bytes=4096) as readers:
                line.injected()
                began_s = time.monotonic()
                here.offered += len(readers)
                reading = asyncio.create_task(_read_slowly(readers[:400], 16_384))  # the others are deaf
                await asyncio.sleep(2.5)  # until the buffers are full
                busy = await here.service(1.0)
                sent = [call.made_tokens for call in here.calls if call.stream and call.ended_s is None]
                _, rss_after = here.gateway.resources()
                line.figures["kib_each"] = round((rss_after - rss_before) / 1024 / 500, 1)
                line.others = (quiet, busy)
                assert len(sent) > 450, "streams ended although their callers hardly read"
                assert max(sent) < 100, "the engine was not stopped"
                assert (rss_after - rss_before) / 500 <= BUFFERED_BYTES + STREAM_BYTES
                await eventually(lambda: len(_streams(here)) <= 400, within_s=20.0, every_s=0.2)
                line.detected()
                line.figures["deaf_cut_s"] = round(time.monotonic() - began_s, 1)
                await asyncio.sleep(1.0)
                assert len(_streams(here)) >= 395, "callers were cut although they read"
                reading.cancel()
            line.healed()

    async def _read_slowly(held: list[Held], bytes_per_s: int) -> None:
        while True:
            for one in held:
                read_some(one, bytes_per_s // 10)
            await asyncio.sleep(0.1)

    def _streams(here: World) -> list[Served]:
        return [call for stub in here.stubs for call in stub.open_calls if call.stream]

    play(scene())


async def _dribble(heads: list[Held], bodies: list[Held]) -> None:
    while True:
        for one in (*heads, *bodies):
            send_some(one, b"x")
            read_some(one, FEW_BYTES)
        await asyncio.sleep(0.25)


async def _pour(held: list[Held], body: bytes, bytes_per_s: int) -> None:
    step = bytes_per_s // 10
    for place in range(0, len(body), step):
        for one in held:
            send_some(one, body[place : place + step])
        await asyncio.sleep(0.1)


def _all_closed(held: list[Held]) -> bool:
    for one in held:
        read_some(one, FEW_BYTES)
    return all(one.closed_s is not None for one in held)


def _all_heard(held: list[Held]) -> bool:
    for one in held:
        read_some(one, FEW_BYTES)
    return all(one.status for one in held)


def test_a5_slow_heads_and_slow_bodies(tmp_path: Path) -> None:
    """1,000 callers dribble: each is refused in its time, who sends 1 KB/s is heard, others notice nothing."""
    setup = Setup(changes={"gateway": {"timeouts": {"header_s": 2.0, "body_s": 2.0}}})
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nx-slow: "

    async def scene() -> None:
        async with world(tmp_path / "a5", setup=setup) as here, row(here, "A5", "1,000 slow heads and bodies") as line:
            quiet = await here.service(1.5)
            whole = here.request(stream=False, fields={"user": "u" * 9_000})
            cut = whole.index(b"\r\n\r\n") + 4
            port = here.gateway.port
            async with (
                crowd(port, 500, head) as heads,
                crowd(port, 480, whole[:cut]) as bodies,
                crowd(port, 20, whole[:cut]) as steady,
            ):
                line.injected()
                began_s = time.monotonic()
                pouring = asyncio.create_task(_pour(steady, whole[cut:], 2_000))
                dribbling = asyncio.create_task(_dribble(heads, bodies))
                busy = await here.service(2.0)
                line.others = (quiet, busy)
                await eventually(lambda: _all_closed(heads) and _all_heard(bodies), within_s=6.0, every_s=0.1)
                line.detected()
                line.figures["refused_s"] = round(time.monotonic() - began_s, 1)
                assert {one.status for one in (*heads, *bodies)} == {408}
                dribbling.cancel()
                await pouring
                await eventually(lambda: _all_heard(steady), within_s=5.0)
                assert {one.status for one in steady} == {200}, "a body at 2 KB/s was refused"
            line.healed()

    play(scene())


def test_a6_no_file_descriptor_is_left(tmp_path: Path) -> None:
    """With 512 descriptors and 600 idle callers the gateway waits to accept, serves whom it has, and takes up again."""

    async def scene() -> None:
        async with (
            world(tmp_path / "a6", setup=Setup(open_files=512)) as here,
            row(here, "A6", "512 descriptors") as line,
        ):
            engine = here.engines[0]
            async with crowd(here.gateway.port, 40, here.request(stream=False)) as early:
                here.offered += 2 * len(early)
                await eventually(lambda: _answered(early), within_s=5.0)
                for one in early:
                    one.heard.clear()
                async with crowd(here.gateway.port, 600, b""):
                    line.injected()
                    await asyncio.sleep(1.0)
                    line.detected()
                    fds, _ = here.gateway.resources()
                    line.figures["fds"] = fds
                    assert fds < 512 - 32, "no descriptor is left for upstreams"
                    before = len(engine.calls)
                    for one in early:
                        send_some(one, here.request(stream=False))
                    await eventually(lambda: _answered(early), within_s=5.0)
                    assert len(engine.calls) == before + len(early)
                    waiting = here.asking(stream=False)
                    await asyncio.sleep(0.3)
                freed_s = time.monotonic()
                told = await waiting
                line.healed()
                line.figures["resumed_s"] = round(max(0.0, told.ended_s - freed_s), 3)
                assert told.status == 200
                assert told.ended_s - freed_s <= 1.0

    def _answered(held: list[Held]) -> bool:
        for one in held:
            read_some(one, FEW_BYTES)
        return all(one.status == 200 for one in held)

    play(scene())
