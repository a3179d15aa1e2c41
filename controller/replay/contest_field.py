"""The field of the contest: the pools with their prices, the policies that enter, and courses made from demand curves.

Called by `spillway bench policy` and `spillway simulate`. Pools: list prices of April 2026, capacity at the SLO from
measured step times (small: TPOT 50 ms, large: 100 ms; 1,155 input and 211 output tokens).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from controller.core.errors import SimulationError
from controller.replay.baselines.fluid_facts import fluid_facts
from controller.replay.baselines.pool_facts import PoolFacts
from controller.replay.baselines.registry import BASELINES
from controller.replay.contest_types import Course, Entrant, Stretch
from controller.replay.fluid_pool import ReplicaShape
from controller.replay.production import ProductionPolicy
from controller.replay.simulation_types import Autoscaler, Curve, Economics
from controller.replay.workloads_curves import scaled_to

OURS = "spillway"
DAY_S = 86_400.0
TUNING_DAYS = 3
JUDGED_DAYS = 4  # at most, after those
DAYS_LEAST = 5  # shorter workloads are tuned and judged on all of them, with other requests
BOUND_RATIO = 2  # most replicas, by that size


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolKind:
    """One model on one GPU shape, with what its work costs at a provider."""

    economics: Economics
    shape: ReplicaShape


POOLS: Mapping[str, PoolKind] = MappingProxyType(
    {
        "8b": PoolKind(
            economics=Economics(
                replica_usd_per_s=3.43 / 3600,  # one A100-80
                spill_usd_per_request=0.30e-3,  # gpt-4o-mini
                replica_requests_per_s=7.2,
                cold_start_s=240.0,
            ),
            shape=ReplicaShape(),
        ),
        "70b": PoolKind(
            economics=Economics(
                replica_usd_per_s=13.72 / 3600,  # four A100-80
                spill_usd_per_request=5.00e-3,  # gpt-4o
                replica_requests_per_s=2.9,
                cold_start_s=480.0,
            ),
            shape=ReplicaShape(ttft_idle_s=0.4, tpot_at_slo_s=0.1, tpot_idle_s=0.0226),
        ),
    }
)


def entrants() -> Mapping[str, Entrant]:
    """Ours first, then every baseline."""
    ours = Entrant(
        name=OURS,
        knob="spill_price_factor",
        default=1.0,
        sweep=(0.5, 0.7, 0.85, 1.0, 1.2, 1.5, 2.0),
        gateways=("valve",),
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


def pool_kind(name: str) -> PoolKind:
    """The pool of that name."""
    found = POOLS.get(name)
    if found is None:
        raise SimulationError(f"pool is {name!r}; it must be one of {', '.join(POOLS)}")
    return found


def course(curve: Curve, pool: str, replicas: int) -> Course:
    """The curve scaled so that the pool needs so many replicas in its busy moments, and cut for tuning and judging."""
    kind = pool_kind(pool)
    economics = replace(kind.economics, max_replicas=BOUND_RATIO * replicas)
    scaled = scaled_to(curve, replicas * economics.replica_requests_per_s)
    tuned_on, judged_on = stretches(replace(scaled, rates_per_s=tuple(scaled.rates_per_s)))
    return Course(
        workload=curve.name,
        kind=curve.kind,
        pool=pool,
        replicas=replicas,
        facts=fluid_facts(economics, kind.shape, tuned_on.curve),
        shape=kind.shape,
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


def _ours(known: PoolFacts, spill_price_factor: float) -> Autoscaler:
    """The controller's own policy, told spill prices that are so many times the true ones."""
    true = known.economics
    told = replace(true, spill_usd_per_request=true.spill_usd_per_request * spill_price_factor)
    return ProductionPolicy(told, name=OURS)
