"""Both clients of the gateway hand a stream on piece by piece, to whoever takes it, for as long as it is wanted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from controller.core.errors import EngineUnavailable
from controller.gateway.ports import Upstream
from tests.contract.scripted_server import Peer, Script, Scripted, chunk
from tests.contract.upstream_clients import Kind, call, each_kind, exchange

pytestmark = each_kind
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"
PAUSE_S = 0.02


def paced(*pieces: bytes, end: Callable[[Peer], None] | None = None) -> Script:
    """A stream with a pause after each piece; afterwards its proper end, or another one."""

    async def script(peer: Peer) -> None:
        await peer.answer(HEAD)
        for piece in pieces:
            await peer.send(chunk(piece))
            await asyncio.sleep(PAUSE_S)
        if end is None:
            await peer.send(END)
            await peer.gone()
        else:
            end(peer)

    return script


def test_every_piece_as_it_comes(kind: Kind) -> None:
    """In order, and False at the end; again False when asked again."""
    taken: list[bytes] = []

    async def talk(upstream: Upstream, server: Scripted) -> None:
        response = await upstream.open(call(server.url, stream=True))
        assert await response.pump(lambda piece: taken.append(piece) is None) is False
        assert await response.pump(lambda piece: taken.append(piece) is None) is False
        await response.close()

    exchange(kind, talk, paced(b"one", b"two", b"three"))
    assert taken == [b"one", b"two", b"three"]


def test_a_taker_who_has_enough_for_now(kind: Kind) -> None:
    """The pump stops at once with True; what came meanwhile is not lost."""
    taken: list[bytes] = []

    async def talk(upstream: Upstream, server: Scripted) -> None:
        response = await upstream.open(call(server.url, stream=True))
        while await response.pump(lambda piece: taken.append(piece) is not None):
            before = len(taken)
            await asyncio.sleep(2.5 * PAUSE_S)
            assert len(taken) == before
        await response.close()

    exchange(kind, talk, paced(b"one", b"two", b"three", b"four"))
    assert b"".join(taken) == b"onetwothreefour"
    assert len(taken) > 1


@pytest.mark.parametrize("end", [Peer.close, Peer.reset], ids=["closed", "reset"])
def test_a_stream_that_breaks(kind: Kind, end: Callable[[Peer], None]) -> None:
    """What came before is given, then EngineUnavailable."""
    taken: list[bytes] = []

    async def talk(upstream: Upstream, server: Scripted) -> None:
        response = await upstream.open(call(server.url, stream=True))
        with pytest.raises(EngineUnavailable):
            await response.pump(lambda piece: taken.append(piece) is None)
        await response.close()

    exchange(kind, talk, paced(b"one", b"two", end=end))
    assert taken == [b"one", b"two"]


def test_a_cancelled_pump_lets_go(kind: Kind) -> None:
    """Nothing is handed over any more; the rest can still be read."""
    taken: list[bytes] = []

    async def talk(upstream: Upstream, server: Scripted) -> None:
        response = await upstream.open(call(server.url, stream=True))
        pumping = asyncio.ensure_future(response.pump(lambda piece: taken.append(piece) is None))
        while not taken:
            await asyncio.sleep(0.001)
        pumping.cancel()
        with pytest.raises(asyncio.CancelledError):
            await pumping
        before = list(taken)
        assert await response.read()
        assert taken == before
        await response.close()

    exchange(kind, talk, paced(*[b"piece"] * 8))
