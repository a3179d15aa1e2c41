"""The time of one whole control decision: `decide` and `spill_step` once for each of 200 pools."""

from __future__ import annotations

import time

from controller.autoscale.decide import ScaleState, decide
from controller.core.pools import ScalePolicy, SpillPolicy
from controller.core.samples import PoolSample
from controller.routing.spill import SpillState, spill_step

POOLS = 200
ROUNDS = 50


def _sample(pool: int, at_s: float) -> PoolSample:
    load = (pool * 37 + int(at_s) * 11) % 100 / 50  # 0..2 times what is ready, another for each pool and tick
    return PoolSample(
        at_s=at_s, replicas_ready=2, replicas_warming=pool % 2, replicas_draining=0, running=int(64 * load),
        waiting=int(40 * max(0.0, load - 1)), kv_cache_usage_ratio=min(1.0, load / 2), saturation_ratio=load,
        arrivals_per_s=5 * load, spilled_per_s=max(0.0, load - 1), demand_replicas=2 * load, ttft_p95_s=load,
    )  # fmt: skip


def decisions_ms() -> float:
    """Milliseconds of the median tick over 200 pools under changing load."""
    scale_policy, spill_policy = ScalePolicy(max_replicas=8), SpillPolicy(to=("gpt-4o-mini",))
    scales, spills = [ScaleState()] * POOLS, [SpillState()] * POOLS
    took_s = []
    for tick in range(ROUNDS):
        now_s = 1_000.0 + tick
        samples = [_sample(pool, now_s) for pool in range(POOLS)]
        started_s = time.perf_counter()
        for pool, sample in enumerate(samples):
            _, scales[pool] = decide(sample, scales[pool], scale_policy, replicas_now=2, now_s=now_s)
            _, spills[pool] = spill_step(sample, spills[pool], spill_policy, now_s=now_s)
        took_s.append(time.perf_counter() - started_s)
    return sorted(took_s)[ROUNDS // 2] * 1000
