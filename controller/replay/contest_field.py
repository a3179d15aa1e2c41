"""The field of the contest: the policies that enter, and courses made from workloads, pools and prices.

Called by `spillway bench policy` and `spillway simulate`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from controller.core.errors import SimulationError
from controller.replay.baselines.fluid_facts import fluid_facts
from controller.replay.baselines.pool_facts import PoolFacts
from controller.replay.baselines.registry import BASELINES
from controller.replay.contest_types import Course, Entrant, Stretch
from controller.replay.production import ProductionPolicy
from controller.replay.simulation_types import Autoscaler, Curve
from controller.replay.workloads import workload_curve
from controller.replay.workloads_economics import economics_of, pool_kind, replica_shape, sizes_on

OURS = "spillway"
DAY_S = 86_400.0
TUNING_DAYS = 3
JUDGED_DAYS = 4  # at most, after those
DAYS_LEAST = 5  # shorter workloads are tuned and judged on all of them, with other requests
BOUND_RATIO = 2  # most replicas, by that size


def entrants() -> Mapping[str, Entrant]:
    """Ours first, then every baseline."""
    ours = Entrant(
        name=OURS,
        knob="start_patience_ratio",
        default=1.0,
        sweep=(0.25, 0.5, 0.75, 1.0, 2.0, 6.0, 24.0),
        gateways=("mode",),
        make=_ours,
    )
    others = {
        name: Entrant(
            name=name,
            knob=baseline.knob,
            default=baseline.default,
            sweep=baseline.sweep,
            gateways=baseline.gateways,
            make=baseline.make,
            scrape_s=baseline.scrape_s,
        )
        for name, baseline in BASELINES.items()
    }
    return MappingProxyType({OURS: ours} | others)


def entrant(name: str) -> Entrant:
    """The policy of that name."""
    found = entrants().get(name)
    if found is None:
        raise SimulationError(f"policy is {name!r}; it must be one of {', '.join(entrants())}")
    return found


def course(workload: str, pool: str, prices: str, replicas: int) -> Course:
    """The workload, of a size that needs so many replicas in its busy moments, cut for tuning and judging."""
    sizes = sizes_on(pool, workload)
    economics = replace(economics_of(pool, prices, *sizes), max_replicas=BOUND_RATIO * replicas)
    shape = replica_shape(pool, *sizes)
    curve = workload_curve(
        workload,
        replicas=replicas,
        replica_requests_per_s=economics.replica_requests_per_s,
        cold_start_s=economics.cold_start_s,
        longest_tokens=pool_kind(pool).engine.max_model_len_tokens,
    )
    tuned_on, judged_on = stretches(replace(curve, rates_per_s=tuple(curve.rates_per_s)))
    return Course(
        workload=workload,
        kind=curve.kind,
        pool=pool,
        prices=prices,
        replicas=replicas,
        facts=fluid_facts(economics, shape, tuned_on.curve, engine=pool_kind(pool).engine),
        shape=shape,
        tuned_on=tuned_on,
        judged_on=judged_on,
    )


def stretches(curve: Curve) -> tuple[Stretch, Stretch]:
    """For tuning and for judging: days 1 to 3 and days 4 to 7, with day 3 to warm up; or twice the whole."""
    if curve.duration_s < DAYS_LEAST * DAY_S:
        return Stretch(curve=curve), Stretch(curve=curve)
    day = math.ceil(DAY_S / curve.slot_s)
    rates = curve.rates_per_s
    judged = replace(curve, rates_per_s=rates[(TUNING_DAYS - 1) * day : (TUNING_DAYS + JUDGED_DAYS) * day])
    return (
        Stretch(curve=replace(curve, rates_per_s=rates[: TUNING_DAYS * day])),
        Stretch(curve=judged, counted_from_s=day * curve.slot_s),
    )


def _ours(known: PoolFacts, start_patience_ratio: float) -> Autoscaler:
    """The controller's own policy, so many times as patient before it starts a replica."""
    return ProductionPolicy(known.economics, name=OURS, start_patience_ratio=start_patience_ratio)
