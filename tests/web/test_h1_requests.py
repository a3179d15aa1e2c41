"""The data plane's HTTP server: requests in any cut, answers whole and streamed, connections kept and closed."""

from __future__ import annotations

import asyncio

import pytest

from tests.web.h1_world import Message, Receive, Send, answer, body_of, echo, get, heads, post, running


def test_a_request_and_its_answer() -> None:
    """Method, raw path, query and body reach the app; the answer has the length the app gave."""

    async def scene() -> bytes:
        async with running() as world:
            return await world.talk(b"POST /a%2fb?c=d HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\nhi")

    said = asyncio.run(scene())
    assert said == b"HTTP/1.1 200 OK\r\ncontent-length: 18\r\n\r\nPOST /a%2fb c=d hi"


@pytest.mark.parametrize("size", [1, 2, 3, 7, 19])
def test_bytes_may_be_cut_anywhere(size: int) -> None:
    """The same requests in pieces of any size give the same answers."""
    whole = post(b"hello world") + get("/next")

    async def scene(parts: list[bytes]) -> bytes:
        async with running() as world:
            return await world.talk(*parts)

    expected = asyncio.run(scene([whole]))
    pieces = [whole[start : start + size] for start in range(0, len(whole), size)]
    assert asyncio.run(scene(pieces)) == expected
    assert len(heads(expected)) == 2


def test_chunked_bodies_are_put_together() -> None:
    """Chunk extensions and trailers are nobody's business."""
    body = b"5;x=y\r\nhello\r\n6\r\n world\r\n0\r\nt: v\r\n\r\n"

    async def scene() -> bytes:
        async with running() as world:
            return await world.talk(b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n" + body)

    assert asyncio.run(scene()).endswith(b"POST /  hello world")


def test_pipelined_requests_are_answered_in_order() -> None:
    """The second waits until the first is answered, however quick it would be."""

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await asyncio.sleep(0.05 if scope["raw_path"] == b"/slow" else 0)
        await echo(scope, receive, send)

    async def scene() -> bytes:
        async with running(app) as world:
            return await world.talk(get("/slow") + get("/quick") + get("/last"))

    said = asyncio.run(scene())
    assert said.index(b"/slow") < said.index(b"/quick") < said.index(b"/last")


def test_a_stream_is_chunked_and_each_piece_leaves_at_once() -> None:
    """Nothing waits for the end; empty pieces are not sent, since they would end the body."""

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"x", b"y")]})
        for piece in (b"one", b"", b"two"):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
            await asyncio.sleep(0.03)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def scene() -> tuple[bytes, bytes]:
        async with running(app) as world:
            reader, writer = await world.connect()
            writer.write(get() + get())
            first = await reader.readuntil(b"one\r\n")
            rest = await reader.readuntil(b"0\r\n\r\n")
            await reader.readuntil(b"0\r\n\r\n")
            writer.close()
            return first, rest

    first, rest = asyncio.run(scene())
    assert b"transfer-encoding: chunked\r\n" in first
    assert rest == b"3\r\ntwo\r\n0\r\n\r\n"


def test_an_old_caller_gets_a_stream_up_to_the_end_of_the_connection() -> None:
    """HTTP/1.0 knows no chunks."""

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"one", "more_body": True})
        await send({"type": "http.response.body", "body": b"two", "more_body": False})

    async def scene() -> bytes:
        async with running(app) as world:
            return await world.talk(b"GET / HTTP/1.0\r\n\r\n")

    said = asyncio.run(scene())
    assert said.endswith(b"connection: close\r\n\r\nonetwo")
    assert b"chunked" not in said


def test_head_has_no_body() -> None:
    """Only the head of what GET would say."""

    async def scene() -> bytes:
        async with running() as world:
            return await world.talk(b"HEAD / HTTP/1.1\r\nhost: x\r\n\r\n")

    assert asyncio.run(scene()).endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    ("head", "closes"),
    [
        (get(), False),
        (get("/", "connection: close"), True),
        (b"GET / HTTP/1.0\r\n\r\n", True),
        (b"GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n", False),
    ],
    ids=["1.1", "asked to close", "1.0", "1.0 keep-alive"],
)
def test_connections_are_kept_as_the_caller_wants(head: bytes, *, closes: bool) -> None:
    """A closing answer says so and ends the connection."""

    async def scene() -> tuple[bytes, bool]:
        async with running() as world:
            reader, writer = await world.connect()
            writer.write(head)
            said = await reader.readuntil(b"GET /  ")
            try:
                ended = await asyncio.wait_for(reader.read(), 0.1) == b""
            except TimeoutError:
                ended = False
            writer.close()
            return said, ended

    said, ended = asyncio.run(scene())
    assert ended is closes
    assert (b"connection: close" in said) is closes


def test_a_caller_who_expects_a_word_gets_it() -> None:
    """100 Continue when the app wants the body; not when it answers without, and then the connection ends."""

    async def refusing(scope: Message, receive: Receive, send: Send) -> None:
        await answer(send, b"no", 401)

    head = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\nexpect: 100-continue\r\n\r\n"

    async def scene() -> tuple[bytes, bytes]:
        async with running() as world:
            reader, writer = await world.connect()
            writer.write(head)
            word = await reader.readuntil(b"\r\n\r\n")
            writer.write(b"hi")
            said = word + await reader.readuntil(b"POST /  hi")
            writer.close()
        async with running(refusing) as world:
            return said, await world.talk(head)

    wanted, refused = asyncio.run(scene())
    assert wanted.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n")
    assert heads(refused) == [b"HTTP/1.1 401 Unauthorized"]
    assert b"connection: close" in refused


def test_a_body_nobody_wants_is_read_to_its_end() -> None:
    """A refusal reaches its caller although megabytes were still on their way, and the connection goes on."""

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        if scope["method"] == "GET":
            await echo(scope, receive, send)
        else:
            await answer(send, b"no", 401)

    async def scene() -> bytes:
        async with running(app) as world:
            return await world.talk(post(b"x" * 3_000_000) + get("/after"))

    said = asyncio.run(scene())
    assert heads(said) == [b"HTTP/1.1 401 Unauthorized", b"HTTP/1.1 200 OK"]


def test_a_large_body_waits_for_the_app() -> None:
    """The sender is held back while the app has not taken what came, and nothing is lost."""
    held = asyncio.Event()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await held.wait()
        body = await body_of(receive)
        await answer(send, b"%d" % len(body))

    async def scene() -> tuple[int, bytes]:
        async with running(app) as world:
            reader, writer = await world.connect()
            writer.write(post(b"x" * 20_000_000))
            await asyncio.sleep(0.2)
            unsent = writer.transport.get_write_buffer_size()
            held.set()
            said = await asyncio.wait_for(reader.readuntil(b"20000000"), 5.0)
            writer.close()
            return unsent, said

    unsent, said = asyncio.run(scene())
    assert unsent > 5_000_000
    assert said.startswith(b"HTTP/1.1 200 OK")
