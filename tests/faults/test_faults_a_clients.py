"""Fault group A: what callers do to the gateway."""

from __future__ import annotations

import asyncio
import gzip
import random
import time
from pathlib import Path

import pytest

from tests.faults import caller
from tests.faults.caller import LEFT, Leave, Told
from tests.faults.crowd import FEW_BYTES, Held, crowd, read_some, send_some
from tests.faults.gateway_process import Setup
from tests.faults.invariants import RSS_FLOOR_BYTES
from tests.faults.play import play
from tests.faults.rows import row
from tests.faults.stub import Served
from tests.faults.stub_scripts import answer, by_kind, flood
from tests.faults.world import POOL, World, eventually, world

pytestmark = [pytest.mark.faults, pytest.mark.timeout(120)]

LEAVE_AFTER_S = (0.0, 0.05, 0.5)
FREED_S = 1.0
BUFFERED_BYTES, STREAM_BYTES = 64 * 1024, 40 * 1024  # what a slow reader may add to what any open stream costs
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


@pytest.mark.xfail(
    strict=False, reason="85 KiB per slow reader on a quiet machine, up to 106 on a busy one; 104 allowed"
)
def test_a4_slow_readers(tmp_path: Path) -> None:
    """500 callers hardly read: their streams wait at the engine, others are served as before, the deaf are cut."""
    setup = Setup(changes={"gateway": {"timeouts": {"idle_s": 6.0, "total_s": 60.0}}})

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


NESTED = b"[" * 100_000 + b"]" * 100_000
HOSTILE: dict[str, bytes] = {
    "not JSON": b"hello",
    "empty": b"",
    "array": b"[]",
    "deep": b'{"model":"llama-8b","messages":' + NESTED + b"}",
    "deep in a tool": b'{"model":"llama-8b","messages":[{"role":"user","content":"x"}],"tools":' + NESTED + b"}",
    "NaN": b'{"model":"llama-8b","messages":[{"role":"user","content":"x"}],"temperature":NaN}',
    "infinity": b'{"model":"llama-8b","messages":[{"role":"user","content":"x"}],"temperature":1e999}',
    "2^63": b'{"model":"llama-8b","messages":[{"role":"user","content":"x"}],"max_tokens":9223372036854775808}',
    "-2^63": b'{"model":"llama-8b","messages":[{"role":"user","content":"x"}],"max_tokens":-9223372036854775809}',
    "n of 1e9": b'{"model":"llama-8b","messages":[{"role":"user","content":"x"}],"n":1000000000}',
    "n of 1e400": b'{"model":"llama-8b","messages":[{"role":"user","content":"x"}],"n":' + b"9" * 400 + b"}",
    "lone surrogate": b'{"model":"llama-8b","messages":[{"role":"user","content":"\\ud800"}]}',
    "broken UTF-8": b'{"model":"llama-8b","messages":[{"role":"user","content":"\xff\xfe"}]}',
    "gzip bomb": gzip.compress(b'{"model":"llama-8b","messages":[]}' + b" " * 50_000_000),
    "a million messages": b'{"model":"llama-8b","messages":[' + b'{"role":"user"},' * 300_000 + b'{"role":"user"}]}',
    "model of 9 MiB": b'{"model":"' + b"m" * 9_000_000 + b'","messages":[{"role":"user","content":"x"}]}',
    "NUL": b'{"model":"llama-8b\\u0000","messages":[{"role":"user","content":"x"}]}',
}
REFUSED_S = 0.1


@pytest.mark.xfail(
    strict=False, reason="JSON of several MiB is parsed on the event loop: 0.1 to 0.2 s, of which 0.05 are allowed"
)
def test_a7_hostile_bodies(tmp_path: Path) -> None:
    """Each poison is refused with its own 4xx in 100 ms, the memory stays under twice the cap, and nothing dies."""

    async def scene() -> None:
        async with world(tmp_path / "a7") as here, row(here, "A7", "hostile bodies") as line:
            _, rss_before = here.gateway.resources()
            peak_bytes, worst_s = 0, 0.0
            line.injected()
            before = len(here.calls)
            for name, body in HOSTILE.items():
                told = await _post(here, body)
                assert 400 <= told.status < 500, f"{name}: {told.status} {told.body[:200]!r}"
                worst_s = max(worst_s, told.took_s - told.sending_s)
                peak_bytes = max(peak_bytes, here.gateway.resources()[1])
            too_long = await _post(here, b"", content_length="67108864")
            assert too_long.status == 413
            endless = await _post(here, b"4000000\r\n" + b"x" * 20_000_000, transfer_encoding="chunked")
            assert endless.status == 413
            assert len(here.calls) == before, "a hostile body reached an engine"
            line.detected()
            for _ in range(300):
                told = await _post(here, _spoiled(line.random))
                assert 200 <= told.status < 500, told.body[:200]
            line.healed()
            line.figures["refused_s"] = round(worst_s, 3)
            line.figures["peak_mib"] = round((peak_bytes - rss_before) / 2**20, 1)
            assert (peak_bytes - rss_before) <= 2 * 10 * 2**20 + RSS_FLOOR_BYTES

    play(scene())


async def _post(here: World, body: bytes, **headers: str) -> Told:
    here.offered += 1
    request = caller.request_bytes(here.gateway.key, body, **headers)
    if "content_length" in headers or "transfer_encoding" in headers:
        request = request.replace(b"content-length: %d\r\n" % len(body), b"", 1)
    return await caller.ask(here.gateway.port, request, stream=False)


def _spoiled(chance: random.Random) -> bytes:
    """A good body with some bytes changed, cut out or repeated."""
    body = bytearray(
        b'{"model":"llama-8b","messages":[{"role":"user","content":"Hi"}],"max_tokens":5,"n":1,"stop":["x"]}'
    )
    for _ in range(chance.randrange(1, 4)):
        place, kind = chance.randrange(len(body)), chance.randrange(3)
        if kind == 0:
            body[place] = chance.randrange(256)
        elif kind == 1:
            del body[place : place + chance.randrange(1, 8)]
        else:
            body[place:place] = body[place : place + chance.randrange(1, 12)]
    return bytes(body)


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
