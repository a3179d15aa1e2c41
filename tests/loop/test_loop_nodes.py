"""Two pools on the eight GPUs of one node, through the whole control loop."""

from __future__ import annotations

import pytest
from loop_values import POOL, READY, pin
from shared_world import SharedWorld, on_node


@pytest.fixture
def world() -> SharedWorld:
    """Both pools have a replica, under half its load."""
    made = SharedWorld(on_node("a"), on_node("b"))
    views = made.play(20, a=0.5, b=0.5)
    assert [view.desired_replicas for view in views.values()] == [1, 1]
    return made


def test_a_pool_that_wants_more_than_there_is_waits_and_says_so(world: SharedWorld) -> None:
    """The ledger of GPUs holds every second; the view says what is missing and why."""
    views = world.play(60, a=1.4)
    assert (views["a"].desired_replicas, views["a"].missing_replicas) == (1, 1)
    assert "2 would pay, but the 8 GPUs are shared" in views["a"].decision_reason
    assert (views["b"].desired_replicas, views["b"].missing_replicas) == (1, 0)


def test_gpus_change_hands_when_the_other_pool_has_no_use_for_them(world: SharedWorld) -> None:
    """The idle pool is drained first, the busy one starts when its GPUs are free, and takes them back in its turn."""
    views = world.play(130, a=1.8, b=0.0)
    assert [views[name].desired_replicas for name in "ab"] == [2, 0]
    assert world.platform.calls[-3][0] == "drain"
    assert [call for call, _ in world.platform.calls[-2:]] == ["remove", "start"]
    views = world.play(160, a=0.2, b=0.9)
    assert [views[name].desired_replicas for name in "ab"] == [1, 1]


def test_a_restart_takes_nothing_from_anyone(world: SharedWorld) -> None:
    """A new controller keeps the split for a whole cooldown, however demand has changed meanwhile."""
    world.new_loop()
    drained = len(world.platform.done("drain"))
    world.play(int(POOL.scale.scale_down_cooldown_s) - 1, a=1.8, b=0.0)
    assert len(world.platform.done("drain")) == drained


def test_without_a_word_from_the_gateway_the_split_stands(world: SharedWorld) -> None:
    """Blind means hold, for shared nodes too."""
    calls = list(world.platform.calls)
    world.gateway_up = False
    world.play(100, a=1.8, b=0.0)
    assert world.platform.calls == calls


def test_a_pool_that_cannot_be_listed_keeps_its_gpus(world: SharedWorld) -> None:
    """Nobody starts on what it was last seen to have."""
    world.platform.broken["list", "b"] = OSError("apiserver is away")
    views = world.play(70, a=1.8, b=0.0)
    assert (views["a"].desired_replicas, views["b"].desired_replicas) == (1, 1)


def test_a_pin_takes_gpus_at_once(world: SharedWorld) -> None:
    """The operator's word goes before what pays; the other pool is drained for it."""
    world.spec.said_pins = {"a": pin(replicas=2)}
    world.play(70)
    world.new_loop()
    views = world.play(70)
    assert [views[name].desired_replicas for name in "ab"] == [2, 0]


def test_pools_beside_the_node_are_not_asked() -> None:
    """A pool with nodes of its own grows as it wants; one that was never seen has no claim."""
    world = SharedWorld(on_node("a", least=1), on_node("b", least=1), POOL)
    world.platform.broken["list", "b"] = OSError("apiserver is away")
    views = world.play(30, a=1.8, llama_8b=2.5)
    assert (views["llama-8b"].count(READY), views["llama-8b"].missing_replicas) == (4, 0)
    assert "b" not in views
