"""What goes wrong in one pool stays there, and what could not be done is tried again."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from itertools import pairwise

import pytest
from loop_values import LOST, READY, SPILLING, WARMING, pin, pool, replica
from loop_world import World

from controller.core.errors import ConfigError, SpillwayError
from controller.core.fleet import FleetView

A, B = pool("llama-8b"), pool("mixtral-8x7b")


def figures(world: World) -> dict[tuple[str, str], float]:
    """The actions counted so far."""
    return {
        (str(sample.labels["pool"]), str(sample.labels["action"])): sample.value
        for family in world.loop.metrics.collect()
        if family.name == "spillway_pool_actions"
        for sample in family.samples
    }


def views(world: World, seconds: int = 1) -> FleetView:
    """The newest view after this many ticks."""
    world.run(seconds)
    view = world.sink.last()
    assert view is not None
    return view


@pytest.fixture
def world() -> World:
    """Two pools with one ready replica each."""
    made = World(A, B)
    made.platform.add(replica("a-1"), replica("b-1", pool=B.name))
    made.run(3)
    return made


@pytest.mark.parametrize("error", [OSError(28, "No space left"), ConfigError(()), RuntimeError("surprise")])
@pytest.mark.parametrize("call", ["list", "start", "drain", "remove"])
def test_one_pools_failure_stops_no_other(world: World, call: str, error: Exception) -> None:
    """Whatever raises while one pool is listed or changed: the other one has its turn all the same."""
    world.platform.add(replica("a-2", LOST), replica("b-2", LOST, pool=B.name))
    world.spec.said_drains = frozenset({"a-1", "b-1"})
    where = {"list": A.name, "start": A.name, "drain": "a-1", "remove": "a-2"}[call]
    world.platform.broken = {(call, where): error}
    view = views(world)
    assert world.platform.done("start")[-1] == B.name
    assert "b-1" in world.platform.done("drain")
    assert "b-2" in world.platform.done("remove")
    assert set(view.pools) == {A.name, B.name}
    assert view.published_at_s == world.clock.now_s


def test_a_pool_that_cannot_be_listed_keeps_its_last_view(world: World) -> None:
    """Gateways go on with what was known of it, and the failure is counted."""
    before = views(world).pools[A.name]
    world.platform.broken = {("list", A.name): RuntimeError("surprise")}
    assert views(world, 3).pools[A.name] == before
    assert figures(world)[A.name, "turn_failed"] == 3


def test_a_pool_that_never_could_be_listed_is_not_published() -> None:
    """Unknown is not empty."""
    world = World(A, B)
    world.platform.broken = {("list", A.name): OSError("gone")}
    assert set(asyncio.run(world.loop.tick()).pools) == {B.name}


def test_a_failed_start_waits_before_the_next(world: World) -> None:
    """A start that fails is tried again after ten seconds, not every tick, and then it works."""
    world.spec.said_pins = {A.name: pin(replicas=2)}
    world.platform.broken = {("start", A.name): OSError(11, "Resource temporarily unavailable")}
    world.run(9)
    assert world.platform.done("start") == [A.name]
    assert figures(world) == {(A.name, "start_failed"): 1}
    world.platform.broken = {}
    view = views(world, 3)
    assert [one.state for one in view.pools[A.name].replicas] == [READY, WARMING]


def test_a_failed_start_is_not_repeated_within_a_tick(world: World) -> None:
    """When the first of three starts fails, the other two are not tried."""
    world.spec.said_pins = {A.name: pin(replicas=4)}
    world.platform.broken = {("start", A.name): SpillwayError("no GPU")}
    world.run(1)
    assert world.platform.done("start") == [A.name]


def test_a_drain_that_failed_is_tried_again(world: World) -> None:
    """Next tick; meanwhile gateways are told to leave the replica alone."""
    world.spec.said_drains = frozenset({"a-1"})
    world.platform.broken = {("drain", "a-1"): OSError("read-only")}
    world.run(2)
    world.platform.broken = {}
    world.run(1)
    assert world.platform.done("drain") == ["a-1"] * 3
    assert figures(world)[A.name, "drain_failed"] == 2


def test_a_crash_loop_beside_a_good_replica_still_slows_down(world: World) -> None:
    """Each young death doubles the pause, although another replica of the pool has been well for long."""
    world.spec.said_pins = {A.name: pin(replicas=2)}
    starts: list[float] = []
    for _ in range(200):
        world.run(1)
        if len(world.platform.done("start")) > len(starts):
            starts.append(world.clock.now_s)
        for one in list(world.platform.replicas.values()):
            if one.pool == A.name and one.state is WARMING:
                world.platform.die(one.replica_id)
    pauses = [after - before for before, after in pairwise(starts)]
    assert pauses == sorted(pauses)
    assert pauses[-1] >= 32
    assert len(starts) < 10


def test_a_pool_unknown_to_the_gateway_holds(world: World) -> None:
    """A gateway that never counted for a pool has said nothing about it: no word, no change."""
    world.platform.add(replica("b-2", pool=B.name), replica("b-3", pool=B.name))
    world.run(100)
    counters = world.gateway.counters["gateway"]
    assert counters is not None
    world.new_loop()
    world.gateway.counters = {"gateway": replace(counters, pools={A.name: counters.pools[A.name]})}
    for _ in range(100):
        world.clock.now_s += 1.0
        view = asyncio.run(world.loop.tick())
    assert view.pools[B.name].mode_reason == "no_data"
    assert view.pools[A.name].mode_reason == "fits"


def test_a_late_answer_of_an_engine_is_marked_by_its_date(world: World) -> None:
    """A replica that stops answering keeps its last figures with the time of their reading."""
    seen = views(world).pools[A.name].replicas[0]
    assert seen.seen_at_s == world.clock.now_s
    del world.engines.figures["http://a-1"]
    world.clock.now_s += 5.0
    stale = asyncio.run(world.loop.tick()).pools[A.name]
    assert (stale.replicas[0].seen_at_s, stale.replicas[0].running) == (seen.seen_at_s, seen.running)
    assert stale.saturation_ratio is None


def test_closing_lets_replicas_run(world: World) -> None:
    """A controller that stops leaves the fleet as it is."""
    asyncio.run(world.loop.close())
    assert world.platform.closed
    assert set(world.platform.replicas) == {"a-1", "b-1"}


def test_two_pools_are_told_apart() -> None:
    """A burst on one pool neither spills nor grows the other."""
    world = World(A, B)
    world.run(12, llama_8b=0.5, mixtral_8x7b=0.5)
    world.run(8, llama_8b=3.0)
    view = world.sink.last()
    assert view is not None
    assert view.pools[A.name].mode is SPILLING
    assert view.pools[B.name].desired_replicas == 1
    assert world.platform.done("start").count(B.name) == 1
