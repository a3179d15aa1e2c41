"""The clairvoyant optimum of pools that are not alone: mixed GPUs, shared nodes, provider limits, a spill budget.

What `oracle` solves level by level is here one mixed-integer program per window of a day: replicas of every kind, their
starts, what each provider takes. Starting replicas hold their GPUs already. Called by the policy benchmark; on a single
pool without limits it agrees with `oracle`, which is how both are tested.
"""

from __future__ import annotations

import math

import numpy as np

from controller.core.errors import SimulationError
from controller.replay.oracle_lp_types import DAY_S, Mix, MixedOptimum
from controller.replay.oracle_lp_windows import KindPlan, solve_windows

OVERLAP_S = 6 * 3600.0


def optimum_mixed(
    mix: Mix, *, window_s: float = DAY_S, overlap_s: float = OVERLAP_S, gap_ratio: float = 1e-4
) -> MixedOptimum:
    """The least cost of this mix by one who knows all demand, to within `gap_ratio`, and a schedule that has it.

    Demand longer than a window is solved in windows that overlap; what that loses is small where `overlap_s` is several
    cold starts. What no limit leaves room for is unserved. A week of one-minute slots of one pool takes half a minute.
    """
    if not (window_s >= mix.slot_s and overlap_s >= 0):
        raise SimulationError(f"window_s is {window_s:g} and overlap_s {overlap_s:g}; they must be >= slot_s and >= 0")
    plans = [KindPlan(workload.name, kind, mix.slot_s) for workload in mix.workloads for kind in workload.kinds]
    lead_slots = max((plan.lead_slots for plan in plans), default=0)
    window_slots = mix.slots if math.isinf(window_s) else max(1, round(window_s / mix.slot_s), lead_slots)
    overlap_slots = max(lead_slots, math.ceil(min(overlap_s, mix.slots * mix.slot_s) / mix.slot_s))
    pieces = list(solve_windows(mix, plans, window_slots, overlap_slots, gap_ratio))
    spilled = {key: np.concatenate([piece.spilled[key] for piece in pieces]) for key in pieces[0].spilled}
    prices = {workload.name: workload.provider_usd_per_request for workload in mix.workloads}
    return MixedOptimum(
        running_usd=sum(_running_usd(plan) for plan in plans),
        start_usd=sum(_start_usd(plan) for plan in plans),
        spill_usd=sum(float(rates.sum()) * mix.slot_s * prices[name][who] for (name, who), rates in spilled.items()),
        bound_usd=pieces[0].bound_usd if len(pieces) == 1 else None,
        unserved=sum(float(piece.left_per_s.sum()) for piece in pieces) * mix.slot_s,
        replicas={(plan.workload, plan.kind.name): np.asarray(plan.replicas, dtype=np.int64) for plan in plans},
        spilled_per_s=spilled,
    )


def _running_usd(plan: KindPlan) -> float:
    """Every slot that a replica serves, and at the end what is left of its minimum."""
    owed = int((plan.starts() * plan.unpaid_slots(len(plan.replicas))).sum())
    return (sum(plan.replicas) + owed) * plan.slot_s * plan.kind.economics.replica_usd_per_s


def _start_usd(plan: KindPlan) -> float:
    economics = plan.kind.economics
    return int(plan.starts().sum()) * economics.cold_start_s * economics.replica_usd_per_s
