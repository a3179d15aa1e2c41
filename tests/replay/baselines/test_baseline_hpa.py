"""The horizontal pod autoscaler, by the examples of its documentation and of its source."""

import pytest

from controller.replay.baselines.hpa import (
    HpaLoop,
    external_metric_replicas,
    hpa_kv,
    hpa_queue,
    hpa_rate,
    pods_metric_replicas,
)
from tests.replay.baselines.baseline_world import economics, facts, seen, steady, wishes


@pytest.mark.parametrize(
    ("mean", "target", "ready", "starting", "replicas"),
    [
        # Kubernetes documentation: 200m over a target of 100m doubles, 50m halves.
        (200, 100, 3, 0, 6),
        (50, 100, 4, 0, 2),
        (109, 100, 10, 0, 10),
        (91, 100, 10, 0, 10),
        (120, 100, 5, 0, 6),
        (121, 100, 5, 0, 7),
        (0, 100, 5, 0, 0),
        (200, 100, 4, 2, 8),  # 800 over 6 pods is 133 %: 8
        (120, 100, 5, 1, 6),  # 600 over 6 pods is 100 %: hold
        (150, 100, 2, 4, 6),  # 300 over 6 pods would be a way down: hold
        (50, 100, 4, 2, 4),  # the starting ones count as 100: 400 over 6
        (95, 100, 4, 2, 6),
        (100, 100, 4, 4, 4),  # at exactly the target the code counts them as 0
        (200, 100, 0, 3, None),
    ],
    ids=[
        "doubles", "halves", "tolerated above", "tolerated below", "up", "up, rounded up", "idle",
        "starting count as 0", "starting are enough", "starting are more than enough", "starting count as target",
        "starting, tolerated",
        "starting, exactly at target", "no metric",
    ],
)  # fmt: skip
def test_rule_of_pods_metrics(mean: float, target: float, ready: int, starting: int, replicas: int | None) -> None:
    """ceil(N * mean/target) outside a tolerance of 10 %, with pods that lack the metric counted against the change."""
    assert pods_metric_replicas(mean, target, ready=ready, starting=starting) == replicas


@pytest.mark.parametrize(
    ("total", "target", "replicas", "wanted"),
    [(30, 10, 2, 3), (21, 10, 2, 2), (23, 10, 2, 3), (0, 10, 2, 0), (18, 10, 2, 2), (17, 10, 2, 2), (100, 10, 2, 10)],
    ids=["up", "tolerated above", "just above", "none", "tolerated below", "rounded up", "all at once"],
)
def test_rule_of_external_metrics(total: float, target: float, replicas: int, wanted: int) -> None:
    """ceil(total/target) outside the tolerance, however many pods are ready."""
    assert external_metric_replicas(total, target, replicas) == wanted


@pytest.mark.parametrize(
    ("current", "recommended", "allowed"),
    [(1, 40, 5), (4, 40, 8), (10, 40, 20), (10, 12, 12)],
    ids=["four pods", "either", "doubled", "free"],
)
def test_scale_up_policy(current: int, recommended: int, allowed: int) -> None:
    """At most the greater of 4 pods and 100 % in 15 s."""
    assert HpaLoop(economics()).apply(recommended, seen(ready=current), 0.0).replicas == allowed


def test_scale_up_policy_counts_what_was_added_in_its_period() -> None:
    """A second sync within the period cannot double again; after the period it can."""
    loop = HpaLoop(economics())
    assert loop.apply(40, seen(ready=5), 0.0).replicas == 10
    assert loop.apply(40, seen(ready=5, starting=5), 10.0).replicas == 10
    assert loop.apply(40, seen(ready=5, starting=5), 15.1).replicas == 20


def test_scale_down_takes_the_greatest_recommendation_of_five_minutes() -> None:
    """After 10 there is no way below 10 for 300 s; then everything at once."""
    loop = HpaLoop(economics())
    assert loop.apply(10, seen(ready=10), 0.0).replicas == 10
    counts = [loop.apply(3, seen(ready=10), now_s).replicas for now_s in (15.0, 150.0, 285.0, 300.0)]
    assert counts == [10, 10, 10, 3]


def test_a_fresh_controller_does_not_shrink() -> None:
    """The first count it sees is a recommendation like any other: kept for a whole window."""
    loop = HpaLoop(economics())
    assert [loop.apply(2, seen(ready=9), now_s).replicas for now_s in (0.0, 285.0, 300.0)] == [9, 9, 2]


def test_missing_metric_holds() -> None:
    """Without a metric nothing moves."""
    assert wishes(hpa_kv(facts(), 0.8), seen(ready=3, kv_usage_ratio=0.8), seen(ready=0, starting=3)) == [3, 3]
    assert wishes(hpa_queue(facts(), 5.0), seen(ready=0, starting=3)) == [3]


def test_at_zero_it_is_off() -> None:
    """A workload at none stays there: the controller leaves it alone."""
    assert wishes(hpa_rate(facts(), 0.7), seen(ready=0, arrivals_per_s=100)) == [1]
    assert wishes(hpa_rate(facts(max_replicas=0), 0.7), seen(ready=0, arrivals_per_s=100)) == [0]


def test_kv_gauge_saturates() -> None:
    """Ten times the load shows as a full cache: 0.8 of target asks for a quarter more, whatever is needed."""
    assert wishes(hpa_kv(facts(), 0.8), seen(ready=4, kv_usage_ratio=1.0)) == [5]


def test_kv_orders_once_for_a_cold_start() -> None:
    """While ordered pods start, they count as empty, so the same gauge orders nothing more."""
    policy = hpa_kv(facts(), 0.5)
    sights = [seen(ready=4, kv_usage_ratio=1.0), *[seen(ready=4, starting=4, kv_usage_ratio=1.0)] * 5]
    assert wishes(policy, *sights) == [8] * 6


def test_queue_sees_no_use_while_nothing_waits() -> None:
    """Busy replicas with an empty queue are scaled down to one, after five minutes."""
    counts = steady(hpa_queue(facts(), 5.0), seen(ready=8, running=300, kv_usage_ratio=0.9), 330)
    assert (counts[0], counts[-1]) == (8, 1)


def test_rate_counts_what_is_offered() -> None:
    """84 requests/s at 7 per replica are 12 replicas, spilled ones among them, in one go from 6."""
    assert wishes(hpa_rate(facts(), 0.7), seen(ready=6, arrivals_per_s=84, spilled_per_s=40)) == [12]
