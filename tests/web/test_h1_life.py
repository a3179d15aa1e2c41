"""Backpressure, failing apps, and how the server stops."""

from __future__ import annotations

import asyncio

import pytest

from tests.web.h1_world import Message, Receive, Send, echo, get, heads, running


def test_a_slow_reader_stops_its_own_stream() -> None:
    """The app waits in `send` once the buffer is full; a cancelled wait leaves the next one in order."""
    sent = 0
    cancelled = asyncio.Event()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        nonlocal sent
        await send({"type": "http.response.start", "status": 200, "headers": []})
        try:
            async with asyncio.timeout(0.3):
                while True:
                    await send({"type": "http.response.body", "body": b"x" * 65_536, "more_body": True})
                    sent += 65_536
        except TimeoutError:
            cancelled.set()
        await send({"type": "http.response.body", "body": b"end", "more_body": False})

    async def scene() -> bytes:
        async with running(app, grace_s=3.0) as world:
            reader, writer = await world.connect()
            writer.write(get())
            await asyncio.wait_for(cancelled.wait(), 2.0)
            said = b""
            while not said.endswith(b"0\r\n\r\n"):
                said = (said + await asyncio.wait_for(reader.read(1 << 20), 2.0))[-100:]
            writer.close()
            return said

    assert asyncio.run(scene()).endswith(b"3\r\nend\r\n0\r\n\r\n")
    assert 0 < sent < 30_000_000


@pytest.mark.parametrize("started", [False, True], ids=["before its answer", "in its answer"])
def test_an_app_that_fails_takes_its_connection_with_it(*, started: bool) -> None:
    """The caller sees a cut connection, never an answer that looks whole; others are served on."""

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        if scope["raw_path"] == b"/others":
            await echo(scope, receive, send)
            return
        if started:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"part", "more_body": True})
        raise ValueError("broken")

    async def scene() -> tuple[bytes, bytes]:
        async with running(app) as world:
            return await world.talk(get()), await world.talk(get("/others"))

    said, others = asyncio.run(scene())
    assert not said.endswith(b"0\r\n\r\n")
    assert others.startswith(b"HTTP/1.1 200 OK")


def test_stopping_lets_open_answers_finish() -> None:
    """Idle connections close at once, a running answer ends and says that it is the last, new ones are refused."""

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await asyncio.sleep(0.2)
        await echo(scope, receive, send)

    async def scene() -> tuple[bytes, bytes, bool]:
        async with running(app, grace_s=2.0) as world:
            idle_reader, idle_writer = await world.connect()
            reader, writer = await world.connect()
            writer.write(get("/open"))
            await asyncio.sleep(0.05)
            world.server.stop()
            idle = await asyncio.wait_for(idle_reader.read(), 1.0)
            said = await asyncio.wait_for(reader.read(), 1.0)
            await asyncio.wait_for(world.serving, 1.0)
            try:
                await world.connect()
            except ConnectionRefusedError:
                refused = True
            else:
                refused = False
            idle_writer.close()
            writer.close()
            return idle, said, refused

    idle, said, refused = asyncio.run(scene())
    assert idle == b""
    assert heads(said) == [b"HTTP/1.1 200 OK"]
    assert b"connection: close\r\n" in said
    assert refused


def test_leading_away_still_serves() -> None:
    """Old and new connections are heard, each once more: its answer says that it is the last one there."""

    async def scene() -> tuple[bytes, bytes]:
        async with running() as world:
            reader, writer = await world.connect()
            writer.write(get("/before"))
            before = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 1.0)
            assert b"connection: close" not in before
            world.server.lead_away()
            writer.write(get("/after"))
            after = await asyncio.wait_for(reader.read(), 1.0)
            writer.close()
            return after, await world.talk(get("/new"))

    for said in asyncio.run(scene()):
        assert b"HTTP/1.1 200 OK" in said
        assert b"connection: close\r\n" in said


def test_what_does_not_end_in_the_grace_time_is_cut() -> None:
    """The server returns although an app still waits."""

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await receive()
        await receive()  # until the caller leaves

    async def scene() -> float:
        async with running(app, grace_s=0.2) as world:
            _, writer = await world.connect()
            writer.write(get())
            await asyncio.sleep(0.05)
            began_s = asyncio.get_running_loop().time()
            world.server.stop()
            await asyncio.wait_for(world.serving, 2.0)
            writer.close()
            return asyncio.get_running_loop().time() - began_s

    assert 0.1 < asyncio.run(scene()) < 1.5
