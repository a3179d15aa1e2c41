"""Names of providers lead to public addresses, or nowhere."""

from __future__ import annotations

import asyncio

import pytest

from controller.adapters.aiohttp_upstream import AiohttpUpstream
from controller.adapters.egress_resolver import EgressResolver, NotAllowed
from controller.core.errors import EngineUnavailable
from tests.contract.scripted_server import always, scripted
from tests.contract.upstream_clients import call, whole

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
INSIDE = ["127.1", "0x7f000001", "2130706433", "localhost", "169.254.169.254", "::ffff:10.0.0.1"]


@pytest.mark.parametrize("name", INSIDE)
def test_a_name_that_leads_inside(name: str) -> None:
    """Is refused, however it is written, and the words say where it leads."""
    with pytest.raises(NotAllowed, match=r"leads to .*, which is"):
        asyncio.run(EgressResolver(frozenset()).resolve(name, 443))


def test_a_name_that_may_be_private() -> None:
    """Leads to its private addresses, and never to metadata."""
    found = asyncio.run(EgressResolver(frozenset({"localhost"})).resolve("localhost", 443))
    assert {answer["host"] for answer in found} <= {"127.0.0.1", "::1"}
    with pytest.raises(NotAllowed):
        asyncio.run(EgressResolver(frozenset({"169.254.169.254"})).resolve("169.254.169.254", 443))


@pytest.mark.parametrize("name", ["ip6-localhost", "no-such-name.invalid"])
def test_the_upstream_goes_nowhere(name: str) -> None:
    """A provider by such a name is unavailable: the next target is tried, and nobody was connected to."""

    async def main() -> None:
        upstream = AiohttpUpstream()
        async with scripted(always(OK)) as server:
            with pytest.raises(EngineUnavailable, match=name.split(".", maxsplit=1)[0]):
                await upstream.open(call(f"http://{name}:{server.port}", connect_timeout_s=5.0))
            assert not server.peers
        await upstream.aclose()

    asyncio.run(main())


def test_the_upstream_goes_where_an_operator_says() -> None:
    """A private name that is allowed is connected to."""

    async def main() -> bytes:
        upstream = AiohttpUpstream(private_hosts=frozenset({"localhost"}))
        async with scripted(always(OK)) as server:
            response = await upstream.open(call(f"http://localhost:{server.port}"))
            found = await whole(response)
            await response.close()
        await upstream.aclose()
        return found

    assert asyncio.run(main()) == b"ok"
