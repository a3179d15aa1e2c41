"""The scaling rule: examples of each reason, and properties under any history."""

from __future__ import annotations

from dataclasses import replace
from math import ceil, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pool_samples import sample

from controller.autoscale.decide import STUCK_S, ScaleDecision, ScaleState, decide
from controller.core.pools import ScalePolicy

POLICY = ScalePolicy(min_replicas=1, max_replicas=4, target_utilization_ratio=0.8, scale_down_cooldown_s=60.0)


def step(
    demand: float | None, state: ScaleState, now_s: float, *, replicas_now: int = 1, pin: int | None = None
) -> tuple[ScaleDecision, ScaleState]:
    """One tick."""
    seen = None if demand is None else sample(demand, at_s=now_s, ready=replicas_now)
    return decide(seen, state, POLICY, replicas_now=replicas_now, pin_replicas=pin, now_s=now_s)


@pytest.mark.parametrize(("demand", "replicas"), [(0.0, 1), (0.8, 1), (0.81, 2), (1.6, 2), (2.5, 4), (9.0, 4)])
def test_the_target_is_hot_and_bounded(demand: float, replicas: int) -> None:
    """Demand over target utilisation, rounded up, within the bounds."""
    decision, _ = step(demand, ScaleState(), 0.0)
    assert decision.replicas == replicas


def test_bounds_are_said() -> None:
    """A wish that the bounds bent names the bound."""
    assert step(9.0, ScaleState(), 0.0)[0].constraints == ("max_replicas 4",)
    assert step(0.0, ScaleState(needed_at_s=()), 0.0)[0].constraints == ("min_replicas 1",)
    assert step(1.0, ScaleState(), 0.0)[0].constraints == ()


def test_what_was_wanted_is_said_beside_what_became_of_it() -> None:
    """Before the bounds, before the cooldown, and of a pin."""
    over, state = step(9.0, ScaleState(), 0.0)
    assert (over.wanted, over.replicas) == (12, 4)
    cooling, _ = step(0.1, state, 1.0, replicas_now=4)
    assert (cooling.wanted, cooling.replicas) == (1, 4)
    pinned, _ = step(0.1, state, 1.0, replicas_now=4, pin=9)
    assert (pinned.wanted, pinned.replicas) == (9, 4)


@pytest.mark.parametrize(
    ("who", "words"),
    [("replicas_unknown", "no word from 1 of 3 replicas"), ("gateways_unknown", "no word from gateways: 1")],
)
def test_no_shrink_while_a_replica_or_a_gateway_says_nothing(who: str, words: str) -> None:
    """What is unknown counts as needed, also for the cooldown that begins when it speaks again; growth goes on."""
    state = ScaleState(needed_at_s=())
    silent = replace(sample(0.5, at_s=100.0, ready=3), **{who: 1})
    decision, state = decide(silent, state, POLICY, replicas_now=3, now_s=100.0)
    assert (decision.replicas, decision.reason) == (3, words)
    assert step(0.5, state, 159.0, replicas_now=3)[0].replicas == 3
    assert step(0.5, state, 160.0, replicas_now=3)[0].replicas == 1
    grown = replace(sample(3.0, at_s=100.0, ready=3), **{who: 1})
    assert decide(grown, ScaleState(), POLICY, replicas_now=3, now_s=100.0)[0].replicas == 4


def test_no_shrink_within_a_cooldown_of_the_last_need() -> None:
    """Each level stands for 60 s after it was last needed, then goes, one level at its own time."""
    _, state = step(3.0, ScaleState(), 0.0)
    _, state = step(1.5, state, 30.0, replicas_now=4)
    decision, state = step(0.1, state, 59.0, replicas_now=4)
    assert (decision.replicas, decision.constraints) == (4, ("cooldown",))
    assert decision.reason == "4 were needed 59 s ago"
    decision, state = step(0.1, state, 61.0, replicas_now=4)
    assert decision.replicas == 2
    decision, state = step(0.1, state, 91.0, replicas_now=2)
    assert decision.replicas == 1


def test_the_cooldown_keeps_but_never_starts() -> None:
    """A level that was needed but never came up is not started for yesterday's demand."""
    _, state = step(3.0, ScaleState(), 0.0)
    decision, _ = step(0.1, state, 1.0, replicas_now=2)
    assert decision.replicas == 2


