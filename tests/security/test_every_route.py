"""Every route, with every method and every kind of key: what answers, and that nothing else does anything."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import pytest

from controller.core.keys import key_text
from controller.gateway.routes import MODELS, ROUTES
from tests.faults.raw_socket import exchange, statuses
from tests.faults.stub_scripts import answer
from tests.security.gateways import Scene, accepted, shared_gateways

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "QUERY")
CHAT = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 5}


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What a route does for a good key. `status`: of the allowed method; `calls`: those to an upstream."""

    method: str
    fields: Mapping[str, object]
    calls: int = 1
    status: int = 200


# A route that is not here has nobody who said what it may do, and the test fails.
EXPECTED = {
    "/v1/chat/completions": Expected(method="POST", fields=CHAT),
    "/v1/completions": Expected(method="POST", fields={"prompt": "Hi", "max_tokens": 5}),
    "/v1/embeddings": Expected(method="POST", fields={"input": "Hi"}, status=400, calls=0),  # not this pool
    "/v1/responses": Expected(method="POST", fields={"input": "Hi"}),
    "/v1/messages": Expected(method="POST", fields=CHAT),
    "/v1/messages/count_tokens": Expected(method="POST", fields={"messages": CHAT["messages"]}),
    "/v1/models": Expected(method="GET", fields={}, calls=0),
    "/v1/models/llama-8b": Expected(method="GET", fields={}, calls=0),
}
ELSEWHERE = (
    "/",
    "/v1",
    "/v1/files",
    "/v1/chat/completions/",
    "/V1/models",
    "/metrics",
    "/readyz",
    "/v1/loads",
    "/v1/books",
    "/admin",
)
ADMIN = {
    "/healthz": "ok",
    "/readyz": "ready",
    "/metrics": "# HELP",
    "/v1/loads": '{"fleet_revision"',
    "/v1/books": '{"spend_today"',
}
# Never in a refusal: who else there is, what is behind the gateway, how it is made.
SAYS_TOO_MUCH = (b"acme", b"zoo", b"127.0.0.1", b"Traceback", b".py", b"spillway.db", b"pepper", b"x-spillway-target")


def request_of(path: str, method: str, key_line: str, fields: Mapping[str, object]) -> bytes:
    """A whole request."""
    body = json.dumps({"model": "llama-8b", **fields}).encode()
    lines = [f"{method} {path} HTTP/1.1", "host: x", f"content-length: {len(body)}", key_line]
    return "\r\n".join(filter(None, lines)).encode("latin-1") + b"\r\n\r\n" + body


class Talk:
    """Requests on one connection, one after the other; all answers have a length."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def ask(self, request: bytes) -> tuple[int, bytes, bytes]:
        """(status, head, body)."""
        self._writer.write(request)
        async with asyncio.timeout(10):
            head = await self._reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
            body = b"" if request.startswith(b"HEAD ") else await self._reader.readexactly(length)
        return int(head[9:12]), head, body


@asynccontextmanager
async def talking(port: int) -> AsyncIterator[Talk]:
    """A connection, closed afterwards."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield Talk(reader, writer)
    finally:
        writer.close()


def key_lines(scene: Scene) -> tuple[dict[str, str], dict[str, str]]:
    """Header lines by the kind of key: those that open nothing, and those that do."""
    good, public_id = scene.new_key("acme")
    other, _ = scene.new_key("zoo")
    revoked, revoked_id = scene.new_key("acme")
    assert scene.keys.revoke(revoked_id, now_s=time.time())
    engine_key = (scene.gateways[0].state_dir / "engine.key").read_bytes().hex()
    shut = {
        "none": "",
        "empty": "authorization: Bearer",
        "malformed": "authorization: Bearer sp-nonsense",
        "unknown": f"authorization: Bearer {key_text('0123456789ab', '0' * 64)}",
        "another secret": f"authorization: Bearer {key_text(public_id, '0' * 64)}",
        "revoked": f"authorization: Bearer {revoked}",
        "the engines'": f"authorization: Bearer {engine_key}",
        "by another scheme": f"authorization: Basic {good}",
        "in a query's name": f"x-api-keys: {good}",
        "as a cookie": f"cookie: key={good}; authorization=Bearer {good}",
    }
    opens = {
        "a tenant's": f"authorization: Bearer {good}",
        "another tenant's": f"authorization: Bearer {other}",
        "as x-api-key": f"x-api-key: {good}",
    }
    return shut, opens


