"""Replicas that are asked for and do not come: seen, given up, spilled around, tried again."""

from __future__ import annotations

from itertools import pairwise

import pytest
from loop_values import LOCAL, LOST, READY, SERVED, SPILLING, START_S, WARMING, Tick, pool, replica, sample
from loop_world import World

from controller.autoscale.cold_starts import ColdStarts
from controller.core.fleet import PoolView
from controller.loop.plan import FIRST_REFUSED_PAUSE_S
from controller.loop.shortage import (
    FIRST_PAUSE_S,
    LATE_FACTOR,
    LONGEST_PAUSE_S,
    MOST_DOUBLINGS,
    Shortage,
    late_after_s,
    most_starts,
    watched,
)

COLD_START_S = 40.0
LATE_S = LATE_FACTOR * COLD_START_S


def without_nodes(world: World) -> None:
    """From now on what is started stays pending."""
    world.platform.cold_start_s = 1e9


@pytest.fixture
def world() -> World:
    """One replica under a load of two and a half, which never get nodes."""
    made = World(pool(cold_start_s=COLD_START_S), cold_start_s=5.0)
    made.run(12, llama_8b=0.5)
    without_nodes(made)
    return made


def tries_at_s(world: World, seconds: int) -> list[int]:
    """When something was started, second by second."""
    found = []
    for second in range(seconds):
        before = len(world.platform.done("start"))
        world.run(1)
        if len(world.platform.done("start")) > before:
            found.append(second)
    return found


def test_what_does_not_come_is_given_up_and_bought(world: World) -> None:
    """Before: they count as coming. Then they are removed, the view says what is missing and why, and work goes out."""
    views = world.run(int(LATE_S), llama_8b=2.5)
    assert (views[-1].count(WARMING), views[-1].missing_replicas) == (2, 0)
    views = world.run(20)
    assert (views[-1].count(WARMING), views[-1].count(READY), views[-1].desired_replicas) == (0, 1, 3)
    assert (views[-1].mode, views[-1].missing_replicas) == (SPILLING, 2)
    assert views[-1].spill_ratio > 0.5
    assert f"no start has come within {LATE_S + 1:.0f} s, given up 1 x; next try in" in views[-1].decision_reason
    assert len(world.platform.done("remove")) == 2


def test_one_is_tried_at_a_time_ever_later(world: World) -> None:
    """The pause after each doubles, and so does the time it is given."""
    world.run(1, llama_8b=2.5)
    tries = tries_at_s(world, 1280)
    gaps = [after - before for before, after in pairwise(tries)]
    first, second, third = tries[-3:]
    assert second - first == pytest.approx(2.0 * LATE_S + 2.0 * FIRST_PAUSE_S, abs=5.0)
    assert third - second == pytest.approx(4.0 * LATE_S + 4.0 * FIRST_PAUSE_S, abs=5.0)
    assert max(gaps) == third - second
    assert sum(one.state is WARMING for one in world.platform.replicas.values()) <= 1


def test_nodes_that_are_there_again_end_it(world: World) -> None:
    """The one that is tried comes, then all that are wanted do, and traffic returns."""
    world.run(int(LATE_S) + 10, llama_8b=2.5)
    world.platform.cold_start_s = 5.0
    views = world.run(int(FIRST_PAUSE_S) + 120)
    assert (views[-1].count(READY), views[-1].missing_replicas, views[-1].mode) == (3, 0, LOCAL)
    assert "no start" not in views[-1].decision_reason


def test_a_slow_start_is_given_more_time_until_it_comes(world: World) -> None:
    """A first download that takes four times as long as any start is not cut off for ever."""
    world.platform.cold_start_s = 3.5 * LATE_S
    views = world.run(1000, llama_8b=2.5)
    assert any(view.count(READY) == 2 for view in views)


