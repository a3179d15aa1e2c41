"""Where the gateway connects to: its configured upstreams, and nowhere that callers or the environment say."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from controller.adapters.aiohttp_upstream import AiohttpUpstream
from controller.core.errors import EngineUnavailable
from tests.contract.scripted_server import always, scripted
from tests.contract.upstream_clients import call
from tests.faults.gateway_process import Setup
from tests.faults.stub_scripts import raw
from tests.faults.world import world

PROXY_NAMES = ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")


@dataclass
class Elsewhere:
    """A listener that nobody has any business with."""

    port: int = 0
    visits: int = 0

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def as_proxy(self) -> Mapping[str, str]:
        """An environment that names it as the proxy of everything."""
        return {**dict.fromkeys(PROXY_NAMES, self.url), "NO_PROXY": "", "no_proxy": ""}


@asynccontextmanager
async def elsewhere() -> AsyncIterator[Elsewhere]:
    """One that listens; afterwards it is gone."""
    found = Elsewhere()

    async def visited(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        found.visits += 1
        writer.close()

    server = await asyncio.start_server(visited, "127.0.0.1", 0)
    found.port = server.sockets[0].getsockname()[1]
    async with server:
        yield found


def test_a_proxy_of_the_environment_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would hear the provider's key, and connect past the check of addresses."""

    async def main() -> None:
        async with elsewhere() as proxy:
            for name, value in proxy.as_proxy.items():
                monkeypatch.setenv(name, value)
            upstream = AiohttpUpstream()
            with pytest.raises(EngineUnavailable):
                await upstream.open(call("http://no-such-name.invalid", connect_timeout_s=5.0))
            await upstream.aclose()
            assert proxy.visits == 0

    asyncio.run(main())


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_an_answer(status: int) -> None:
    """It is not followed: its target would hear the provider's key."""

    async def main() -> None:
        async with elsewhere() as target:
            head = f"HTTP/1.1 {status} X\r\nlocation: {target.url}/chat\r\ncontent-length: 0\r\n\r\n"
            upstream = AiohttpUpstream()
            async with scripted(always(head.encode())) as server:
                response = await upstream.open(call(server.url))
                assert response.status == status
                await response.close()
            await upstream.aclose()
            assert target.visits == 0

    asyncio.run(main())


def test_the_gateway_goes_to_its_upstreams_alone(tmp_path: Path) -> None:
    """Not to a proxy, nor to the address of an image, nor where an engine or a provider sends it."""

    async def main() -> None:
        async with elsewhere() as other:
            setup = Setup(environ=other.as_proxy)
            async with world(tmp_path, providers={"stub-openai": "openai"}, setup=setup) as here:
                parts = [{"type": "image_url", "image_url": {"url": f"{other.url}/x.png"}}]
                for model in ("llama-8b", "stub-openai"):
                    await here.ask(stream=False, model=model, fields={"messages": [{"role": "user", "content": parts}]})
                head = f"HTTP/1.1 307 X\r\nlocation: {other.url}/v1/chat/completions\r\ncontent-length: 0\r\n\r\n"
                for stub in here.stubs:
                    before = len(stub.calls)
                    stub.script = raw(head.encode())
                    told = await here.ask(stream=False, model="llama-8b" if stub in here.engines else stub.name)
                    assert len(stub.calls) > before
                    assert told.status in (
                        {200, 502, 503} if stub in here.engines else {502, 503}
                    )  # an engine's spills
                    assert other.url.encode() not in told.body
                assert other.visits == 0

    asyncio.run(main())
