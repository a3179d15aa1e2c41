"""Replicas that were wished before and could not be had: they are owed, and not asked for again and again.

Called before `decide` by the control loop and by the simulation of pools that share nodes. While a replica is owed its
level counts as switched on, so that it is had as soon as it can be, unless demand has fallen and it does not pay.
"""

from __future__ import annotations

from dataclasses import replace

from controller.autoscale.decide import ScaleState
from controller.core.samples import PoolSample


def with_owed(sample: PoolSample | None, state: ScaleState, replicas_now: int) -> tuple[PoolSample | None, int]:
    """The sample and the count of replicas with those that are owed among the ones that warm up."""
    owed = max(0, (state.replicas or 0) - replicas_now)
    if sample is not None and owed:
        sample = replace(sample, replicas_warming=sample.replicas_warming + owed)
    return sample, replicas_now + owed
