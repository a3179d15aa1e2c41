"""Own engines by name: looked up aside from the loop's own threads, every address tried in turn."""

from __future__ import annotations

import asyncio
import socket
import threading

import pytest

from controller.adapters.h1_upstream import H1Upstream
from controller.adapters.name_lookup import Found, NameLookup
from controller.core.errors import EngineUnreachable, UpstreamTimeout
from tests.contract.scripted_server import always, scripted
from tests.contract.upstream_clients import OK, call, whole

NAMES = {
    "one-address": ("127.0.0.1",),
    "first-refuses": ("127.0.0.2", "127.0.0.1"),
    "all-refuse": ("127.0.0.2", "127.0.0.3"),
    "no-address": (),
}


class Resolver:
    """Knows NAMES; says nothing of `silent` until it is let go."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.let_go = threading.Event()

    def look(self, host: str) -> Found:
        """One lookup, on a thread."""
        self.asked.append(host)
        if host == "silent":
            self.let_go.wait(10.0)
        if host.startswith("odd"):
            raise UnicodeError(host)
        if host not in NAMES:
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return tuple((socket.AF_INET, 6, address) for address in NAMES[host])


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
