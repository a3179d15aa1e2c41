"""What the controller measured about one pool in one tick: the input of `decide` and `spill_step`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSample:
    """One pool at one instant. A blind tick has no sample at all (`None`), never zeros.

    `saturation_ratio`: worst of queue and KV cache over their limits; >= 1 means full.
    `demand_replicas`: work offered to the pool (served here + spilled away) in units of one replica at its SLO
    capacity, averaged over the observation window.
    """

    at_s: float
    replicas_ready: int
    replicas_warming: int
    replicas_draining: int
    running: int
    waiting: int
    kv_cache_usage_ratio: float
    saturation_ratio: float
    arrivals_per_s: float
    spilled_per_s: float
    demand_replicas: float
    ttft_p95_s: float | None = None
