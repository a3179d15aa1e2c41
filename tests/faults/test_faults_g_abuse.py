"""Fault group G: callers who mean harm."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.faults import caller
from tests.faults.caller import ANSWERED, REFUSED
from tests.faults.play import play
from tests.faults.raw_socket import exchange, statuses
from tests.faults.rows import row
from tests.faults.stub_scripts import refuse
from tests.faults.world import World, world

pytestmark = [pytest.mark.faults, pytest.mark.timeout(120)]

OUTSIDE = {"stub-openai": "openai"}


def _head(here: World, *lines: str, target: str = "/v1/chat/completions", method: str = "POST") -> bytes:
    fixed = (f"{method} {target} HTTP/1.1", "host: x", f"authorization: Bearer {here.gateway.key}")
    return "\r\n".join([*fixed, *lines]).encode("latin-1") + b"\r\n\r\n"


PATHS = (
    "/v1/chat/completions/../../metrics",
    "//v1/chat/completions",
    "/v1%2fchat%2fcompletions",
    "/v1/chat/completions#x",
    "/%2e%2e/metrics",
    "/metrics",
    "/v1/loads",
    "/healthz/../v1/loads",
    "http://a/?x=/v1/loads",
    "/invocations",
    "/pause",
    "/v1/load_lora_adapter",
)


def test_g1_paths_and_hosts(tmp_path: Path) -> None:
    """A path that is not exactly one of the API's leads nowhere, whatever the host or the encoding says."""

    async def scene() -> None:
        async with world(tmp_path / "g1") as here, row(here, "G1", "odd paths and hosts") as line:
            before = len(here.calls)
            line.injected()
            for path in PATHS:
                for method in ("GET", "POST"):
                    sent = _head(here, "content-length: 0", "connection: close", target=path, method=method)
                    said, closed = await exchange(here.gateway.port, sent)
                    assert closed, path
                    assert statuses(said)[0] in (400, 404, 405, 421), f"{method} {path}: {said[:80]!r}"
            for host in ("a/?x=", "a/#", "x@y", "a:b"):
                without_key = f"POST /v1/chat/completions HTTP/1.1\r\nhost: {host}\r\ncontent-length: 0\r\n"
                said, _ = await exchange(here.gateway.port, without_key.encode() + b"connection: close\r\n\r\n")
                assert statuses(said)[0] in (400, 401, 421), host
            for name in ("x_api_key", "Authorization_"):  # readers of the environment's kind take _ for -
                said, _ = await exchange(
                    here.gateway.port,
                    f"POST /v1/messages HTTP/1.1\r\nhost: x\r\n{name}: {here.gateway.key}\r\n"
                    "content-length: 0\r\nconnection: close\r\n\r\n".encode(),
                )
                assert statuses(said)[0] in (400, 401), f"{name}: {said[:80]!r}"
            assert len(here.calls) == before
            line.detected()
            line.healed()

    play(scene())


SMUGGLERS: dict[str, tuple[tuple[str, ...], bytes]] = {
    "CL.TE": (("content-length: 4", "transfer-encoding: chunked"), b"0\r\n\r\n"),
    "TE.CL": (("transfer-encoding: chunked", "content-length: 4"), b"0\r\n\r\n"),
    "TE.TE": (("transfer-encoding: chunked", "transfer-encoding: identity"), b"0\r\n\r\n"),
    "unknown coding": (("transfer-encoding: xchunked",), b"0\r\n\r\n"),
    "two lengths": (("content-length: 0", "content-length: 5"), b""),
    "plus": (("content-length: +10",), b""),
    "hex": (("content-length: 0x10",), b""),
    "list": (("content-length: 0, 5",), b""),
    "bare LF": (("x: a\ntransfer-encoding: chunked",), b"0\r\n\r\n"),
    "bare CR": (("x: a\rtransfer-encoding: chunked",), b"0\r\n\r\n"),
    "fold": (("x: a", " transfer-encoding: chunked"), b"0\r\n\r\n"),
    "space in name": (("transfer-encoding : chunked",), b"0\r\n\r\n"),
    "chunk extension with LF": (("transfer-encoding: chunked",), b"1;a\nb\r\nx\r\n0\r\n\r\n"),
    "chunk size with plus": (("transfer-encoding: chunked",), b"+1\r\nx\r\n0\r\n\r\n"),
}


def test_g2_smuggling(tmp_path: Path) -> None:
    """Where two readers might see two requests the gateway sees none: 400, the end, and no call upstream."""

    async def scene() -> None:
        async with world(tmp_path / "g2") as here, row(here, "G2", "smuggled requests") as line:
            before = len(here.calls)
            hidden = here.request(stream=False)
            line.injected()
            for name, (lines, body) in SMUGGLERS.items():
                said, closed = await exchange(here.gateway.port, _head(here, *lines) + body + hidden)
                assert closed, f"{name}: the connection stayed open"
                assert 200 not in statuses(said), f"{name}: the hidden request was served"
                assert statuses(said) in ([], [400]), f"{name}: {statuses(said)}"
            assert len(here.calls) == before, "a hidden request reached the engine"
            line.detected()
            line.healed()

    play(scene())


