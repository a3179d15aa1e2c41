"""How both clients of the gateway keep connections, use them again, and let them go."""

from __future__ import annotations

import asyncio

import pytest

from controller.adapters import aiohttp_upstream, h1_upstream
from controller.adapters.h1_upstream import H1Upstream
from controller.core.errors import EngineUnavailable
from controller.gateway.ports import Upstream
from tests.contract.scripted_server import Peer, Scripted, always, chunk, once
from tests.contract.upstream_clients import CHUNKED, OK, Kind, asked, call, each_kind, exchange

pytestmark = each_kind
END = b"0\r\n\r\n"


def test_an_idle_connection_that_the_server_has_closed(kind: Kind) -> None:
    """The next call uses a new one, and nobody notices."""

    async def talk(upstream: Upstream, server: Scripted) -> None:
        for _ in range(3):
            assert await asked(upstream, server) == b"ok"
            await asyncio.sleep(0.05)

    server = exchange(kind, talk, once(OK, Peer.close))
    assert [request.connection for request in server.requests] == [1, 2, 3]


def test_an_idle_connection_that_closes_under_the_request(kind: Kind) -> None:
    """Nothing was answered: our own client asks again on a new one, that of providers leaves that to the gateway."""

    async def talk(upstream: Upstream, server: Scripted) -> None:
        assert await asked(upstream, server) == b"ok"
        if isinstance(upstream, H1Upstream):
            assert await asked(upstream, server) == b"ok"
        else:
            with pytest.raises(EngineUnavailable):
                await asked(upstream, server)

    async def unwilling(peer: Peer) -> None:
        await peer.answer(OK)
        await peer.request()
        peer.close()

    exchange(kind, talk, unwilling, always(OK))


@pytest.mark.parametrize("begun", [b"HTTP/1.1 200 OK\r\n", OK[:-1]], ids=["the head", "the body"])
def test_a_reused_connection_that_breaks_in_the_answer(kind: Kind, begun: bytes) -> None:
    """Something was answered: the request has been seen and is not sent again."""

    async def talk(upstream: Upstream, server: Scripted) -> None:
        assert await asked(upstream, server) == b"ok"
        with pytest.raises(EngineUnavailable):
            await asked(upstream, server)

    async def halfway(peer: Peer) -> None:
        await peer.answer(OK)
        await peer.answer(begun)
        peer.close()

    assert len(exchange(kind, talk, halfway, always(OK)).requests) == 2


@pytest.mark.parametrize("ends", [True, False], ids=["the answer ends", "it does not"])
def test_an_answer_read_to_its_end_marker(kind: Kind, ends: bool) -> None:
    """`finished` keeps the connection when the answer ends on the wire soon, and cuts it when it does not."""
    gone = asyncio.Event()

    async def late(peer: Peer) -> None:
        await peer.answer(CHUNKED + chunk(b"data: [DONE]\n\n"))
        await asyncio.sleep(0.05)
        if ends:
            await peer.send(END)
            await peer.answer(OK)
        await peer.gone()
        gone.set()

    async def talk(upstream: Upstream, server: Scripted) -> None:
        response = await upstream.open(call(server.url, stream=True))
        assert await response.read() == b"data: [DONE]\n\n"
        await response.close(finished=True)
        if ends:
            await asyncio.sleep(0.1)
        else:
            async with asyncio.timeout(1):
                await gone.wait()
        assert await asked(upstream, server) == b"ok"

    server = exchange(kind, talk, late, always(OK))
    assert [request.connection for request in server.requests] == ([1, 1] if ends else [1, 2])


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
def test_bytes_after_the_answer(kind: Kind, stream: bool) -> None:
    """A second answer that nobody asked for reaches nobody, and the connection is not used again."""

    async def talk(upstream: Upstream, server: Scripted) -> None:
        assert await asked(upstream, server, stream=stream) == b"ok"
        await asyncio.sleep(0.02)
        assert await asked(upstream, server, stream=stream) == b"ok"

    evil = b"HTTP/1.1 500 Evil\r\nx-evil: 1\r\ncontent-length: 4\r\n\r\nevil"
    server = exchange(kind, talk, once(OK + evil, lambda peer: None), always(OK))
    assert [request.connection for request in server.requests] == [1, 2]


def test_bytes_on_an_idle_connection(kind: Kind) -> None:
    """They are not taken for the answer to the next call."""

    async def talk(upstream: Upstream, server: Scripted) -> None:
        assert await asked(upstream, server) == b"ok"
        await asyncio.sleep(0.1)
        assert await asked(upstream, server) == b"ok"

    async def chatty(peer: Peer) -> None:
        await peer.answer(OK)
        await asyncio.sleep(0.02)
        await peer.send(b"HTTP/1.1 500 Evil\r\ncontent-length: 4\r\n\r\nevil")
        await peer.gone()

    assert [request.connection for request in exchange(kind, talk, chatty, always(OK)).requests] == [1, 2]


def test_connections_that_stay_idle(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are closed; our own client uses the newest again and again, so that those of a crowd go once it has left."""
    monkeypatch.setattr(h1_upstream, "IDLE_SWEEP_S", 0.1)
    monkeypatch.setattr(aiohttp_upstream, "IDLE_S", 0.2)
    gone: list[int] = []

    async def slow(peer: Peer) -> None:
        try:
            while True:
                await peer.request()
                await asyncio.sleep(0.02)
                await peer.send(OK)
        finally:
            gone.append(peer.number)

    async def talk(upstream: Upstream, server: Scripted) -> None:
        await asyncio.gather(*(asked(upstream, server) for _ in range(5)))
        while isinstance(upstream, H1Upstream) and len(gone) < 4:
            assert await asked(upstream, server) == b"ok"
        assert len(server.peers) == 5
        while len(gone) < 5:
            await asyncio.sleep(0.02)

    exchange(kind, talk, slow)


class CountedSweeps(H1Upstream):
    """Counts how often it looks for idle connections."""

    sweeps = 0

    def _sweep(self) -> None:
        self.sweeps += 1
        super()._sweep()


def test_nobody_looks_for_idle_connections_when_there_are_none(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    """Our own client stops once the last one has gone, and begins again with the next."""
    monkeypatch.setattr(h1_upstream, "IDLE_SWEEP_S", 0.02)

    async def talk(_: Upstream, server: Scripted) -> None:
        upstream = CountedSweeps()
        for _round in range(2):
            seen = before = upstream.sweeps
            assert await asked(upstream, server) == b"ok"
            while upstream.sweeps == before or upstream.sweeps > seen:  # for ever, if it does not stop or not begin
                seen = upstream.sweeps
                await asyncio.sleep(0.1)

    exchange(kind, talk, always(OK))
