"""The production policy in the fluid simulation: what it costs beside the optimum, and how it takes a step."""

from __future__ import annotations

import math

import pytest

from controller.replay.fluid import FluidRun, offered_requests, simulate
from controller.replay.oracle import averaged, optimum
from controller.replay.production import ProductionPolicy
from controller.replay.simulation_types import Curve, Economics, Outcome

SLOT_S = 10.0
EIGHT_B = Economics(
    replica_usd_per_s=3.43 / 3600, spill_usd_per_request=0.30e-3, replica_requests_per_s=7.2, cold_start_s=300.0
)
SEVENTY_B = Economics(
    replica_usd_per_s=13.72 / 3600, spill_usd_per_request=5e-3, replica_requests_per_s=2.9, cold_start_s=480.0
)


def day(replicas: float, economics: Economics) -> Curve:
    """A day that swings tenfold, up to so many replicas."""
    slots = range(int(86_400 / SLOT_S))
    waves = [0.55 - 0.45 * math.cos(2.0 * math.pi * slot / len(slots)) for slot in slots]
    rates = [replicas * economics.replica_requests_per_s * wave for wave in waves]
    return Curve(name="day", slot_s=SLOT_S, rates_per_s=rates, kind="diurnal")


def step(low: float, high: float, economics: Economics) -> Curve:
    """An hour of one demand, then two of another, in replicas' worth."""
    rates = [low * economics.replica_requests_per_s] * 360 + [high * economics.replica_requests_per_s] * 720
    return Curve(name="step", slot_s=SLOT_S, rates_per_s=rates, kind="synthetic")


def ratio(curve: Curve, economics: Economics, outcome: Outcome) -> float:
    """Its cost over that of the optimum, which knew all of the same arrivals."""
    rates = [count / SLOT_S for count in offered_requests(curve, outcome.seed)]
    return outcome.usd / optimum(averaged(rates, SLOT_S), SLOT_S, economics).usd


@pytest.mark.parametrize(("replicas", "economics"), [(4.0, EIGHT_B), (20.0, SEVENTY_B)], ids=["4 x 8b", "20 x 70b"])
def test_a_day_costs_little_more_than_the_optimum(replicas: float, economics: Economics) -> None:
    """At most 1.06 times, with 99 % of the requests within the SLO."""
    curve = day(replicas, economics)
    outcome = simulate(curve, economics, ProductionPolicy(economics), seed=1)
    assert ratio(curve, economics, outcome) <= 1.06
    assert outcome.attained_ratio >= 0.99
    assert outcome.actions_per_hour <= 6.0


@pytest.mark.parametrize("economics", [EIGHT_B, SEVENTY_B], ids=["8b", "70b"])
def test_after_a_step_spending_is_near_the_optimum_within_two_cold_starts(economics: Economics) -> None:
    """What five times the demand needs is there by then; until then it is bought, and in time."""
    curve = step(4.0, 20.0, economics)
    outcome = simulate(curve, economics, ProductionPolicy(economics), seed=1, run=FluidRun(keep_series=True))
    series = outcome.series
    assert series is not None
    by_then = 360 + math.ceil(2.0 * economics.cold_start_s / SLOT_S)
    assert sum(series.missed_per_s[360:]) <= 0.05 * sum(series.demand_per_s[360:])
    spent = sum(
        economics.replica_usd_per_s * (ready + starting) + economics.spill_usd_per_request * spilled
        for ready, starting, spilled in zip(
            series.ready[by_then:], series.starting[by_then:], series.spilled_per_s[by_then:], strict=True
        )
    )
    steady = 20.0 * economics.replica_usd_per_s * (len(series.ready) - by_then)
    assert spent <= 1.1 * steady


def test_a_pool_that_may_not_spill_scales_by_its_target() -> None:
    """Nobody to buy from: replicas for the demand at 95 % of use."""
    alone = Economics(
        replica_usd_per_s=0.001, spill_usd_per_request=math.inf, replica_requests_per_s=10.0, cold_start_s=60.0
    )
    outcome = simulate(step(2.0, 6.0, alone), alone, ProductionPolicy(alone), seed=1)
    assert outcome.spilled == 0
    assert outcome.peak_replicas >= 6
