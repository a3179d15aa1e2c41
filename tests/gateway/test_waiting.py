"""Requests that wait for a place in their pool: who is called, who is refused at once, what ends a wait."""

from __future__ import annotations

import asyncio

import pytest

from controller.telemetry.gateway_metrics import registry_of, render
from tests.gateway.gateway_builders import fleet
from tests.gateway.gateway_world import Heard, whole
from tests.gateway.waiting_world import TOOK_S, ask, filled, play, queued, small


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


def test_a_pool_whose_hour_is_spent_lets_wait_what_it_would_spill() -> None:
    """The answer comes from home, later, and says why nothing was bought; nothing is left reserved."""
    world, heard = small(), list[Heard]()
    world.ledger.hour_spent = "llama-8b"

    async def act(group: asyncio.TaskGroup) -> None:
        await filled(world, group)
        heard.append(await world.ask())
        assert world.gateway.metrics.targets["llama-8b"].bound == 2  # those that may not leave by their own word
        await world.ask()
        assert world.gateway.metrics.targets["llama-8b"].bound == 3

    play(world, act)
    assert heard[0].status == 200
    assert heard[0].headers["x-spillway-target"] == "llama-8b"
    assert heard[0].took_s > TOOK_S
    assert world.external.calls == []
    assert world.ledger.reserved == {}
    entry = next(entry for entry in world.ledger.posted if "skipped" in entry.reason)
    assert "the budget of the pool's hour does not cover it" in entry.reason


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
