"""Fault group C: what external providers do to the gateway."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from tests.faults.caller import ANSWERED, BROKEN, REFUSED, Told
from tests.faults.gateway_process import TIMEOUTS, Setup, key_variable
from tests.faults.play import play
from tests.faults.rows import row
from tests.faults.stub import Exchange
from tests.faults.stub_scripts import STREAM_HEAD, answer, refuse, sse
from tests.faults.world import World, eventually, world

pytestmark = [pytest.mark.faults, pytest.mark.timeout(120)]

FIRST, SPARE = "stub-first", "stub-spare"
BOTH = {FIRST: "openai", SPARE: "openai"}
WAITS = {"seconds": "3", "date": "", "huge": "1000000000", "negative": "-1", "absent": None}
OVERLOADED = {"error": {"message": "overloaded", "type": "server_error", "param": None, "code": "server_is_overloaded"}}


def _by(*told: Told) -> set[str]:
    """Who answered."""
    return {name for one in told for source in one.sources for name in (FIRST, SPARE) if source.endswith(name)}


def _all_answered(told: Sequence[Told]) -> None:
    bad = [(one.end, one.status, one.body[:300]) for one in told if one.end != ANSWERED]
    assert not bad, bad[0]


def _setup(*names: str, **changes: object) -> Setup:
    """Each provider has a key of its own: names that share one would rest together."""
    return Setup(changes=changes, environ={key_variable(name): f"key-of-{name}" for name in names})


async def _asked(here: World, count: int = 1, **options: object) -> int:
    """How often the first provider was called for so many requests, all of which were answered."""
    before = len(here.providers[0].calls)
    told = await here.ask_many(count, model=FIRST, **options)
    _all_answered(told)
    return len(here.providers[0].calls) - before


def test_c1_a_provider_says_when_to_come_back(tmp_path: Path) -> None:
    """No call within what it asked for, in any of its forms; requests go elsewhere meanwhile."""

    async def scene() -> None:
        names = {f"p-{name}": "openai" for name in WAITS}
        setup = _setup(*names, SPARE, fallbacks={name: [SPARE] for name in names})
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
            world(tmp_path / "c2", engines=0, providers=BOTH, setup=_setup(*BOTH)) as here,
            row(here, "C2", "200, then an error") as line,
        ):
            first = here.providers[0]
            line.injected()
            first.queue = [_error_event(0), _error_event(3)]  # type: ignore[list-item]
            told = await here.ask(model=FIRST)
            assert (told.end, _by(told)) == (ANSWERED, {SPARE})
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


def _only(key: str) -> object:
    async def script(exchange: Exchange) -> None:
        good = exchange.call.headers.get("authorization") == f"Bearer {key}"
        await (answer() if good else refuse(401, "bad key"))(exchange)

    return script


def test_c3_a_key_dies_and_is_replaced(tmp_path: Path) -> None:
    """One call, then none with that key; the new one in its file is used without a restart."""

    async def scene() -> None:
        key_file = tmp_path / "provider.key"
        key_file.write_text("old-key")
        setup = _setup(SPARE, providers={FIRST: {"api_key_file": str(key_file)}})
        setup = replace(setup, environ={**setup.environ, key_variable(FIRST): ""})
        async with (
            world(tmp_path / "c3", engines=0, providers=BOTH, setup=setup) as here,
            row(here, "C3", "key refused, then rotated") as line,
        ):
            first = here.providers[0]
            first.script = _only("new-key")  # type: ignore[assignment]
            line.injected()
            assert await _asked(here) == 1
            line.detected()
            assert await _asked(here, 20, stream=False) == 0
            key_file.write_text("new-key")
            rotated_s = time.monotonic()

            async def is_used() -> bool:
                return await _asked(here, stream=False) > 0

            await eventually(is_used, within_s=60.0, every_s=0.25)
            line.figures["rotated_s"] = round(time.monotonic() - rotated_s, 1)
            line.healed()

    play(scene())


def test_c4_no_name_and_no_certificate(tmp_path: Path) -> None:
    """A name that is none, a certificate that nobody signed: the next target in two seconds, nothing said."""

    async def scene() -> None:
        made = ["-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=127.0.0.1"]
        files = ["-keyout", str(tmp_path / "k.pem"), "-out", str(tmp_path / "c.pem")]
        subprocess.run(["openssl", "req", *made, *files], check=True, capture_output=True, timeout=30)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tmp_path / "c.pem", tmp_path / "k.pem")
        heard: list[bytes] = []

        async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            heard.append(await reader.read(100))
            writer.close()

        server = await asyncio.start_server(listen, "127.0.0.1", 0, ssl=context)
        port = server.sockets[0].getsockname()[1]
        addresses = {"bad-name": "http://no-such-name.invalid/v1", "bad-cert": f"https://127.0.0.1:{port}/v1"}
        models = {
            name: {"provider": name, "model_id": name, "tier": 1, "capabilities": ["text"], "context_tokens": 200_000,
                   "max_output_tokens": 4096, "usd_per_mtok_in": "1", "usd_per_mtok_out": "3", "source": "stub",
                   "as_of": "2026-11-01"}
            for name in addresses
        }  # fmt: skip
        changes = {
            "models": models,
            "providers": {
                name: {"dialect": "openai", "base_url": url, "api_key_env": "STUB_STUB_SPARE_KEY"}
                for name, url in addresses.items()
            },
            "fallbacks": {name: [SPARE] for name in addresses},
        }
        async with (
            world(tmp_path / "c4", engines=0, providers={SPARE: "openai"}, setup=Setup(changes=changes)) as here,
            row(here, "C4", "no such name, unsigned certificate") as line,
        ):
            line.injected()
            for name in addresses:
                told = await here.ask(model=name, stream=False)
                assert (told.end, _by(told)) == (ANSWERED, {SPARE})
                line.figures[f"{name}_s"] = round(told.took_s, 3)
                assert told.took_s <= 2.0
            line.detected()
            line.healed()
        server.close()
        assert b"".join(heard) == b"", "something was said to a server that nobody vouches for"

    play(scene())


def test_c5_a_brownout(tmp_path: Path) -> None:
    """A provider whose first token is late is left for the next one, then left alone; no request is sent twice."""

    async def scene() -> None:
        timeouts = {**TIMEOUTS, "ttft_s": 10.0, "provider_ttft_s": 1.0}
        setup = _setup(*BOTH, gateway={"timeouts": timeouts})
        async with (
            world(tmp_path / "c5", engines=0, providers=BOTH, setup=setup) as here,
            row(here, "C5", "brownout: late first token") as line,
        ):
            first = here.providers[0]
            first.script = answer(first_after_s=5.0)
            line.injected()
            told = []
            for _ in range(2):  # three at once: a retry budget of 20 % and 3 is for blips
                told += await here.ask_many(3, model=FIRST)
            _all_answered(told)
            assert _by(*told) == {SPARE}
            line.figures["slowest_s"] = round(max(one.took_s for one in told), 2)
            line.detected()
            quick = await here.ask(model=FIRST)
            assert quick.took_s < 1.0, "it was tried again although it keeps being late"
            first.script = answer()

            async def is_back() -> bool:
                return await _asked(here) > 0

            await eventually(is_back, within_s=40.0, every_s=0.25)
            line.healed()

    play(scene())


def test_c6_all_providers_down_and_back(tmp_path: Path) -> None:
    """Every request ends in time; when they are back no stampede comes, and within thirty seconds all are answered."""

    async def scene() -> None:
        async with (
            world(tmp_path / "c6", engines=0, providers=BOTH, setup=_setup(*BOTH)) as here,
            row(here, "C6", "all down, then back") as line,
        ):
            line.injected()
            for stub in here.providers:
                await stub.die()
            down_until_s = time.monotonic() + 12.0
            refused = []
            while time.monotonic() < down_until_s:
                refused += await here.ask_many(10, model=FIRST, stream=False)
                await asyncio.sleep(0.2)
            assert {one.end for one in refused} == {REFUSED}
            line.figures["slowest_refusal_s"] = round(max(one.took_s for one in refused), 2)
            line.detected()
            for stub in here.providers:
                await stub.listen()
            back_s, sent, good, calls = time.monotonic(), 0, 0, len(here.calls)
            while good < 9 and time.monotonic() - back_s < 30.0:
                told = await here.ask_many(10, model=FIRST, stream=False)
                sent, good = sent + 10, sum(one.end == ANSWERED for one in told)
                await asyncio.sleep(0.2)
            assert good >= 9
            line.figures["goodput_back_s"] = round(time.monotonic() - back_s, 1)
            assert len(here.calls) - calls <= 1.2 * sent
            line.healed()

    play(scene())
