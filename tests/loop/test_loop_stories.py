"""Whole stories of the control loop on plain fakes: what a fleet lives through from one tick to the next."""

from __future__ import annotations

from itertools import pairwise

import pytest
from loop_values import DRAINING, EXTERNAL, LOCAL, LOST, POOL, READY, SPILLING, WARMING, pin, pool, replica
from loop_world import World, modes

from controller.core.fleet import PoolView


def ready(view: PoolView) -> int:
    """How many replicas serve."""
    return view.count(READY)


@pytest.fixture
def world() -> World:
    """One pool with one ready replica under half a replica's load."""
    made = World(POOL)
    views = made.run(12, llama_8b=0.5)
    assert (ready(views[-1]), views[-1].desired_replicas, views[-1].mode) == (1, 1, LOCAL)
    return made


def test_a_first_start_is_local_all_along() -> None:
    """No mode flips while the first replica warms: gateways pass an empty pool by themselves."""
    views = World(POOL).run(12, llama_8b=0.5)
    assert modes(views) == [LOCAL]
    assert views[0].mode_reason == "waiting for its first replica"
    assert [ready(view) for view in views] == sorted(ready(view) for view in views)


def test_saturate_spill_grow_warm_return(world: World) -> None:
    """A burst spills within three ticks, the pool grows, and traffic comes back by the ramp, not at once."""
    views = world.run(90, llama_8b=2.5)
    assert modes(views) == [LOCAL, SPILLING, LOCAL]
    assert [view.mode for view in views].index(SPILLING) <= 3
    assert (ready(views[-1]), views[-1].desired_replicas) == (3, 3)
    assert any(view.count(WARMING) for view in views)
    falls = [before.spill_ratio - after.spill_ratio for before, after in pairwise(views)]
    assert max(falls) <= POOL.spill.return_ramp_ratio_per_s + 1e-9
    assert world.platform.done("drain") == []


def test_a_view_says_what_was_wanted_and_what_limits_it(world: World) -> None:
    """More than the most: the wish, the number, and the limit stand apart, with a reason of the wish alone."""
    last = world.run(30, llama_8b=9.0)[-1]
    assert last.desired_replicas == POOL.scale.max_replicas
    assert last.wanted_replicas is not None
    assert last.wanted_replicas > POOL.scale.max_replicas
    assert f"max_replicas {POOL.scale.max_replicas}" in last.constraints
    assert last.decision_reason.startswith(last.wanted_reason)
    assert "max_replicas" not in last.wanted_reason


def test_shrink_by_drain_once_the_cooldown_is_over(world: World) -> None:
    """Calm again, replicas go one level at a time: drained first, removed when nothing is open on them."""
    world.run(90, llama_8b=2.5)
    calm = world.run(150, llama_8b=0.3)
    assert all(view.desired_replicas == 3 for view in calm[: int(POOL.scale.scale_down_cooldown_s) - 1])
    assert (ready(calm[-1]), calm[-1].desired_replicas, modes(calm)) == (1, 1, [LOCAL])
    assert world.platform.done("drain") == world.platform.done("remove")
    assert len(world.platform.done("remove")) == 2
    assert any(view.count(DRAINING) for view in calm)


def test_a_restart_neither_shrinks_nor_flips(world: World) -> None:
    """A new controller takes over in the middle of a spill: same mode, no jump of the ratio, no replica touched."""
    before = world.run(15, llama_8b=2.5)[-1]
    assert before.mode is SPILLING
    calls = list(world.platform.calls)
    world.new_loop()
    after = world.run(10)
    assert modes(after) == [SPILLING]
    assert after[0].spill_ratio == pytest.approx(before.spill_ratio, abs=0.1)
    assert after[0].mode_since_s == before.mode_since_s
    assert all((view.desired_replicas or 0) >= ready(before) for view in after)
    assert [call for call in world.platform.calls[len(calls) :] if call[0] != "start"] == []


def test_a_restart_in_calm_keeps_every_replica_for_a_cooldown(world: World) -> None:
    """What runs is taken as needed: nothing shrinks before a whole cooldown of the new controller."""
    world.run(90, llama_8b=2.5)
    world.run(30, llama_8b=0.1)
    world.new_loop()
    views = world.run(int(POOL.scale.scale_down_cooldown_s))
    assert {view.desired_replicas for view in views[:-1]} == {3}
    assert world.platform.done("drain") == []
    assert world.run(30)[-1].desired_replicas == 1


