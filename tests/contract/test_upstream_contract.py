"""What both clients of the gateway make of answers, whole, broken and odd: own engines' and providers' alike."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from controller.core.errors import EngineUnavailable
from controller.gateway.ports import Upstream
from tests.contract.scripted_server import Peer, Scripted, always, chunk, once
from tests.contract.upstream_clients import Kind, asked, call, each_kind, exchange

pytestmark = each_kind
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


def test_a_whole_answer(kind: Kind) -> None:
    """Status, headers by lower-case name, body; the request came as it was given."""

    async def talk(upstream: Upstream, server: Scripted) -> None:
        response = await upstream.open(call(server.url, body=b'{"a": 1}'))
        assert response.status == 429
        assert (response.headers["retry-after"], response.headers["x-odd"]) == ("7", "A: b")
        assert set(response.headers) >= {"retry-after", "x-odd", "content-length"}
        assert await response.read() == b"busy"
        assert await response.read() == b""
        await response.close()
        await response.close()

    answer = b"HTTP/1.1 429 Too Many\r\nRetry-After: 7\r\nX-ODD: A: b\r\nContent-Length: 4\r\n\r\nbusy"
    request = exchange(kind, talk, always(answer)).requests[0]
    assert request.line == "POST /v1/chat HTTP/1.1"
    assert request.headers["host"].startswith("127.0.0.1:")
    assert (request.headers["content-type"], request.headers["x-request-id"]) == ("application/json", "req-1")
    assert request.body == b'{"a": 1}'


BODIES = {
    "length": (b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello", b"hello", True),
    "no body": (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", b"", True),
    "204": (b"HTTP/1.1 204 No Content\r\n\r\n", b"", True),
    "chunked": (CHUNKED + chunk(b"hel") + chunk(b"lo") + END, b"hello", True),
    "chunk extensions and trailers": (CHUNKED + b"5;x=y\r\nhello\r\n0\r\ntrailer: x\r\n\r\n", b"hello", True),
    "after 100 Continue": (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, b"ok", True),
    "the server asks to close": (
        b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 5\r\n\r\nhello",
        b"hello",
        False,
    ),
}


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
@pytest.mark.parametrize(("answer", "body", "kept"), BODIES.values(), ids=BODIES.keys())
def test_bodies_and_reuse(kind: Kind, answer: bytes, body: bytes, kept: bool, stream: bool) -> None:
    """Whatever says where a body ends; the connection then serves the next call, unless it must not."""

    async def talk(upstream: Upstream, server: Scripted) -> None:
        for _ in range(3):
            assert await asked(upstream, server, stream=stream) == body
            await asyncio.sleep(0.01)

    server = exchange(kind, talk, always(answer))
    assert [request.connection for request in server.requests] == ([1, 1, 1] if kept else [1, 2, 3])


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
def test_a_body_that_ends_with_the_connection(kind: Kind, stream: bool) -> None:
    """HTTP/1.0 style: whole, and nothing to use again."""

    async def talk(upstream: Upstream, server: Scripted) -> None:
        assert await asked(upstream, server, stream=stream) == b"hello"

    exchange(kind, talk, once(b"HTTP/1.0 200 OK\r\n\r\nhello", Peer.close))


def test_a_stream_comes_chunk_by_chunk(kind: Kind) -> None:
    """The head before any byte of the body, each chunk as soon as it is there."""

    async def talk(upstream: Upstream, server: Scripted) -> None:
        response = await upstream.open(call(server.url, stream=True))
        assert response.headers["content-type"] == "text/event-stream"
        steps.put_nowait(b"one")
        assert await response.read() == b"one"
        steps.put_nowait(b"two")
        assert await response.read() == b"two"
        steps.put_nowait(b"")
        assert await response.read() == b""
        await response.close()

    async def script(peer: Peer) -> None:
        await peer.answer(CHUNKED)
        while piece := await steps.get():
            await peer.send(chunk(piece))
        await peer.send(END)
        await peer.gone()

    steps: asyncio.Queue[bytes] = asyncio.Queue()
    exchange(kind, talk, script)


BROKEN = {
    "closed before the head": (b"", Peer.close),
    "reset before the head": (b"", Peer.reset),
    "closed within the head": (b"HTTP/1.1 200 OK\r\ncontent-le", Peer.close),
    "reset within the body": (HEAD + b"content-length: 5\r\n\r\nhel", Peer.reset),
    "closed within the body": (HEAD + b"content-length: 5\r\n\r\nhel", Peer.close),
    "cut between chunks": (CHUNKED + chunk(b"hel"), Peer.close),
    "cut within a chunk": (CHUNKED + b"5\r\nhel", Peer.close),
    "reset between chunks": (CHUNKED + chunk(b"hel"), Peer.reset),
    "a chunk of no length": (CHUNKED + b"zz\r\nhello\r\n" + END, Peer.close),
    "garbage": (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", Peer.close),
    "TLS": (b"\x15\x03\x01\x00\x02\x02\x46", Peer.close),
}


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
@pytest.mark.parametrize(("answer", "end"), BROKEN.values(), ids=BROKEN.keys())
def test_broken_answers(kind: Kind, answer: bytes, end: Callable[[Peer], None], stream: bool) -> None:
    """EngineUnavailable, at once, whether it breaks before the head or after; what came before is still read."""

    async def talk(upstream: Upstream, server: Scripted) -> None:
        with pytest.raises(EngineUnavailable, match="broke"):
            await asked(upstream, server, stream=stream)

    server = exchange(kind, talk, once(answer, end))
    assert len(server.requests) == 1


def test_bytes_before_the_break_are_read(kind: Kind) -> None:
    """A stream that breaks has given all that came."""

    async def talk(upstream: Upstream, server: Scripted) -> None:
        response = await upstream.open(call(server.url, stream=True))
        assert await response.read() == b"hel"
        with pytest.raises(EngineUnavailable):
            await response.read()
        await response.close()

    exchange(kind, talk, once(CHUNKED + chunk(b"hel"), Peer.close))


def test_a_slow_reader_stops_the_upstream(kind: Kind) -> None:
    """What nobody reads stays in the sockets: the upstream waits, and then goes on where it was."""
    piece, pieces = chunk(b"x" * 65_536), 256
    sent = 0

    async def fast(peer: Peer) -> None:
        nonlocal sent
        await peer.answer(CHUNKED)
        for _ in range(pieces):
            await peer.send(piece)
            sent += 1
        await peer.send(END)

    async def talk(upstream: Upstream, server: Scripted) -> None:
        response = await upstream.open(call(server.url, stream=True))
        before = -1
        while sent != before:
            before = sent
            await asyncio.sleep(0.1)
        assert sent < pieces / 2
        size_bytes = 0
        while data := await response.read():
            size_bytes += len(data)
        assert size_bytes == pieces * 65_536
        await response.close()

    exchange(kind, talk, fast)
