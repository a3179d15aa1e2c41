"""How both clients of the gateway make and cut connections, and what goes over them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from controller.adapters import aiohttp_upstream, h1_engine_connection
from controller.core.errors import EngineUnavailable, UpstreamTimeout
from controller.gateway.ports import Upstream, UpstreamResponse
from tests.contract.scripted_server import Peer, Scripted, always, chunk, deaf_port, once, refusing_port
from tests.contract.upstream_clients import CHUNKED, OK, Kind, asked, call, each_kind, exchange

pytestmark = each_kind


def test_nobody_listens(kind: Kind) -> None:
    """EngineUnavailable at once."""

    async def talk(upstream: Upstream, server: Scripted) -> None:
        with pytest.raises(EngineUnavailable):
            await upstream.open(call(f"http://127.0.0.1:{refusing_port()}"))

    exchange(kind, talk, always(OK))


def test_a_connection_that_is_not_accepted_in_time(kind: Kind) -> None:
    """UpstreamTimeout of the phase connect, after the time set."""

    async def talk(upstream: Upstream, server: Scripted) -> None:
        loop = asyncio.get_running_loop()
        with deaf_port() as port:
            began_s = loop.time()
            with pytest.raises(UpstreamTimeout) as caught:
                await upstream.open(call(f"http://127.0.0.1:{port}", connect_timeout_s=0.2))
        assert (caught.value.phase, caught.value.after_s) == ("connect", 0.2)
        assert 0.15 < loop.time() - began_s < 1.0

    exchange(kind, talk, always(OK))


def _left_midway(kind: Kind, leave: Callable[[UpstreamResponse, asyncio.Event], Awaitable[None]]) -> list[int]:
    """The connections of two calls; the first is left after its first piece, and the event set once that is heard."""
    gone = asyncio.Event()

    async def endless(peer: Peer) -> None:
        await peer.answer(CHUNKED + chunk(b"data: x\n\n"))
        await peer.gone()
        gone.set()

    async def talk(upstream: Upstream, server: Scripted) -> None:
        response = await upstream.open(call(server.url, stream=True))
        assert await response.read() == b"data: x\n\n"
        await leave(response, gone)
        assert await asked(upstream, server) == b"ok"

    return [request.connection for request in exchange(kind, talk, endless, always(OK)).requests]


def test_closing_cuts_the_upstream(kind: Kind) -> None:
    """An engine stops computing within a second once nobody listens, and the connection is not used again."""

    async def leave(response: UpstreamResponse, gone: asyncio.Event) -> None:
        await response.close()
        async with asyncio.timeout(1):
            await gone.wait()

    assert _left_midway(kind, leave) == [1, 2]


def test_hanging_up_is_heard_before_the_close(kind: Kind) -> None:
    """The upstream reads the end although the request has not come to its close; the connection is not used again."""

    async def leave(response: UpstreamResponse, gone: asyncio.Event) -> None:
        response.hang_up()
        async with asyncio.timeout(1):
            await gone.wait()
        response.hang_up()
        await response.close(finished=True)

    assert _left_midway(kind, leave) == [1, 2]


def test_hanging_up_late_leaves_the_next_exchange_alone(kind: Kind) -> None:
    """The answer was whole and closed: its connection belongs to others."""

    async def talk(upstream: Upstream, server: Scripted) -> None:
        first = await upstream.open(call(server.url))
        assert await first.read() == b"ok"
        await first.close()
        first.hang_up()
        assert await asked(upstream, server) == b"ok"

    assert [request.connection for request in exchange(kind, talk, always(OK)).requests] == [1, 1]


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
def test_cancelling_cuts_the_upstream(kind: Kind, stream: bool) -> None:
    """A call that is given up ends at once, before its head has come."""
    gone = asyncio.Event()

    async def silent(peer: Peer) -> None:
        await peer.request()
        asking.cancel()
        try:
            await peer.gone()
        finally:
            gone.set()

    async def talk(upstream: Upstream, server: Scripted) -> None:
        nonlocal asking
        asking = asyncio.ensure_future(upstream.open(call(server.url, stream=stream)))
        with pytest.raises(asyncio.CancelledError):
            await asking
        async with asyncio.timeout(1):
            await gone.wait()

    asking: asyncio.Future[object]
    exchange(kind, talk, silent)


@pytest.mark.parametrize("size_bytes", [65_535, 65_536, 150_000, 3_000_000])
def test_large_requests(kind: Kind, size_bytes: int) -> None:
    """Whole, and counted right."""
    body = bytes(range(256)) * (size_bytes // 256) + b"x" * (size_bytes % 256)

    async def talk(upstream: Upstream, server: Scripted) -> None:
        assert await asked(upstream, server, body=body) == b"ok"

    request = exchange(kind, talk, always(OK)).requests[0]
    assert request.body == body


def test_many_at_once(kind: Kind) -> None:
    """Each call has a connection to itself, and each gets its own answer."""

    async def echo(peer: Peer) -> None:
        while True:
            body = (await peer.request()).body
            await asyncio.sleep(0.02)
            await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body)

    async def talk(upstream: Upstream, server: Scripted) -> None:
        for _ in range(2):
            bodies = [b"%d" % number for number in range(20)]
            assert await asyncio.gather(*(asked(upstream, server, body=body) for body in bodies)) == bodies

    assert len(exchange(kind, talk, echo).peers) == 20


def test_redirects_are_not_followed(kind: Kind) -> None:
    """They would carry a key elsewhere: the caller sees the 302."""

    async def talk(upstream: Upstream, server: Scripted) -> None:
        response = await upstream.open(call(server.url))
        assert (response.status, response.headers["location"]) == (302, "/elsewhere")
        await response.close()

    answer = b"HTTP/1.1 302 Found\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n"
    assert len(exchange(kind, talk, always(answer)).requests) == 1


def test_answers_that_are_too_large(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    """A whole answer over the limit, and a head of a megabyte, are failures rather than memory."""
    for module in (h1_engine_connection, aiohttp_upstream):
        monkeypatch.setattr(module, "MAX_UNARY_BYTES", 100_000)

    async def talk(upstream: Upstream, server: Scripted) -> None:
        for _ in range(2):
            with pytest.raises(EngineUnavailable):
                await asked(upstream, server)

    body = b"HTTP/1.1 200 OK\r\ncontent-length: 200000\r\n\r\n" + b"x" * 200_000
    head = b"HTTP/1.1 200 OK\r\nx: " + b"x" * 1_000_000 + b"\r\n\r\n"
    exchange(kind, talk, once(body, Peer.close), once(head, Peer.close))


def test_closing_the_client(kind: Kind) -> None:
    """Afterwards no idle connection is left."""
    gone = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.answer(OK)
        await peer.gone()
        gone.set()

    async def talk(upstream: Upstream, server: Scripted) -> None:
        assert await asked(upstream, server) == b"ok"
        await upstream.aclose()
        async with asyncio.timeout(1):
            await gone.wait()

    exchange(kind, talk, script)
