"""Whatever is sent, the server refuses it in words or closes, in time, and goes on serving others."""

from __future__ import annotations

import asyncio
import socket

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.web.h1_world import Message, Receive, Send, echo, get, heads, post, running

REFUSED = b"HTTP/1.1 400 Bad Request"
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nhost: x\r\n\r\n"


@pytest.mark.parametrize(
    "sent",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/9.9\r\nhost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: x\r\nno colon\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: x\r\nbad name : v\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabc" + SMUGGLED,
        b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
        b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n" + SMUGGLED,
        b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: +3\r\n\r\nabc" + SMUGGLED,
        b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 0x3\r\n\r\nabc" + SMUGGLED,
        b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n" + SMUGGLED,
        b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999999999999999999\r\n\r\n" + SMUGGLED,
        b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nabc" + SMUGGLED,
        b"GET / HTTP/1.1\r\nhost: x\r\nx: a\x00b\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: x\r\nx: a\nGET /smuggled HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: x\r\n folded: v\r\n\r\n",
        get("/", "connection: upgrade", "upgrade: websocket"),
        get("/", "connection: upgrade", "upgrade: websocket", "sec-websocket-protocol: \xe9"),
    ],
    ids=[
        "nonsense", "version", "no colon", "space in name", "two lengths", "length and chunked", "two codings", "plus",
        "hex", "negative", "huge", "bad chunk", "NUL", "bare LF", "folded", "upgrade", "upgrade, not ASCII",
    ],
)  # fmt: skip
def test_what_is_no_request_is_refused_and_the_connection_ends(sent: bytes) -> None:
    """One refusal and the end; nothing behind it is taken for a request."""
    paths: list[bytes] = []

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        paths.append(scope["raw_path"])
        await echo(scope, receive, send)

    async def scene() -> tuple[bytes, bytes]:
        async with running(app) as world:
            return await world.talk(sent), await world.talk(get("/others"))

    said, others = asyncio.run(scene())
    assert b"/smuggled" not in paths
    assert heads(said)[-1:] in ([REFUSED], [])
    assert others.startswith(b"HTTP/1.1 200 OK")


@given(st.binary(max_size=400))
@settings(max_examples=60, deadline=None)
def test_any_bytes_leave_the_server_alive(sent: bytes) -> None:
    """Random bytes, alone and behind a good request."""

    async def scene() -> bytes:
        async with running() as world:
            reader, writer = await world.connect()
            writer.write(get() + sent)
            await reader.read(65536)
            writer.close()
            reader, writer = await world.connect()
            writer.write(get("/others"))
            said = await asyncio.wait_for(reader.readuntil(b"GET /others  "), 2.0)
            writer.close()
            return said

    assert asyncio.run(scene()).startswith(b"HTTP/1.1 200 OK")


@pytest.mark.parametrize(
    "head",
    [get("/" + "x" * 40_000), get("/", "x: " + "y" * 40_000), get("/", *(f"x{n}: y" for n in range(150)))],
    ids=["long path", "long header", "many headers"],
)
def test_a_head_over_the_caps_is_431(head: bytes) -> None:
    """Bytes and count of headers are capped."""

    async def scene() -> bytes:
        async with running() as world:
            return await world.talk(head)

    assert asyncio.run(scene()).startswith(b"HTTP/1.1 431 ")


def test_a_slow_head_is_408() -> None:
    """A byte now and then does not keep a connection; the deadline counts from the first byte."""

    async def scene() -> bytes:
        async with running(header_s=0.3) as world:
            reader, writer = await world.connect()
            for byte in b"GET / HTTP/1.1\r\nx: yyyyyyyyyyy":
                writer.write(bytes([byte]))
                await asyncio.sleep(0.01)
            said = await asyncio.wait_for(reader.read(), 3.0)
            writer.close()
            return said

    assert asyncio.run(scene()).startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize("sent", [b"", get()], ids=["silent", "after an answer"])
def test_idle_connections_end(sent: bytes) -> None:
    """One that says nothing, and one that has said all, are closed without a word more."""

    async def scene() -> bytes:
        async with running(header_s=0.2, keep_alive_s=0.2) as world:
            reader, writer = await world.connect()
            writer.write(sent)
            said = await asyncio.wait_for(reader.read(), 3.0)
            writer.close()
            return said

    assert len(heads(asyncio.run(scene()))) == (1 if sent else 0)


def test_too_many_requests_ahead_of_their_answers() -> None:
    """A flood behind a slow answer is cut off, not queued."""

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await asyncio.sleep(0.2)
        await echo(scope, receive, send)

    async def scene() -> bytes:
        async with running(app, pipelined=2) as world:
            return await world.talk(get() * 10)

    assert heads(asyncio.run(scene())) == [REFUSED]


def test_an_endless_unwanted_body_is_cut() -> None:
    """Beyond the cap on what is thrown away the connection ends."""

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        headers = [(b"content-length", b"2")]
        await send({"type": "http.response.start", "status": 401, "headers": headers})
        await send({"type": "http.response.body", "body": b"no", "more_body": False})

    async def scene() -> bool:
        async with running(app, discard_bytes=100_000) as world:
            reader, writer = await world.connect()
            writer.write(post(b"")[:-4].replace(b"content-length: 0", b"content-length: 900000000") + b"\r\n\r\n")
            try:
                for _ in range(200):
                    writer.write(b"x" * 10_000)
                    await writer.drain()
                return await asyncio.wait_for(reader.read(), 1.0) is None
            except ConnectionError:
                return True
            finally:
                writer.close()

    assert asyncio.run(scene())


def test_a_caller_who_leaves_is_told_to_the_app() -> None:
    """`receive` returns http.disconnect, also to an app that sends into a full buffer."""
    left: list[str] = []

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        waiting = asyncio.ensure_future(receive())
        while not waiting.done():
            await send({"type": "http.response.body", "body": b"x" * 100_000, "more_body": True})
            await asyncio.sleep(0)
        left.append(waiting.result()["type"])

    async def scene() -> None:
        async with running(app) as world:
            _, writer = await world.connect()
            writer.write(get())
            await asyncio.sleep(0.1)
            sock = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
            writer.transport.abort()
            await asyncio.sleep(0.2)

    asyncio.run(scene())
    assert left == ["http.disconnect"]