def without_ids(said: bytes) -> bytes:
    """The same with the request's own id taken out."""
    return re.sub(rb"req-[0-9a-f]+-[0-9a-f]+", b"ID", said)


def judged(path: str, method: str, *, opens: bool) -> int:
    """The status that the rules ask for."""
    expected = EXPECTED.get(path)
    if expected is None:
        return 404
    if path.startswith(MODELS.decode()):  # its key comes first
        return 401 if not opens else 200 if method == expected.method else 405
    if method != expected.method:
        return 405
    return expected.status if opens else 401


def test_every_route_has_its_expectation() -> None:
    """The list above is the route table, no more and no less."""
    assert set(EXPECTED) == {path.decode() for path in ROUTES} | {MODELS.decode(), f"{MODELS.decode()}/llama-8b"}


async def ask_all(scene: Scene, talk: Talk) -> None:
    """The port of callers: what the rules ask for, word for word the same for every key that is none."""
    shut, opens = key_lines(scene)
    await accepted(scene, opens["another tenant's"].rpartition(" ")[2])
    calls = scene.stub.calls
    for path, method in product((*EXPECTED, *ELSEWHERE), METHODS):
        expected, refusals = EXPECTED.get(path), set()
        keys = {**shut, **opens} if expected is not None else {"none": "", "a tenant's": opens["a tenant's"]}
        for kind, line in keys.items():
            before, case = len(calls), f"{method} {path} with a key: {kind}"
            asked = expected is not None and expected.method == method and kind in opens
            fields = CHAT if expected is None else expected.fields
            status, head, body = await talk.ask(request_of(path, method, line, fields))
            assert status == judged(path, method, opens=kind in opens), f"{case}: {status} {body!r}"
            assert len(calls) - before == (expected.calls if expected is not None and asked else 0), case
            if not asked:
                assert not [word for word in SAYS_TOO_MUCH if word in head + body], f"{case}: {head + body!r}"
                refusals.add((status, without_ids(body)))
        for status in {status for status, _ in refusals}:  # 401: for no key, and for every wrong one
            words = [body for told, body in refusals if told == status]
            assert len(words) <= (2 if status == 401 else 1), f"{method} {path}: {words}"


async def ask_admin(scene: Scene, talk: Talk) -> None:
    """The admin port: pages to read, with GET; nothing of the API, no other method, nothing that a key would change."""
    bearer = f"authorization: Bearer {scene.new_key('acme')[0]}"
    calls = len(scene.stub.calls)
    _, _, words = await talk.ask(request_of("/", "GET", "", {}))
    assert words.decode().partition("see ")[2].split() == list(ADMIN), "a page that nobody said anything about"
    for path, method, line in product((*ADMIN, *EXPECTED, "/", "/v1/status", "/debug", "/quit"), METHODS, ("", bearer)):
        status, _, body = await talk.ask(request_of(path, method, line, {}))
        answers = path in ADMIN and method == "GET"
        assert status == (200 if answers else 404), f"{method} {path}: {body!r}"
        if answers:
            assert body.startswith(ADMIN[path].encode())
    assert len(scene.stub.calls) == calls


@pytest.mark.timeout(120)
def test_every_route_with_every_method_and_key(tmp_path: Path) -> None:
    """On both ports: an answer for who may have it, and otherwise a refusal, no call and no hint."""

    async def main() -> None:
        async with shared_gateways(tmp_path, 1, answer()) as scene:
            gateway = scene.gateways[0]
            async with talking(gateway.port) as talk:
                await ask_all(scene, talk)
            async with talking(gateway.admin_port) as talk:
                await ask_admin(scene, talk)
            for path, port in product((*EXPECTED, "x:443"), (gateway.port, gateway.admin_port)):
                said, closed = await exchange(port, request_of(path, "CONNECT", "", CHAT))
                assert (statuses(said), closed) == ([400], True), said

    asyncio.run(main())
