"""Own engines by name: looked up aside from the loop's own threads, every address tried in turn."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time

import pytest

from controller.adapters import h1_upstream
from controller.adapters.h1_upstream import H1Upstream
from controller.adapters.name_lookup import FRESH_S, Found, NameLookup
from controller.core.errors import EngineUnreachable, UpstreamTimeout
from tests.contract.scripted_server import Peer, always, scripted
from tests.contract.upstream_clients import OK, call, whole

NAMES = {
    "one-address": ("127.0.0.1",),
    "first-refuses": ("127.0.0.2", "127.0.0.1"),
    "all-refuse": ("127.0.0.2", "127.0.0.3"),
    "no-address": (),
}


class Resolver:
    """Knows NAMES, and where `moves` is now; says nothing of `silent` until it is let go."""

    def __init__(self) -> None:
        self.moved_to = "127.0.0.1"
        self.asked: list[str] = []
        self.let_go = threading.Event()

    def look(self, host: str) -> Found:
        """One lookup, on a thread."""
        self.asked.append(host)
        if host == "silent":
            self.let_go.wait(10.0)
        if host == "moves":
            return ((socket.AF_INET, 6, self.moved_to),)
        if host.startswith("odd"):
            raise UnicodeError(host)
        if host not in NAMES:
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return tuple((socket.AF_INET, 6, address) for address in NAMES[host])


class Moving:
    """An upstream that looks at its connections all the time, by a clock that goes on by itself."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(h1_upstream, "IDLE_SWEEP_S", 0.02)
        self.resolver = Resolver()
        self._began_s = time.monotonic()
        self.upstream = H1Upstream(NameLookup(look=self.resolver.look, clock=self.clock))

    def clock(self) -> float:
        """A name's answer is old after a tenth of a second."""
        return 10.0 * FRESH_S * (time.monotonic() - self._began_s)

    async def left(self, port: int) -> None:
        """Returns once calls are made to the new address, where nobody listens."""
        async with asyncio.timeout(10.0):
            with contextlib.suppress(EngineUnreachable):
                while True:
                    assert await ask(self.upstream, "moves", port) == b"ok"
                    await asyncio.sleep(0.005)


async def ask(upstream: H1Upstream, host: str, port: int, *, within_s: float = 5.0) -> bytes:
    """The answer of the engine of that name."""
    response = await upstream.open(call(f"http://{host}:{port}", connect_timeout_s=within_s))
    try:
        return await whole(response)
    finally:
        await response.close()


@pytest.mark.parametrize(
    ("host", "asked"),
    [("one-address", ["one-address"]), ("first-refuses", ["first-refuses"]), ("127.0.0.1", [])],
)
def test_engines_that_are_found(host: str, asked: list[str]) -> None:
    """A name leads to the first address that takes the connection; an address is not looked up."""

    async def main() -> None:
        resolver = Resolver()
        upstream = H1Upstream(NameLookup(look=resolver.look))
        async with scripted(always(OK)) as server:
            assert await ask(upstream, host, server.port) == b"ok"
            await upstream.aclose()
        assert resolver.asked == asked

    asyncio.run(main())


@pytest.mark.parametrize("host", ["all-refuse", "no-address", "unknown", "odd"])
def test_engines_that_are_not_found(host: str) -> None:
    """As where nobody listens: another replica is tried."""

    async def main() -> None:
        upstream = H1Upstream(NameLookup(look=Resolver().look))
        async with scripted(always(OK)) as server:
            with pytest.raises(EngineUnreachable, match=host):
                await ask(upstream, host, server.port)

    asyncio.run(main())


def test_a_busy_connection_follows_a_name_that_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is used again and again, and so never idle for long, is left once two answers have not its address."""

    async def main() -> None:
        here = Moving(monkeypatch)
        async with scripted(always(OK)) as server:
            for _ in range(50):
                assert await ask(here.upstream, "moves", server.port) == b"ok"
                await asyncio.sleep(0.01)
            assert len(server.peers) == 1
            here.resolver.moved_to = "127.0.0.2"
            await here.left(server.port)
            assert len(server.peers) == 1
            await here.upstream.aclose()

    asyncio.run(main())


def test_an_answer_under_way_at_an_address_that_was_left_comes_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is heard whole, and its connection takes no further call."""

    async def main() -> None:
        here, moved = Moving(monkeypatch), asyncio.Event()

        async def slow(peer: Peer) -> None:
            await peer.request()
            await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\no")
            await moved.wait()
            await peer.send(b"k")
            await peer.gone()

        async with scripted(slow, always(OK)) as server:
            url = f"http://moves:{server.port}"
            response = await here.upstream.open(call(url, stream=True))
            here.resolver.moved_to = "127.0.0.2"
            while here.resolver.asked.count("moves") < 3:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.1)
            moved.set()
            assert await whole(response) == b"ok"
            await response.close()
            await here.left(server.port)
            assert len(server.peers) == 1
            await here.upstream.aclose()

    asyncio.run(main())


def test_a_silent_name_server_holds_up_nobody_else() -> None:
    """A hundred calls to a name without an answer time out on one thread; other engines, and the loop's own threads,
    go on meanwhile."""

    async def main() -> None:
        resolver = Resolver()
        upstream = H1Upstream(NameLookup(look=resolver.look))
        async with scripted(always(OK)) as server:
            calls = [asyncio.ensure_future(ask(upstream, "silent", server.port, within_s=0.3)) for _ in range(100)]
            await asyncio.sleep(0.05)
            assert await ask(upstream, "one-address", server.port) == b"ok"
            assert await asyncio.to_thread(len, "free") == 4
            for failed in await asyncio.gather(*calls, return_exceptions=True):
                assert isinstance(failed, UpstreamTimeout)
            assert resolver.asked == ["silent", "one-address"]
            resolver.let_go.set()
            await upstream.aclose()

    asyncio.run(main())
