"""Knative's autoscaler: 40 in flight per replica, of which 70 % are the target: 28."""

import pytest

from controller.replay.baselines.knative import knative_kpa, knative_kpa_delayed
from tests.replay.baselines.baseline_world import facts, seen, steady, wishes


@pytest.mark.parametrize(
    ("running", "waiting", "ready", "replicas"),
    [(56, 0, 2, 2), (57, 0, 2, 3), (28, 29, 2, 3), (10, 0, 1, 1), (1, 0, 8, 8)],
    ids=["at target", "above", "the queue counts", "one is least while something runs", "a restart never shrinks"],
)
def test_concurrency_over_target(running: float, waiting: float, ready: int, replicas: int) -> None:
    """The total in flight over the target per pod, rounded up."""
    assert wishes(knative_kpa(facts(), 0.7), seen(ready=ready, running=running, waiting=waiting))[-1] == replicas


def test_halves_at_most() -> None:
    """Out of its first panic it goes down by half of what is ready in a step, not further."""
    assert steady(knative_kpa(facts(), 0.7), seen(ready=8, running=1), 64)[-3:] == [8, 4, 4]


def test_panics_within_six_seconds_and_holds_for_a_minute() -> None:
    """A burst of 200 % of what is ready scales by the short window at once; on its end nothing shrinks for 60 s."""
    policy = knative_kpa(facts(), 0.7)
    calm = seen(ready=1, running=20)
    assert steady(policy, calm, 120)[-1] == 1
    burst = seen(ready=1, running=40, waiting=100)  # 140 in flight: 5 by the panic window, 1 and 2 by the stable one
    assert steady(policy, burst, 6, from_s=122) == [3, 4, 5, 5]
    held = steady(policy, seen(ready=5, running=20), 70, from_s=130)
    assert held[:30] == [5] * 30
    assert held[-1] == 2


def test_stable_mode_follows_a_minute() -> None:
    """Without panic the mean of 60 s decides: half a minute of double load is one and a half times the replicas."""
    policy = knative_kpa(facts(), 0.7)
    steady(policy, seen(ready=1, running=28), 120)
    assert steady(policy, seen(ready=1, running=30), 10, from_s=122)[-1] == 2


def test_only_ready_pods_count() -> None:
    """While pods start, the wish is computed anew from the total: nothing is ordered twice."""
    policy = knative_kpa(facts(), 0.7)
    assert set(steady(policy, seen(ready=2, starting=2, running=112), 40)) == {4}


def test_scales_to_zero_after_its_grace_and_back_by_the_activator() -> None:
    """An idle pool loses its last pod 30 s after the window is empty; an arrival brings one at once."""
    policy = knative_kpa(facts(), 0.7)
    counts = steady(policy, seen(ready=1), 32)
    assert (counts[0], counts[14], counts[-1]) == (1, 1, 0)
    assert wishes(policy, seen(ready=0), seen(ready=0, arrivals_per_s=0.2), from_s=40) == [0, 1]


def test_a_minimum_stands() -> None:
    """Idle, it keeps the least count of the pool."""
    assert steady(knative_kpa(facts(min_replicas=2), 0.7), seen(ready=3), 200)[-1] == 2


def test_scale_down_delay_keeps_the_greatest_count() -> None:
    """A lull of minutes takes nothing away before the delay is over; the plain form halves at once."""
    busy, lull = seen(ready=4, running=112), seen(ready=4, running=40)
    lowest = []
    for make in (knative_kpa, knative_kpa_delayed):
        policy = make(facts(), 0.7)
        steady(policy, busy, 90)
        lowest.append(min(steady(policy, lull, 280, from_s=92)))
    assert lowest == [2, 4]
    policy = knative_kpa_delayed(facts(), 0.7)
    steady(policy, busy, 90)
    assert steady(policy, lull, 400, from_s=92)[-1] == 2
