"""A pool as its controller sees it."""

from __future__ import annotations

from controller.core.samples import PoolSample


def sample(
    demand: float, *, at_s: float = 0.0, ready: int = 1, warming: int = 0, saturation: float = 0.2
) -> PoolSample:
    """A pool under this demand."""
    return PoolSample(
        at_s=at_s,
        replicas_ready=ready,
        replicas_warming=warming,
        replicas_draining=0,
        running=1,
        waiting=0,
        kv_cache_usage_ratio=0.1,
        saturation_ratio=saturation,
        arrivals_per_s=demand,
        spilled_per_s=0.0,
        demand_replicas=demand,
    )
