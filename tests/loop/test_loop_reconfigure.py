"""The control loop takes over another configuration between two ticks."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from loop_values import DRAINING, EXTERNAL, LOST, POOL, READY, STEPS, pool, replica, settings
from loop_world import World

from controller.config.settings import Settings
from controller.core.pools import Pool
from controller.core.samples import PoolCounters
from controller.loop.tick import ControlLoop

OTHER = pool("mixtral")


def world(*pools: Pool, stops_removed: bool = True) -> World:
    """One with its control loop."""
    made = World(*pools)
    made.loop = ControlLoop(
        made.settings,
        platform=made.platform,
        engines=made.engines,
        gateway=made.gateway,
        spec=made.spec,
        sink=made.sink,
        memory=made.memory,
        clock=made.clock,
        stops_removed=stops_removed,
    )
    return made


def take(fleet: World, new: Settings) -> tuple[str, ...]:
    """The loop and the world go by these settings; what was kept."""
    adoption = fleet.loop.reconfigure(new, fleet.usable)
    fleet.settings = adoption.settings
    for name in new.pools:
        fleet.offered.setdefault(name, 0.0)
        fleet._counts.setdefault(name, PoolCounters())
    return adoption.kept


def there(fleet: World, name: str) -> list[str]:
    """The pool's replicas that are ready or on their way."""
    return [one.replica_id for one in fleet.platform.replicas.values() if one.pool == name and one.state is not LOST]


def test_a_pool_that_is_added_gets_its_replicas() -> None:
    """And the one there was keeps its own, and what is known of it."""
    fleet = world(POOL)
    fleet.run(20, llama_8b=0.5)
    before, known = there(fleet, POOL.name), fleet.loop._states[POOL.name].cold_starts
    take(fleet, settings(POOL, OTHER))
    views = fleet.run(10, llama_8b=0.5)
    assert there(fleet, POOL.name) == before
    assert len(there(fleet, OTHER.name)) == OTHER.scale.min_replicas
    assert fleet.sink.views[-1].pools[OTHER.name].count(READY) == 1
    assert fleet.loop._states[POOL.name].cold_starts == known
    assert all(view.count(READY) for view in views)


def test_changed_bounds_hold_from_the_next_tick_on() -> None:
    """More at least, more are started; fewer at most, as many go."""
    fleet = world(pool(min_replicas=1, max_replicas=2))
    fleet.run(10)
    take(fleet, settings(pool(min_replicas=3, max_replicas=4)))
    fleet.run(10)
    assert len(there(fleet, POOL.name)) == 3
    take(fleet, settings(pool(min_replicas=1, max_replicas=2)))
    fleet.run(40)
    assert len(there(fleet, POOL.name)) <= 2


def test_the_replicas_of_a_removed_pool_drain_before_they_go() -> None:
    """One with work under way stays until that is done; the pool is published until it has left."""
    fleet = world(POOL, OTHER)
    fleet.run(20, llama_8b=0.5, mixtral=0.5)
    [going] = there(fleet, OTHER.name)
    fleet.settings = settings(POOL, OTHER)
    fleet.loop.reconfigure(settings(POOL), fleet.usable)
    fleet.backlog[going] = 1000.0
    fleet.run(5, llama_8b=0.5, mixtral=0.0)
    seen = fleet.sink.views[-1].pools[OTHER.name]
    assert (seen.count(DRAINING), seen.count(READY), seen.mode) == (1, 0, EXTERNAL)
    assert fleet.platform.done("remove") == []
    fleet.backlog[going] = 0.0
    fleet.run(5, llama_8b=0.5)
    assert fleet.platform.done("remove") == [going]
    assert list(fleet.sink.views[-1].pools) == [POOL.name]
    assert OTHER.name not in fleet.loop.metrics._pools
    assert there(fleet, POOL.name)


