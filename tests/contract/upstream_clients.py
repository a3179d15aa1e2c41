"""Both clients of the gateway, on the loops they run on, against a scripted server."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest
import uvloop

from controller.adapters.aiohttp_upstream import AiohttpUpstream
from controller.adapters.h1_upstream import H1Upstream
from controller.gateway.ports import Upstream, UpstreamCall, UpstreamResponse
from tests.contract.scripted_server import Script, Scripted, scripted


@dataclass(frozen=True)
class Kind:
    """A client on a loop."""

    make: Callable[[], Upstream]
    run: Callable[..., Any]


CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
KINDS = {
    "h1 on uvloop": Kind(H1Upstream, uvloop.run),
    "h1 on asyncio": Kind(H1Upstream, asyncio.run),
    "aiohttp on uvloop": Kind(AiohttpUpstream, uvloop.run),
    "aiohttp on asyncio": Kind(AiohttpUpstream, asyncio.run),
}


each_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS.keys())


def call(url: str, *, stream: bool = False, body: bytes = b"{}", connect_timeout_s: float = 1.0) -> UpstreamCall:
    """One POST."""
    return UpstreamCall(
        base_url=url, path="/chat", headers=(("content-type", "application/json"),), request_id="req-1", body=body,
        stream=stream, connect_timeout_s=connect_timeout_s,
    )  # fmt: skip


async def whole(response: UpstreamResponse) -> bytes:
    """The rest of the body."""
    data = b""
    while piece := await response.read():
        data += piece
    return data


async def asked(upstream: Upstream, server: Scripted, **options: Any) -> bytes:
    """The body of one whole exchange."""
    response = await upstream.open(call(server.url, **options))
    try:
        return await whole(response)
    finally:
        await response.close()


Talk = Callable[[Upstream, Scripted], Awaitable[None]]


def exchange(kind: Kind, talk: Talk, *scripts: Script) -> Scripted:
    """Talks to a scripted server within two seconds; afterwards nothing is open."""

    async def main() -> Scripted:
        upstream = kind.make()
        try:
            async with asyncio.timeout(2), scripted(*scripts) as server:
                await talk(upstream, server)
        finally:
            await upstream.aclose()
        return server

    found: Scripted = kind.run(main())
    return found
