"""The field: who enters, on which pools, and how a curve becomes a course."""

from __future__ import annotations

import pytest

from controller.core.errors import SimulationError
from controller.replay.baselines.registry import BASELINES
from controller.replay.contest_field import DAY_S, OURS, course, entrant, entrants, stretches
from controller.replay.simulation_types import Curve, Seen
from controller.replay.workloads_curves import busy_rate_per_s
from controller.replay.workloads_economics import PRICE_SETS, economics


def hourly(days: float) -> Curve:
    """Rates that tell the hour they stand in."""
    return Curve(
        name="days", slot_s=3600.0, rates_per_s=tuple(float(at) for at in range(int(24 * days))), kind="diurnal"
    )


def test_ours_and_every_baseline_enter() -> None:
    """Each can be made, under its own name of the table."""
    assert list(entrants()) == [OURS, *BASELINES]
    made = course("step2x", "8b-a100", "frontier", 4)
    for one in entrants().values():
        assert one.make(made.facts, one.default).period_s > 0


def test_ours_is_as_patient_before_a_start_as_its_knob_says() -> None:
    """At twenty-four times the patience ten minutes of spilling start nothing."""
    made = course("step2x", "8b-a100", "frontier", 4)
    seen = Seen(
        ready=1, starting=0, running=5, waiting=0, kv_usage_ratio=0.5, arrivals_per_s=28.0, served_per_s=7.2,
        spilled_per_s=20.8, demand_replicas=3.9, ttft_p95_s=0.2, tpot_mean_s=0.05,
        input_tokens_mean=1155, output_tokens_mean=211,
    )  # fmt: skip
    wishes = []
    for knob in (24.0, 1.0):
        policy = entrant(OURS).make(made.facts, knob)
        wishes.append(max(policy.step(seen, 10.0 * tick).replicas for tick in range(60)))
    assert wishes[0] <= 1
    assert wishes[1] >= 4


@pytest.mark.parametrize("name", ["", "hpa"])
def test_an_unknown_policy_or_pool_is_told_with_those_there_are(name: str) -> None:
    """One line each."""
    with pytest.raises(SimulationError, match=f"policy is '{name}'; it must be one of spillway, static-peak"):
        entrant(name)
    with pytest.raises(SimulationError, match=f"pool is '{name}'; it must be one of 8b-a100, 70b-4xa100"):
        course("step2x", name, "frontier", 4)


@pytest.mark.parametrize("prices", PRICE_SETS)
def test_a_course_needs_its_replicas_in_busy_moments_and_may_have_twice_as_many(prices: str) -> None:
    """At prices and capacity of its pool, for requests of its workload."""
    made = course("step5x", "70b-4xa100", prices, 20)
    assert made.name == f"step5x 70b-4xa100 {prices} x20"
    assert made.facts.economics == economics("70b-4xa100", prices, "step5x", max_replicas=40)
    assert max(made.judged_on.curve.rates_per_s) == pytest.approx(20 * made.facts.economics.replica_requests_per_s)
    assert made.facts.hindsight is made.tuned_on.curve


def test_requests_that_do_not_fit_the_pool_are_no_demand_of_a_course() -> None:
    """What is left of the long prompts, of the size that is left."""
    made = course("mooncake-synthetic", "8b-l4", "frontier", 4)
    assert made.shape.input_tokens < 16_384
    assert busy_rate_per_s(made.judged_on.curve) == pytest.approx(4 * made.facts.economics.replica_requests_per_s)


@pytest.mark.parametrize(
    ("days", "tuned", "judged", "counted_from_s"),
    [(4.9, (0, 117), (0, 117), 0.0), (5, (0, 72), (48, 120), DAY_S), (14, (0, 72), (48, 168), DAY_S)],
    ids=["short: the whole", "five days", "a week of two"],
)
def test_tuned_on_days_1_to_3_and_judged_from_day_4(
    days: float, tuned: tuple[int, int], judged: tuple[int, int], counted_from_s: float
) -> None:
    """Day 3 warms up for the judged days."""
    tuning, judging = stretches(hourly(days))
    assert list(tuning.curve.rates_per_s) == list(range(*tuned))
    assert list(judging.curve.rates_per_s) == list(range(*judged))
    assert (tuning.counted_from_s, judging.counted_from_s) == (0.0, counted_from_s)
    assert judging.first_slot == counted_from_s / 3600
