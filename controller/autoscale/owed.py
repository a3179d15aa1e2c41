"""Decides with what was wished before and could not be had: such replicas are owed, and not asked for again and again.

Called by the control loop and by the simulation of pools that share nodes. While a replica is owed its level counts as
switched on, so that it is had as soon as it can be, unless demand has fallen and it does not pay any more.
"""

from __future__ import annotations

from dataclasses import replace

from controller.autoscale.decide import ScaleDecision, ScaleState, decide
from controller.autoscale.prices import Prices
from controller.core.pools import ScalePolicy
from controller.core.samples import PoolSample


def decide_owed(
    sample: PoolSample | None,
    state: ScaleState,
    policy: ScalePolicy,
    *,
    replicas_now: int,
    pin_replicas: int | None = None,
    prices: Prices | None = None,
    now_s: float,
) -> tuple[ScaleDecision, ScaleState]:
    """`decide`, with the replicas that are owed counted among those that warm up."""
    owed = max(0, (state.replicas or 0) - replicas_now)
    if sample is not None and owed:
        sample = replace(sample, replicas_warming=sample.replicas_warming + owed)
    return decide(
        sample,
        state,
        policy,
        replicas_now=replicas_now + owed,
        pin_replicas=pin_replicas,
        prices=prices,
        now_s=now_s,
    )