def test_where_others_own_the_replicas_they_are_left_alone() -> None:
    """The pool is gone from the next view, and nothing was drained or stopped."""
    fleet = world(POOL, OTHER, stops_removed=False)
    fleet.run(10)
    take(fleet, settings(POOL))
    fleet.run(1)
    assert list(fleet.sink.views[-1].pools) == [POOL.name]
    assert fleet.platform.done("drain") == fleet.platform.done("remove") == []
    assert there(fleet, OTHER.name)


def test_a_pool_that_comes_back_while_it_leaves_stays() -> None:
    """Its replicas drain no further than they have, and new ones take their place."""
    fleet = world(POOL, OTHER)
    fleet.run(20, mixtral=0.5)
    take(fleet, settings(POOL))
    fleet.run(1)
    take(fleet, settings(POOL, OTHER))
    fleet.run(20, mixtral=0.5)
    assert fleet.sink.views[-1].pools[OTHER.name].count(READY) >= 1


def test_a_name_that_is_used_again_for_another_model_waits_until_the_old_replicas_are_gone() -> None:
    """A replica of the old model never is one of the new pool."""
    fleet = world(POOL, OTHER)
    fleet.run(20)
    [old] = there(fleet, OTHER.name)
    take(fleet, settings(POOL))
    fleet.run(1)
    take(fleet, settings(POOL, replace(OTHER, model="another")))
    assert fleet.loop._roster.pools[OTHER.name].model == OTHER.model
    fleet.run(30)
    assert fleet.loop._roster.pools[OTHER.name].model == "another"
    assert old not in fleet.platform.replicas
    assert len(there(fleet, OTHER.name)) == 1


def test_what_was_learned_of_a_pool_is_there_when_it_comes_back_within_an_hour() -> None:
    """And not after that."""
    fleet = world(POOL, OTHER, stops_removed=False)
    fleet.platform.cold_start_s = 7.0
    fleet.run(30, mixtral=3.0)
    known = fleet.loop._states[OTHER.name].cold_starts
    assert known.took_s
    take(fleet, settings(POOL))
    fleet.run(1)
    take(fleet, settings(POOL, OTHER))
    fleet.run(1)
    assert fleet.loop._states[OTHER.name].cold_starts.took_s[: len(known.took_s)] == known.took_s
    take(fleet, settings(POOL))
    fleet.run(1)
    fleet.clock.now_s += 3700.0
    fleet.platform.replicas.clear()
    take(fleet, settings(POOL, OTHER))
    asyncio.run(fleet.loop.tick())
    assert fleet.loop._states[OTHER.name].cold_starts.took_s == ()


def test_counters_of_gateways_go_on_across_a_change() -> None:
    """Demand is not taken for new, nor lost, because the pool's terms have changed."""
    fleet = world(POOL)
    fleet.run(30, llama_8b=1.5)
    before = fleet.loop.metrics._pools[POOL.name][1]
    take(fleet, settings(pool(min_replicas=2)))
    fleet.run(1, llama_8b=1.5)
    after = fleet.loop.metrics._pools[POOL.name][1]
    assert before is not None
    assert after is not None
    assert after.arrivals_per_s == pytest.approx(before.arrivals_per_s, rel=0.2)


def test_what_cannot_change_is_said() -> None:
    """Ports and models of pools."""
    fleet = world(POOL)
    new = settings(replace(POOL, model="another"))
    kept = take(fleet, replace(new, controller=replace(new.controller, port=9000)))
    assert kept == ("controller.port", f"pools.{POOL.name}.model")
    assert fleet.loop.settings.pools[POOL.name] is POOL


def test_hundreds_of_changes_leave_nothing_behind() -> None:
    """What is remembered of pools that came and went is bounded by an hour."""
    fleet = world(POOL, stops_removed=False)
    for number in range(200):
        take(fleet, settings(POOL, pool(f"p{number}")))
        asyncio.run(fleet.loop.tick())
        fleet.clock.now_s += 60.0
    assert len(fleet.loop._states) == len(fleet.loop._watches) == 2
    assert len(fleet.loop._roster._left) <= 61
    assert fleet.loop.settings.step_times == dict.fromkeys((POOL.name, "p199"), STEPS)
    assert replica("x", READY).pool == POOL.name
