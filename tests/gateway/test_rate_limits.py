"""Requests and tokens per minute, from the key to headers and refusals; several gateways on the same rows."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from controller.core.rate_limits import Amounts
from controller.core.tenants import TenantPolicy
from tests.gateway.gateway_builders import MemoryLimits
from tests.gateway.gateway_world import BEARER, DONE, EVENT, LAST, SETTINGS, USAGE, Heard, World, stream, whole
from tests.gateway.jumping_loop import jumping

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ANTHROPIC = ((b"x-api-key", BEARER[1].removeprefix(b"Bearer ")), (b"anthropic-version", b"2023-06-01"))
MESSAGES = "/v1/messages"
SPENT = 9  # tokens of one answer of the scripted upstream
SMALL = {"max_tokens": 10}  # with one token of input, 11 are estimated


def world_of(limits: MemoryLimits | None = None, **policy: int) -> World:
    """A gateway at which acme has limits, with plenty of answers to give."""
    settings = replace(SETTINGS, tenants={"acme": TenantPolicy(**policy)})
    world = World(settings=settings, limits=limits or MemoryLimits())
    world.own.script = [whole() for _ in range(200)]
    return world


@asynccontextmanager
async def running(*worlds: World) -> AsyncIterator[None]:
    """While their slices are moved."""
    tasks = [asyncio.create_task(world.gateway.rate_limits.run()) for world in worlds]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def played(story: Callable[[], Awaitable[Any]], *worlds: World) -> Any:
    """What the story comes to, from 20 s after a full minute on."""

    async def main() -> Any:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(20 - (1_790_000_000.0 + loop.time()) % 60 + 60)
        async with running(*worlds):
            return await story()

    return jumping(main())


async def asked(world: World, count: int, **options: Any) -> list[Heard]:
    """So many requests, one after the other."""
    return [await world.ask(SMALL, **options) for _ in range(count)]


def statuses(heard: list[Heard]) -> list[int]:
    """What they came to."""
    return [one.status for one in heard]


def test_requests_beyond_the_limit_are_refused_until_the_minute_ends() -> None:
    """429 with the exact wait, in whole seconds; afterwards there are new ones."""
    world = world_of(requests_per_min=3)

    async def story() -> tuple[list[Heard], list[Heard]]:
        first = await asked(world, 4)
        await asyncio.sleep(float(first[3].headers["retry-after"]))
        return first, await asked(world, 1)

    first, later = played(story, world)
    assert statuses(first) == [200, 200, 200, 429]
    refused = first[3]
    assert (refused.error["code"], refused.error["type"]) == ("rate_limit_exceeded", "rate_limit_error")
    assert "limit of 3 requests per minute" in str(refused.error["message"])
    assert refused.headers["retry-after"] == "40"
    assert refused.headers["x-spillway-error-source"] == "gateway"
    assert "x-should-retry" not in refused.headers
    assert statuses(later) == [200]
    assert world.gateway.metrics.limited == {("acme", "requests"): 1}


def test_headers_of_openai() -> None:
    """Limit, remaining and reset on answers, refusals, streams and the model list; of limits that there are."""
    world = world_of(requests_per_min=2, tokens_per_min=1000)

    async def story() -> list[Heard]:
        one = await world.ask(SMALL)
        listed = await world.send(b"", path="/v1/models", method="GET", headers=(BEARER,))
        world.own.script = [stream(EVENT, LAST, USAGE, DONE)]
        two = await world.ask({**SMALL, "stream": True})
        return [one, listed, two, await world.ask(SMALL), await world.ask({"max_tokens": "x"})]

    one, listed, two, three, wrong = played(story, world)
    limits = {name: value for name, value in one.headers.items() if "ratelimit" in name}
    assert limits == {
        "x-ratelimit-limit-requests": "2", "x-ratelimit-remaining-requests": "1", "x-ratelimit-reset-requests": "40s",
        "x-ratelimit-limit-tokens": "1000", "x-ratelimit-remaining-tokens": "989", "x-ratelimit-reset-tokens": "40s",
    }  # fmt: skip
    assert listed.headers["x-ratelimit-remaining-tokens"] == str(1000 - SPENT)
    assert two.headers["x-ratelimit-remaining-tokens"] == str(1000 - SPENT - 11)
    assert (two.headers["x-ratelimit-remaining-requests"], two.ended) == ("0", True)
    assert (three.status, three.headers["x-ratelimit-remaining-requests"]) == (429, "0")
    assert wrong.status == 400


def test_headers_and_refusals_of_anthropic() -> None:
    """In its own words."""
    world = world_of(requests_per_min=1)
    fields = {"model": "llama-8b", "max_tokens": 10, "messages": [{"role": "user", "content": "Hi"}]}

    async def story() -> list[Heard]:
        return [await world.ask(fields, path=MESSAGES, headers=ANTHROPIC) for _ in range(2)]

    one, two = played(story, world)
    limits = {name: value for name, value in one.headers.items() if "ratelimit" in name}
    reset = limits.pop("anthropic-ratelimit-requests-reset")
    assert limits == {"anthropic-ratelimit-requests-limit": "1", "anthropic-ratelimit-requests-remaining": "0"}
    assert reset.startswith("2026-") and reset.endswith(":00Z")  # noqa: PT018
    assert (two.status, two.error["type"], "retry-after" in two.headers) == (429, "rate_limit_error", True)


def test_a_tenant_without_limits_hears_nothing_of_them() -> None:
    """And no row is touched."""
    world = world_of()
    (heard,) = played(lambda: asked(world, 1), world)
    assert not [name for name in heard.headers if "ratelimit" in name]
    assert world.limits.moves == []


def test_tokens_are_taken_as_estimated_and_corrected_by_what_was_used() -> None:
    """Four of 11 estimated fit into 40, because each of them came to 9; a fifth does not."""
    world = world_of(tokens_per_min=38)
    heard = played(lambda: asked(world, 5), world)
    assert statuses(heard) == [200, 200, 200, 200, 429]
    assert "11 tokens are asked for, 2 are left" in str(heard[4].error["message"])


def test_an_answer_longer_than_estimated_is_owed() -> None:
    """What it took too much is missing afterwards, into the next minute too."""
    world = world_of(tokens_per_min=30)
    world.own.script = [
        whole(b'{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[],'
              b'"usage":{"prompt_tokens":7,"completion_tokens":43}}'),
        whole(),
    ]  # fmt: skip

    async def story() -> list[Heard]:
        one, two = await asked(world, 2)
        await asyncio.sleep(45)
        three = await world.ask(SMALL)
        await asyncio.sleep(float(three.headers["retry-after"]))
        return [one, two, three, await world.ask(SMALL)]

    one, two, three, four = played(story, world)
    assert statuses([one, two, three, four]) == [200, 429, 429, 200]
    assert "try again in 100 s" in str(two.error["message"])
    assert (two.headers["retry-after"], three.headers["retry-after"]) == ("60", "55")  # none is told more than 60


def test_a_request_larger_than_the_limit_is_refused_for_good() -> None:
    """Waiting does not help it."""
    world = world_of(tokens_per_min=100)
    (heard,) = played(lambda: asyncio.gather(world.ask({"max_tokens": 200})), world)
    assert (heard.status, heard.headers["x-should-retry"]) == (429, "false")
    assert "lower its `max_tokens`" in str(heard.error["message"])


def test_a_request_that_fails_gives_its_tokens_back() -> None:
    """It counts as a request, but used nothing."""
    world = world_of(tokens_per_min=12, requests_per_min=10)
    world.own.script = [whole(status=400, body=b"{}"), whole()]
    heard = played(lambda: asked(world, 2), world)
    assert statuses(heard) == [400, 200]


@pytest.mark.parametrize("count", [1, 2, 5])
def test_gateways_share_one_limit(count: int) -> None:
    """Five times as many requests as allowed, at once, over all gateways: not one more, not one less."""
    limits = MemoryLimits()
    worlds = [world_of(limits, requests_per_min=40) for _ in range(count)]

    async def story() -> list[Heard]:
        return list(await asyncio.gather(*(worlds[number % count].ask(SMALL) for number in range(200))))

    heard = played(story, *worlds)
    assert statuses(heard).count(200) == 40
    assert statuses(heard).count(429) == 160
    assert {row.requests for row in limits.rows.values()} == {40}


def test_what_one_gateway_holds_comes_back_when_its_traffic_ends() -> None:
    """Three seconds after a burst at one gateway, the other can have all the rest."""
    limits = MemoryLimits()
    one, other = (world_of(limits, requests_per_min=100) for _ in range(2))

    async def story() -> list[int]:
        for _ in range(20):
            await one.ask(SMALL)
            await asyncio.sleep(0.05)
        held = next(iter(limits.rows.values())).requests - 20
        await asyncio.sleep(8)
        return [held, statuses(await asked(other, 81)).count(200)]

    assert played(story, one, other) == [5, 80]


def test_under_steady_traffic_nobody_waits_for_the_rows() -> None:
    """Once its pace is known the next slice is there before the last one is spent, across the full minute too."""
    world = world_of(requests_per_min=6000)
    world.own.script = [whole() for _ in range(2000)]

    async def story() -> list[float]:
        took = []
        for _ in range(1500):
            took.append((await world.ask(SMALL)).took_s)
            await asyncio.sleep(0.04)
        return took

    took = played(story, world)
    assert [index for index, seconds in enumerate(took) if seconds > 0] == list(range(6))


def test_rows_out_of_reach_leave_own_pools_open() -> None:
    """Own answers up to the limit that this gateway can count by itself; nothing external; then all is as before."""
    world = world_of(requests_per_min=30)
    world.limits.down = True

    async def story() -> list[list[int]]:
        blind = statuses(await asked(world, 31))
        bought = await world.ask({**SMALL, "model": "gpt-4o-mini"})
        assert bought.error["code"] == "limits_unavailable"
        world.limits.down = False
        await asyncio.sleep(3)
        return [blind, [bought.status], statuses(await asked(world, 1))]

    blind, bought, after = played(story, world)
    assert (blind, bought, after) == ([200] * 30 + [429], [503], [200])
    assert world.external.calls == []


def test_what_is_leased_is_spent_while_the_rows_are_away() -> None:
    """External targets too, until it runs out."""
    world = world_of(requests_per_min=1000)
    world.external.script = [whole() for _ in range(100)]

    async def story() -> list[int]:
        for _ in range(20):
            await world.ask(SMALL)
            await asyncio.sleep(0.05)
        world.limits.down = True
        return statuses([await world.ask({**SMALL, "model": "gpt-4o-mini"}) for _ in range(100)])

    heard = played(story, world)
    assert heard == sorted(heard)
    assert 10 <= heard.count(200) <= 50
    assert heard[-1] == 503


def test_everyone_else_has_a_minute_of_their_own() -> None:
    """`*` is a limit for each tenant that is not named, not one for all of them."""
    settings = replace(SETTINGS, tenants={"*": TenantPolicy(requests_per_min=5)})
    world = World(settings=settings)
    world.own.script = [whole()]
    (heard,) = played(lambda: asked(world, 1), world)
    assert heard.status == 200
    assert {tenant for tenant, _ in world.limits.rows} == {"acme"}
    assert set(world.limits.rows.values()) == {Amounts(requests=1)}