def test_a_fresh_state_never_shrinks_before_a_cooldown() -> None:
    """A restarted controller keeps what runs, whatever the demand says, until a cooldown has passed."""
    state = ScaleState()
    for now_s in (0.0, 20.0, 59.0):
        decision, state = step(0.0, state, now_s, replicas_now=3)
        assert decision.replicas == 3
    assert step(0.0, state, 60.0, replicas_now=3)[0].replicas == 1


@pytest.mark.parametrize("demand", [None, nan])
def test_missing_data_holds(demand: float | None) -> None:
    """A blind tick repeats the last decision, also when a replica has died meanwhile; blind from the start holds."""
    _, state = step(2.0, ScaleState(), 0.0)
    decision, state = step(demand, state, 500.0, replicas_now=1)
    assert (decision.replicas, decision.reason) == (3, "no_data")
    assert step(demand, ScaleState(), 0.0, replicas_now=2)[0].replicas == 2


def test_missing_data_keeps_no_cooldown_alive() -> None:
    """After a long blind time the first good tick may shrink: the need is that old."""
    _, state = step(2.0, ScaleState(), 0.0)
    _, state = step(None, state, 100.0, replicas_now=3)
    assert step(0.0, state, 101.0, replicas_now=3)[0].replicas == 1


def test_a_pin_wins_within_the_bounds() -> None:
    """The operator's count stands, up to the bounds of the pool."""
    decision, state = step(3.0, ScaleState(), 0.0, pin=2)
    assert (decision.replicas, decision.reason, decision.constraints) == (2, "pinned", ("pin",))
    decision, _ = step(0.0, state, 1.0, pin=9)
    assert (decision.replicas, decision.constraints) == (4, ("pin", "max_replicas 4"))


def test_full_although_it_seems_to_fit_adds_one() -> None:
    """When a pool stays full beyond the estimate and nothing is warming, it gets one more."""
    state = ScaleState()
    for now_s, replicas in ((0.0, 2), (STUCK_S - 1, 2), (STUCK_S, 3)):
        full = sample(1.0, at_s=now_s, ready=2, saturation=1.2)
        decision, state = decide(full, state, POLICY, replicas_now=2, now_s=now_s)
        assert decision.replicas == replicas
    warming = sample(1.0, at_s=STUCK_S + 1, ready=2, warming=1, saturation=1.2)
    decision, state = decide(warming, state, POLICY, replicas_now=3, now_s=STUCK_S + 1)
    assert (decision.replicas, state.stuck_since_s) == (3, None)


def test_full_as_demand_says_is_no_surprise() -> None:
    """A pool that is full because demand exceeds it follows demand, not the one-more rule."""
    state = ScaleState(needed_at_s=(0.0,), stuck_since_s=0.0)
    full = sample(1.5, at_s=50.0, ready=1, saturation=2.0)
    decision, _ = decide(full, state, POLICY, replicas_now=1, now_s=50.0)
    assert (decision.replicas, decision.reason) == (2, "demand 1.50 at target 0.80")


HISTORY = st.lists(st.tuples(st.none() | st.floats(0.0, 10.0), st.floats(0.1, 50.0)), min_size=1, max_size=40)


@given(HISTORY, st.integers(0, 6))
def test_always_within_bounds_and_never_below_need(history: list[tuple[float | None, float]], there: int) -> None:
    """Whatever the history: within bounds, at least what demand needs, and no shrink within a cooldown of a need."""
    state, now_s, replicas = ScaleState(), 0.0, there
    needs: list[tuple[float, int]] = []
    for demand, passed_s in history:
        now_s += passed_s
        decision, state = step(demand, state, now_s, replicas_now=replicas)
        assert 1 <= decision.replicas <= 4
        if demand is not None:
            need = min(4, max(1, ceil(demand / 0.8 - 1e-9)))
            needs.append((now_s, need))
            recent = max(level for at_s, level in needs if now_s - at_s < 60.0)
            assert decision.replicas >= need
            assert decision.replicas >= min(replicas, recent, 4)
        replicas = decision.replicas


@given(st.floats(0.0, 10.0), st.floats(0.0, 10.0))
def test_more_demand_never_means_fewer(one: float, other: float) -> None:
    """From the same state, the larger demand gets at least as many."""
    low, high = sorted((one, other))
    assert step(low, ScaleState(), 0.0)[0].replicas <= step(high, ScaleState(), 0.0)[0].replicas
