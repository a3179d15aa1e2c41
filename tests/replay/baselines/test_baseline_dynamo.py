"""Dynamo's planner: easy and SLA mode."""

import pytest

from controller.replay.baselines.dynamo import LevelAndTrend, dynamo_easy, dynamo_sla
from controller.replay.simulation_types import Seen
from tests.replay.baselines.baseline_world import facts, seen, steady, wishes


@pytest.mark.parametrize(
    ("sight", "replicas"),
    [
        (seen(ready=4, kv_usage_ratio=0.9, waiting=36), 4),  # 9,000 queued tokens each: 0.99
        (seen(ready=4, kv_usage_ratio=0.9, waiting=48), 5),  # 12,000: 1.02
        (seen(ready=4, kv_usage_ratio=0.7), 4),
        (seen(ready=4, kv_usage_ratio=0.59), 3),
        (seen(ready=1, kv_usage_ratio=0.1), 1),
        (seen(ready=2, per_replica=((9, 60, 0.5), (9, 0, 0.1))), 3),
        (seen(ready=2, per_replica=((9, 0, 0.7), (9, 0, 0.1))), 2),
        (seen(ready=4, starting=1, kv_usage_ratio=1.0, waiting=400), 5),
        (seen(ready=0), 1),
    ],
    ids=["at the brim", "over", "between", "calm", "one is least", "any", "not all", "in progress", "no data"],
)
def test_easy_mode(sight: Seen, replicas: int) -> None:
    """One more when any engine is over its cache, queued prompts counted; one fewer when all are below 60 %."""
    assert wishes(dynamo_easy(facts(), 1.0), sight) == [replicas]


def test_easy_mode_is_one_per_cold_start() -> None:
    """While the ordered one starts, it only watches, whatever waits."""
    policy = dynamo_easy(facts(), 1.0)
    full = {"kv_usage_ratio": 1.0, "waiting": 1000.0}
    assert wishes(policy, seen(ready=2, **full), *[seen(ready=2, starting=1, **full)] * 10) == [3] * 11


def test_sla_plan_is_a_floor() -> None:
    """35 requests/s at 10 each: 4, though every engine is calm."""
    assert steady(dynamo_sla(facts(), 1.0), seen(ready=4, arrivals_per_s=35, tpot_mean_s=0.02), 400) == [4] * 81


def test_sla_load_loop_adds_one_when_all_would_miss() -> None:
    """80 waiting each are 81,000 tokens of prompt: 40 steps of 110 ms, above 2 s; above the floor it goes by one."""
    late = seen(ready=4, arrivals_per_s=35, waiting=320)
    assert wishes(dynamo_sla(facts(), 1.0), late) == [5]
    uneven = seen(ready=2, arrivals_per_s=15, per_replica=((5, 80, 0.1), (5, 0, 0.1)))
    assert wishes(dynamo_sla(facts(), 1.0), uneven) == [2]


def test_sla_load_loop_adds_one_for_slow_tokens() -> None:
    """Time per token above its SLO is a miss too; between 80 % and the SLO nothing moves."""
    assert wishes(dynamo_sla(facts(), 1.0), seen(ready=4, tpot_mean_s=0.06)) == [5]
    assert wishes(dynamo_sla(facts(), 1.0), seen(ready=4, tpot_mean_s=0.045)) == [4]


def test_sla_shrinks_by_one_to_the_floor() -> None:
    """Calm engines leave one by one, down to the plan."""
    policy = dynamo_sla(facts(), 1.0)
    sights = [seen(ready=ready, arrivals_per_s=15, tpot_mean_s=0.02) for ready in (5, 4, 3, 2)]
    assert wishes(policy, *sights) == [4, 3, 2, 2]
    assert wishes(dynamo_sla(facts(), 1.0), seen(ready=1)) == [1]


def test_sla_only_watches_while_scaling() -> None:
    """The new plan waits until the ordered ones are ready."""
    policy = dynamo_sla(facts(), 1.0)
    assert wishes(policy, seen(ready=2, arrivals_per_s=40)) == [4]
    assert wishes(policy, seen(ready=2, starting=2, arrivals_per_s=80), from_s=180) == [4]
    assert wishes(policy, seen(ready=4, arrivals_per_s=80), from_s=185) == [8]
    assert wishes(dynamo_sla(facts(), 1.0), seen(ready=0)) == [1]


def test_forecast_learns_a_trend() -> None:
    """The first points are taken as they are; on a ramp the forecast then leads it."""
    forecast = LevelAndTrend()
    made = [forecast.next_after(10.0 * n) for n in range(40)]
    assert made[:4] == [0.0, 10.0, 20.0, 30.0]
    assert made[-1] == pytest.approx(400, abs=5)
    made.extend(forecast.next_after(0.0) for _ in range(3))
    assert all(value >= 0 for value in made)
