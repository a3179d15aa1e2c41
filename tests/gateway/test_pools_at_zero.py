"""Requests before a pool without a ready replica: who waits for one, for how long, and who goes elsewhere."""

from __future__ import annotations

import asyncio

import pytest

from controller.core.fleet import ReplicaState
from tests.gateway.gateway_builders import SetFleet, fleet, replica
from tests.gateway.gateway_world import DONE, EVENT, LAST, stream, whole
from tests.gateway.waiting_world import ask, play, small


def warming(due_in_s: float) -> SetFleet:
    """A pool at zero whose replica is due; unix time as the world has it."""
    return SetFleet(fleet(replica("r1", ReplicaState.WARMING, ready_at_s=1_790_000_100.0 + due_in_s)))


@pytest.mark.parametrize("streamed", [False, True], ids=["unary", "stream"])
def test_a_pool_at_zero_holds_requests_until_its_replica_is_ready(streamed: bool) -> None:
    """All of them are served then, without a task that asks for each."""
    world = small()
    world.feed = warming(30.0)
    world.__post_init__()
    world.own.script = [stream(EVENT, LAST, DONE) if streamed else whole() for _ in range(5)]

    async def act(group: asyncio.TaskGroup) -> None:
        asked = [group.create_task(ask(world, fields={"stream": streamed})) for _ in range(5)]
        await asyncio.sleep(32.0)
        assert world.gateway.metrics.targets["llama-8b"].waiting == 5
        world.feed.now = fleet(replica("r1"))
        for task in asked:
            heard = await task
            assert heard.status == 200
            assert heard.took_s == pytest.approx(32.0, abs=0.2)

    play(world, act)


def test_a_replica_that_never_gets_ready() -> None:
    """Is waited for as long as it may be late, then 503 with a time."""
    world = small()
    world.feed = warming(8.0)
    world.__post_init__()

    async def act(group: asyncio.TaskGroup) -> None:
        heard = await ask(world)
        assert (heard.status, heard.error["code"]) == (503, "no_target_available")
        assert 13.0 < heard.took_s < 20.0
        assert "retry-after" in heard.headers
        soon = await ask(world, headers=[(b"x-spillway-deadline-ms", b"500")])
        assert (soon.status, soon.took_s) == (503, 0.0)

    play(world, act)


def test_a_pool_without_any_sign_of_a_replica() -> None:
    """Ten seconds are given for one to show; when it warms, it is waited for."""
    world = small()
    world.feed = SetFleet(fleet())
    world.__post_init__()

    async def act(group: asyncio.TaskGroup) -> None:
        heard = await ask(world)
        assert (heard.status, heard.took_s) == (503, pytest.approx(10.0, abs=0.01))
        asked = [group.create_task(ask(world)) for _ in range(2)]
        await asyncio.sleep(9.0)
        world.feed.now = warming(9.0 + 10.0 + 20.0).now
        await asyncio.sleep(15.0)
        world.feed.now = fleet(replica("r1"))
        assert [(await task).status for task in asked] == [200, 200]

    play(world, act)


def test_a_pool_at_zero_spills_at_once_where_that_is_allowed() -> None:
    """Nobody waits who may go elsewhere."""
    world = small()
    world.feed = warming(30.0)
    world.__post_init__()
    world.external.script = [whole()]
    heard = world.heard()
    assert (heard.status, heard.took_s, heard.headers["x-spillway-spilled"]) == (200, 0.0, "warming")