def test_a_restart_before_the_first_replica_is_ready_does_not_flip() -> None:
    """A controller that restarts while the pool has never served goes on waiting, Local."""
    world = World(POOL, cold_start_s=20.0)
    world.run(5)
    world.new_loop()
    views = world.run(25)
    assert modes(views) == [LOCAL]
    assert ready(views[-1]) == 1


def test_views_count_on_after_a_restart(world: World) -> None:
    """Revisions go on growing, so a gateway can tell old from new."""
    world.new_loop()
    world.run(3)
    revisions = [view.revision for view in world.sink.views]
    assert revisions == list(range(1, len(revisions) + 1))


def test_without_the_gateways_word_everything_holds(world: World) -> None:
    """A silent gateway is no calm one: neither mode nor size changes, however long, and it is said."""
    held = world.run(25, llama_8b=2.5)[-1]
    world.gateway_up = False
    silent = world.run(200, llama_8b=0.0)
    assert {(view.mode, view.desired_replicas) for view in silent} == {(held.mode, held.desired_replicas)}
    assert {view.mode_reason for view in silent} == {"no_data"}
    assert silent[-1].saturation_ratio is None
    assert world.platform.done("drain") == []


def test_a_dead_replica_is_replaced_even_when_blind(world: World) -> None:
    """Holding the size means replacing what died."""
    world.gateway_up = False
    world.run(3)
    (name,) = world.platform.replicas
    world.platform.die(name)
    views = world.run(10)
    assert world.platform.done("remove") == [name]
    assert ready(views[-1]) == 1


def test_without_a_ready_replica_everything_goes_outside_and_comes_back(world: World) -> None:
    """The last replica dies: External at once, then a ramp back from its replacement on."""
    (name,) = world.platform.replicas
    world.platform.die(name)
    views = world.run(120)
    assert modes(views)[0] is EXTERNAL
    assert modes(views)[-1] is LOCAL
    assert views[0].mode_reason == "no_ready_replica"
    assert ready(views[-1]) == 1


def test_a_gateway_restart_is_no_lull(world: World) -> None:
    """Counters that begin again at zero change neither mode nor size of a busy pool."""
    world.run(90, llama_8b=2.5)
    for name in world.settings.pools:
        world.forget_counters(name)
    views = world.run(30)
    assert {(view.mode, view.desired_replicas) for view in views} == {(LOCAL, 3)}


def test_a_pin_holds_until_it_expires(world: World) -> None:
    """Routing and replicas are the operator's while the pin lives, and the controller's again right after."""
    until_s = world.clock.now_s + 30.0
    world.spec.said_pins = {"llama-8b": pin(routing=EXTERNAL, replicas=2, until_s=until_s)}
    pinned = world.run(29)
    assert {(view.mode, view.desired_replicas) for view in pinned} == {(EXTERNAL, 2)}
    assert {view.mode_reason for view in pinned} == {"pinned by ada: test"}
    assert all(view.pin is not None for view in pinned)
    after = world.run(120)
    assert after[0].pin is None
    assert (after[-1].mode, after[-1].desired_replicas) == (LOCAL, 1)


def test_a_drained_replica_is_replaced(world: World) -> None:
    """An operator's drain takes one replica away by name, with another started in its place at once."""
    (name,) = world.platform.replicas
    world.spec.said_drains = frozenset({name})
    views = world.run(20)
    assert [one.state for one in views[0].replicas] == [DRAINING]
    assert world.platform.calls[-3:] == [("drain", name), ("start", "llama-8b"), ("remove", name)]
    assert [one.replica_id for one in views[-1].replicas] != [name]
    assert ready(views[-1]) == 1


def test_what_never_became_ready_is_drained_without_delay(world: World) -> None:
    """A warming replica that is not needed any more is stopped after the settle time, not the drain deadline."""
    world.platform.cold_start_s = 1000.0
    world.spec.said_pins = {"llama-8b": pin(replicas=2, until_s=world.clock.now_s + 5.0)}
    world.run(4)
    world.spec.said_pins = {"llama-8b": pin(replicas=1, until_s=world.clock.now_s + 1000.0)}
    world.run(5)
    assert len(world.platform.done("remove")) == 1


def test_fixed_pools_are_routed_but_never_started_or_stopped() -> None:
    """Endpoints of somebody else: no desired count, no action, also when they die."""
    fixed = pool(endpoints=("http://a", "http://b"))
    world = World(fixed)
    world.platform.add(replica("a"), replica("b", LOST))
    views = world.run(60, llama_8b=3.0)
    assert views[-1].mode is SPILLING
    assert {view.desired_replicas for view in views} == {None}
    assert world.platform.calls == []
