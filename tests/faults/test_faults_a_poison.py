"""Fault group A, poison: bodies that hurt whoever reads them."""

from __future__ import annotations

import gzip
import random
from pathlib import Path

import pytest

from tests.faults import caller
from tests.faults.caller import Told
from tests.faults.invariants import RSS_FLOOR_BYTES
from tests.faults.play import play
from tests.faults.rows import row
from tests.faults.world import World, world

pytestmark = [pytest.mark.faults, pytest.mark.timeout(120)]

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
            twice = b'{"n":1000000000,"model":"llama-8b","messages":[{"role":"user","content":"x"}],"n":1}'
            assert (await _post(here, twice)).status == 200
            assert here.calls[-1].raw.count(b'"n"') == 1, "the engine may take the other"
            line.detected()
            for _ in range(300):
                told = await _post(here, _spoiled(line.random))
                assert 200 <= told.status < 500, told.body[:200]
            line.healed()
            line.within("refused_s", worst_s, REFUSED_S)
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