def test_a_wish_that_does_not_pay_any_more_ends(world: World) -> None:
    """Demand falls while nothing can be had: nothing is missing, nothing more is tried."""
    world.run(int(LATE_S) + 10, llama_8b=2.5)
    views = world.run(200, llama_8b=0.3)
    assert (views[-1].missing_replicas, views[-1].desired_replicas) == (0, 1)
    assert tries_at_s(world, 200) == []


def test_a_platform_that_refuses_is_asked_ever_more_seldom(world: World) -> None:
    """Ten seconds, twenty, forty; the view says so, and a start that succeeds forgets it."""
    world.platform.broken["start", "llama-8b"] = OSError("no quota")
    views: list[PoolView] = []
    calls = []
    for second in range(200):
        views += world.run(1, llama_8b=1.6)
        calls.append((second, len(world.platform.done("start"))))
    asked = [second for (second, after), (_, before) in zip(calls[1:], calls, strict=False) if after > before]
    assert [late - early for early, late in pairwise(asked)][:3] == [FIRST_REFUSED_PAUSE_S, 20.0, 40.0]
    assert "were refused; next start in" in views[-1].decision_reason
    del world.platform.broken["start", "llama-8b"]
    world.platform.cold_start_s = 5.0
    assert world.run(300)[-1].count(READY) == 2


def test_young_deaths_are_told_too() -> None:
    """Why nothing is started just now."""
    dead = replica("dead", LOST, ready_at_s=None)
    plan, _ = Tick(replicas=(dead,)).run()
    assert plan.scale is not None
    assert plan.scale.constraints == ("1 died young; next start in 1 s",)
    assert plan.missing == 1


@pytest.mark.parametrize(("tries", "factor"), [(0, 1.0), (1, 2.0), (3, 8.0), (99, 2.0**MOST_DOUBLINGS)])
def test_patience_grows_with_every_try(tries: int, factor: float) -> None:
    """Up to a bound, as does the pause."""
    shortage = Shortage(since_s=0.0, tries=tries, late_s=1.0, retry_at_s=0.0) if tries else None
    assert late_after_s(shortage, ColdStarts(took_s=(50.0, 60.0, 70.0)), 240.0) == factor * LATE_FACTOR * 70.0
    after = watched(shortage, (), (replica("w", WARMING),), START_S)
    assert after is not None
    assert after.retry_at_s - START_S == min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0**tries)


def test_only_a_replica_that_was_asked_for_since_ends_a_shortage() -> None:
    """Those that had nodes before prove nothing."""
    shortage = Shortage(since_s=START_S, tries=1, late_s=1.0, retry_at_s=START_S)
    old, new = replica("old"), replica("new", started_at_s=START_S + 1.0)
    assert watched(shortage, (old,), (), START_S) is shortage
    assert watched(shortage, (old, new), (), START_S) is None


@pytest.mark.parametrize(
    ("shortage", "staying", "after_s", "most"),
    [
        pytest.param(False, (), 0.0, 4, id="none: all"),
        pytest.param(True, (), 59.0, 0, id="the pause is on"),
        pytest.param(True, (), 60.0, 1, id="one try"),
        pytest.param(True, (replica("w", WARMING),), 60.0, 0, id="one is tried"),
    ],
)
def test_how_many_may_start(shortage: bool, staying: tuple[object, ...], after_s: float, most: int) -> None:
    """In a shortage one, after the pause."""
    lack = Shortage(since_s=0.0, tries=1, late_s=1.0, retry_at_s=60.0) if shortage else None
    assert most_starts(lack, staying, 4, after_s) == most  # type: ignore[arg-type] # replicas
    assert most_starts(lack, staying, 0, after_s) == 0  # type: ignore[arg-type] # replicas


def test_blind_does_not_wait_for_what_does_not_come() -> None:
    """The platform is heard although the gateway is not."""
    stuck = replica("w", WARMING, started_at_s=START_S - 1e6)
    plan, state = Tick(replicas=(replica("a"), stuck), sample=None, state=SERVED).run()
    assert plan.drain == ("w",)
    assert state.shortage is not None
    assert Tick(sample=sample(0.5)).run()[1].shortage is None
