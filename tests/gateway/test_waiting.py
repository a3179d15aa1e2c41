"""Requests that wait for a place in their pool: who is called, who is refused at once, what ends a wait."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Any

import pytest

from controller.core.fleet import ReplicaState
from controller.core.pools import EngineArgs, Slo
from controller.telemetry.gateway_metrics import registry_of, render
from tests.gateway.gateway_builders import SetFleet, fleet, replica
from tests.gateway.gateway_world import BEARER, COMPLETION, DONE, EVENT, LAST, SETTINGS, Heard, World, stream, whole
from tests.gateway.jumping_loop import jumping

NEVER = (b"x-spillway-spill", b"never")
TOOK_S = 4.0
LONG = COMPLETION.replace(b'"completion_tokens":2', b'"completion_tokens":140')  # an answer that takes so long


def small(**caps: Any) -> World:
    """A pool of two slots whose answers take four seconds each, and whose third request is late."""
    pool = replace(SETTINGS.pools["llama-8b"], engine=EngineArgs(max_num_seqs=2), slo=Slo(ttft_p95_s=1, tpot_p95_s=0.1))
    gateway = replace(SETTINGS.gateway, caps=replace(SETTINGS.gateway.caps, **caps))
    world = World(settings=replace(SETTINGS, pools={**SETTINGS.pools, "llama-8b": pool}, gateway=gateway))
    world.own.script = [whole(LONG, head_after_s=TOOK_S) for _ in range(100)]
    return world


def ask(world: World, priority: str = "standard", **options: Any) -> Coroutine[Any, Any, Heard]:
    """One request that stays at home."""
    more: Sequence[tuple[bytes, bytes]] = options.pop("headers", ())
    return world.ask(headers=[BEARER, NEVER, (b"x-spillway-priority", priority.encode()), *more], **options)


def queued(world: World) -> dict[str, int]:
    """What became of those that found no place at once."""
    return world.gateway.metrics.targets["llama-8b"].queued


def play(world: World, act: Callable[[asyncio.TaskGroup], Coroutine[Any, Any, None]]) -> None:
    """Runs to the end of every request; afterwards nobody waits, and nothing is in flight."""

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            await act(group)

    jumping(main())
    assert world.gateway.metrics.in_flight == 0
    assert world.gateway.metrics.targets["llama-8b"].waiting == 0
    assert sum(world.gateway.loads.in_flight().values()) == 0


async def filled(world: World, group: asyncio.TaskGroup) -> list[asyncio.Task[Heard]]:
    """Both slots are taken."""
    first = [group.create_task(ask(world)) for _ in range(2)]
    await asyncio.sleep(0.5)
    assert len(world.own.calls) == 2
    return first


def test_a_freed_slot_calls_the_highest_class_and_then_the_first_that_came() -> None:
    """Who waits is served in turn, as places come free; the engine never has more than it has slots."""
    world, served = small(), list[str]()

    async def one(name: str, priority: str) -> None:
        heard = await ask(world, priority)
        assert heard.status == 200
        served.append(name)

    async def act(group: asyncio.TaskGroup) -> None:
        await filled(world, group)
        for name, priority in (("b", "batch"), ("s1", "standard"), ("s2", "standard"), ("i", "interactive")):
            group.create_task(one(name, priority))
            await asyncio.sleep(0.1)
        assert world.gateway.metrics.targets["llama-8b"].waiting == 4
        assert len(world.own.calls) == 2
        await asyncio.sleep(TOOK_S)
        assert len(world.own.calls) == 4

    play(world, act)
    assert (set(served[:2]), set(served[2:])) == ({"i", "s1"}, {"s2", "b"})
    assert queued(world) == {"served": 4}


def test_too_many_hear_so_at_once() -> None:
    """A wait that would be too long is refused with the time after which it would not be."""
    world, heard = small(), list[Heard]()

    async def act(group: asyncio.TaskGroup) -> None:
        await filled(world, group)
        tasks = [group.create_task(ask(world)) for _ in range(40)]
        await asyncio.sleep(0.5)
        heard.extend([task.result() for task in tasks if task.done()])

    play(world, act)
    assert 20 < len(heard) < 40
    for refused in heard:
        assert (refused.status, refused.error["code"]) == (429, "overloaded")
        assert 1 <= int(refused.headers["retry-after"]) <= 60
        assert refused.took_s < 0.001


def test_a_full_line_yields_to_a_higher_class() -> None:
    """The newest of the lowest class is refused in its place."""
    world = small(waiting=2)

    async def act(group: asyncio.TaskGroup) -> None:
        await filled(world, group)
        old, new = (group.create_task(ask(world, "batch")) for _ in range(2))
        await asyncio.sleep(0.1)
        refused = await ask(world, "batch")
        assert (refused.status, refused.took_s) == (429, 0.0)
        top = group.create_task(ask(world, "interactive"))
        await asyncio.sleep(0.1)
        assert new.done()
        assert new.result().status == 429
        assert (await top).status == (await old).status == 200

    play(world, act)
    assert queued(world) == {"refused": 2, "served": 2}


def test_a_caller_who_leaves_while_waiting() -> None:
    """Makes room, costs no call, and does not stop the next."""
    world = small()

    async def act(group: asyncio.TaskGroup) -> None:
        await filled(world, group)
        gone = group.create_task(ask(world, leaves_after_s=1.0))
        stays = group.create_task(ask(world))
        await gone
        assert world.gateway.metrics.targets["llama-8b"].waiting == 1
        assert (await stays).status == 200

    play(world, act)
    assert len(world.own.calls) == 3
    assert queued(world) == {"left": 1, "served": 1}
    assert [entry.status for entry in world.ledger.posted].count(499) == 1


def test_a_caller_who_leaves_in_the_moment_of_its_turn() -> None:
    """The next one has the place."""
    world = small()

    async def act(group: asyncio.TaskGroup) -> None:
        await filled(world, group)
        gone = group.create_task(ask(world, leaves_after_s=TOOK_S - 0.5))
        stays = group.create_task(ask(world))
        await asyncio.sleep(TOOK_S - 0.5)
        assert (await stays).took_s == pytest.approx(2 * TOOK_S - 0.5, abs=0.1)
        await gone

    play(world, act)


def test_a_deadline_ends_a_wait() -> None:
    """It may wait for a place that should come in time, and is told when it did not."""
    world = small()
    world.own.script = [whole(head_after_s=60.0) for _ in range(4)]

    async def act(group: asyncio.TaskGroup) -> None:
        await filled(world, group)
        hopeless = await ask(world, headers=[(b"x-spillway-deadline-ms", b"1500")])
        assert (hopeless.status, hopeless.error["code"], hopeless.took_s) == (504, "deadline_unreachable", 0.0)
        assert int(hopeless.headers["retry-after"]) >= 1
        late = await ask(world, headers=[(b"x-spillway-deadline-ms", b"8000")])
        assert (late.status, late.error["code"]) == (504, "deadline_timeout")
        assert late.took_s == pytest.approx(8.0, abs=0.01)

    play(world, act)
    assert queued(world) == {"expired": 1, "refused": 1}


def test_a_wait_without_a_deadline_ends_too() -> None:
    """After ten SLOs, with an error that says where it waited."""
    world = small()
    world.own.script = [whole(head_after_s=60.0) for _ in range(2)]

    async def act(group: asyncio.TaskGroup) -> None:
        await filled(world, group)
        late = await ask(world)
        assert (late.status, late.error["code"]) == (504, "queue_timeout")
        assert late.took_s == pytest.approx(10.0, abs=0.01)
        assert late.headers["x-spillway-error-source"] == "pool"

    play(world, act)


def test_it_waits_at_home_when_it_may_not_be_bought() -> None:
    """Elsewhere is asked first; without money the late pool is better than nothing."""
    world = small()
    world.ledger.left_nanousd = 0

    async def act(group: asyncio.TaskGroup) -> None:
        await filled(world, group)
        heard = await world.ask()
        assert (heard.status, heard.headers["x-spillway-target"]) == (200, "llama-8b")
        assert "x-spillway-spilled" not in heard.headers

    play(world, act)
    assert world.external.calls == []


def test_a_line_that_stands_is_kept_short() -> None:
    """Once it has not been empty for an SLO, a newcomer hears at once that it is full, and the pool stays busy."""
    world = small()

    async def act(group: asyncio.TaskGroup) -> None:
        await filled(world, group)
        waiting = [group.create_task(ask(world)) for _ in range(3)]
        await asyncio.sleep(1.2)
        refused = await ask(world)
        assert (refused.status, refused.took_s) == (429, 0.0)
        for task in waiting:
            assert (await task).status == 200

    play(world, act)


def test_in_a_line_that_stands_and_moves_the_late_make_room() -> None:
    """Who comes while places come free takes the place of the oldest that is late; the next newcomer is refused."""
    world = small()

    async def act(group: asyncio.TaskGroup) -> None:
        for _ in range(2):  # whose places come free after 4 s and 5 s
            group.create_task(ask(world))
            await asyncio.sleep(1.0)
        waiting = [group.create_task(ask(world)) for _ in range(3)]
        await asyncio.sleep(2.9)
        newcomer = group.create_task(ask(world))
        await asyncio.sleep(0.01)
        refused = await ask(world)
        assert (refused.status, refused.took_s) == (429, 0.0)
        first, given_up, last = [await task for task in waiting]
        assert (given_up.status, given_up.error["code"], "retry-after" in given_up.headers) == (429, "overloaded", True)
        assert given_up.took_s == pytest.approx(2.9, abs=0.01)
        assert (first.status, last.status) == (200, 200)
        heard = await newcomer
        assert (heard.status, heard.took_s) == (200, pytest.approx(TOOK_S + 0.1, abs=0.2))

    play(world, act)


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


def test_a_replica_that_fails_meanwhile_ends_the_wait() -> None:
    """The line is for places, not for broken engines."""
    world = small()

    async def act(group: asyncio.TaskGroup) -> None:
        await filled(world, group)
        asked = group.create_task(ask(world))
        await asyncio.sleep(0.5)
        world.feed.now = fleet()
        heard = await asked
        assert heard.status == 503

    play(world, act)


def test_the_line_in_the_metrics() -> None:
    """Its depth now, and what became of those in it; by pool."""
    world = small()

    async def act(group: asyncio.TaskGroup) -> None:
        await filled(world, group)
        group.create_task(ask(world))
        await asyncio.sleep(0.1)
        text = render(registry_of(world.gateway.metrics)).decode()
        assert 'spillway_queue_depth{pool="llama-8b"} 1.0' in text

    play(world, act)
    text = render(registry_of(world.gateway.metrics)).decode()
    assert 'spillway_queued_requests_total{outcome="served",pool="llama-8b"} 1.0' in text
