"""Providers who sell below what replicas cost, but take 1,000 requests a minute: what the controller's policy attains.

A step that neither replicas nor providers can take is missed for a cold start by whoever holds no more than was ever
needed. That limit is what a run is held against: replicas for the highest demand so far, asked for at once.
"""

from __future__ import annotations

import numpy as np
import pytest

from controller.replay.contest_field import course
from controller.replay.contest_types import Course
from controller.replay.fluid import FluidRun, offered_requests, replicas_for, simulate
from controller.replay.production import ProductionPolicy
from controller.replay.simulation_types import Outcome

SEED = 1


def reachable_ratio(course: Course) -> float:
    """The share of requests that find a place where all that was ever needed stays, and is asked for at once."""
    curve, economics = course.judged_on.curve, course.facts.economics
    demand = np.asarray(offered_requests(curve, SEED)) / (curve.slot_s * economics.replica_requests_per_s)
    start = round(economics.cold_start_s / curve.slot_s)
    first = replicas_for(curve.rates_per_s[0], economics)
    ready = np.maximum(first, np.concatenate((np.zeros(start), np.maximum.accumulate(np.ceil(demand))[:-start])))
    bought = economics.spill_limit_per_s / economics.replica_requests_per_s
    return 1.0 - float(np.maximum(0.0, demand - ready - bought).sum() / demand.sum())


def run(course: Course) -> Outcome:
    """The policy behind the gateway as it is."""
    economics = course.facts.economics
    how = FluidRun(gateway="mode", shape=course.shape)
    return simulate(course.judged_on.curve, economics, ProductionPolicy(economics), seed=SEED, run=how)


@pytest.mark.parametrize(
    ("workload", "pool", "replicas"),
    [("step5x", "8b-a100", 20), ("step2x", "8b-a100", 4), ("square-wave", "70b-4xa100", 20), ("ramp", "8b-a100", 20)],
)
def test_hardly_more_is_missed_than_has_to_be(workload: str, pool: str, replicas: int) -> None:
    """Within one in a hundred of what is reachable, on a wave from its second peak on."""
    found = course(workload, pool, "same-weights", replicas)
    outcome = run(found)
    assert outcome.late <= 0.001 * outcome.offered  # who is let in is in time
    assert outcome.attained_ratio >= reachable_ratio(found) - 0.01


def test_what_providers_take_is_used() -> None:
    """Where all of it fits there, three quarters and more of the work is bought."""
    outcome = run(course("ramp", "70b-4xa100", "same-weights", 4))
    assert outcome.spilled >= 0.75 * outcome.offered
    assert outcome.attained_ratio >= 0.99