def test_g3_odd_bearers(tmp_path: Path) -> None:
    """Every wrong key hears the same 401 or is no request at all, and none of it is in the logs."""

    async def scene() -> None:
        async with world(tmp_path / "g3") as here, row(here, "G3", "odd bearers") as line:
            bodies = set()
            line.injected()
            key = here.gateway.key
            odd = (
                "",
                "'",
                "' or 1=1 --",
                '"',
                key[:-1],
                key + "x",
                key.upper(),
                "sk-" + "a" * 2_000,
                "\xe9\xff",
                "a b",
            )
            for bearer in odd:
                lines = ("host: x", f"authorization: Bearer {bearer}", "content-length: 0", "connection: close")
                sent = "\r\n".join(["POST /v1/chat/completions HTTP/1.1", *lines]).encode("latin-1") + b"\r\n\r\n"
                said, _ = await exchange(here.gateway.port, sent)
                assert statuses(said) == [401], f"{bearer[:20]!r}: {said[:80]!r}"
                bodies.add(said.partition(b"\r\n\r\n")[2])
            assert len(bodies) == 1, bodies
            for bearer in ("x" * 1_000_000, "a\x00b"):
                sent = (
                    f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {bearer}\r\n\r\n".encode()
                )
                said, closed = await exchange(here.gateway.port, sent)
                assert closed
                assert statuses(said) in ([], [400], [431])
            line.detected()
            assert (await here.ask()).end == ANSWERED
            line.healed()

    play(scene())


URLS = (
    "http://127.0.0.1/x.png",
    "http://169.254.169.254/latest/meta-data/",
    "http://[fd00:ec2::254]/",
    "http://100.64.0.1/",
    "http://[2002:7f00:1::]/",
    "http://[64:ff9b::7f00:1]/",
    "http://2130706433/",
    "http://0x7f.1/",
    "file:///etc/passwd",
    "gopher://x/",
    "http://listed.example@127.0.0.1/",
    "http://listed.example\\@127.0.0.1/",
    "http://127.0.0.1#listed.example",
    "ftp://listed.example/x",
)


def test_g4_addresses_in_messages(tmp_path: Path) -> None:
    """No address that a caller names reaches an own engine, and the gateway itself fetches none of them."""

    async def scene() -> None:
        async with world(tmp_path / "g4") as here, row(here, "G4", "image addresses inside") as line:
            before = len(here.calls)
            line.injected()
            for url in URLS:
                parts = [{"type": "image_url", "image_url": {"url": url}}]
                told = await here.ask(stream=False, fields={"messages": [{"role": "user", "content": parts}]})
                assert told.end == REFUSED, f"{url}: {told.end}"
                assert told.status in (400, 503), f"{url}: {told.status}"
            assert len(here.calls) == before
            line.detected()
            line.healed()

    play(scene())


def test_g5_headers_and_names(tmp_path: Path) -> None:
    """What a caller puts into headers and names goes nowhere: not to engines, not into answers or logs as lines."""

    async def scene() -> None:
        async with world(tmp_path / "g5", providers=OUTSIDE) as here, row(here, "G5", "injected headers") as line:
            line.injected()
            for model in ("llama-8b", "stub-openai"):
                told = await here.ask(
                    model=model,
                    x_request_id="evil id;drop",
                    x_api_url="http://127.0.0.1",
                    x_data_parallel_rank="7",
                    x_kv_transfer_params="evil",
                    cookie="evil=1",
                )
                assert told.end == ANSWERED
                assert re.fullmatch(r"[A-Za-z0-9-]{1,64}", told.request_id)
                call = here.calls[-1]
                assert call.request_id == told.request_id
                assert "evil" not in json.dumps(call.headers)
                assert not {"x-api-url", "x-data-parallel-rank", "cookie"} & call.headers.keys()
            for model in ("a\r\nx-evil: 1", "a\nb", "\u2028", "../x", "x" * 5_000):
                told = await here.ask(stream=False, model=model)
                assert told.status == (400 if len(model) > 1_000 else 404), f"{model[:20]!r}: {told.status}"
                assert "x-evil" not in told.headers
                assert len(told.body) < 2_000
            for stream in (True, False):
                here.providers[0].queue = [refuse(400, "bad\r\nx-evil: 1\r\n\r\ndata: evil\n\n")]
                told = await here.ask(stream=stream, model="stub-openai")
                assert told.status == 400
                assert "x-evil" not in told.headers
                assert "evil" in json.loads(told.body)["error"]["message"], "one JSON document, and nothing beside it"
            line.detected()
            line.healed()

    play(scene())


def test_g6_upgrades(tmp_path: Path) -> None:
    """A request for a WebSocket with a protocol that is no ASCII is refused, and the gateway lives."""

    async def scene() -> None:
        async with world(tmp_path / "g6") as here, row(here, "G6", "upgrade with odd protocol") as line:
            line.injected()
            for protocol in ("\xe9", "\x80" * 100, "a, \xff"):
                lines = ("connection: upgrade", "upgrade: websocket", f"sec-websocket-protocol: {protocol}")
                said, closed = await exchange(here.gateway.port, _head(here, *lines, method="GET"))
                assert closed
                assert 101 not in statuses(said)
            line.detected()
            assert (await here.ask()).end == ANSWERED
            line.healed()

    play(scene())


NAMES, SERIES_MORE = 3_000, 20


def test_g8_metric_bomb(tmp_path: Path) -> None:
    """Thousands of unknown models and users add no series and no memory."""

    async def scene() -> None:
        async with world(tmp_path / "g8") as here, row(here, "G8", f"{NAMES} unknown models and users") as line:
            before = len(await here.gateway.metrics())
            line.injected()
            sends = [
                here.request(stream=False, model=f"model-{number}", fields={"user": f"user-{number}"})
                for number in range(NAMES)
            ]
            for request in sends:
                here.offered += 1
                assert (await caller.ask(here.gateway.port, request, stream=False)).status == 404
            line.detected()
            after = len(await here.gateway.metrics())
            line.figures["series_more"] = after - before
            assert after - before <= SERIES_MORE
            line.healed()

    play(scene())
