"""A controller that runs for years remembers no more than one that runs for an hour."""

from __future__ import annotations

import gc
import pickle
import random
import tracemalloc

import pytest

from controller.autoscale.decide import ScaleState, decide
from controller.autoscale.prices import Prices
from controller.core.pools import ScalePolicy, SpillPolicy
from controller.core.samples import PoolSample
from controller.routing.spill import SpillState, spill_step

TICKS = 10_000
TRACED = 1_000  # of them at the end: tracing is slow
GROWTH_BYTES = 4_000  # a level more that is remembered in every ledger

LIMITED = Prices(replica_usd_per_s=0.001, spill_usd_per_replica_s=0.003, cold_start_s=60.0, spill_limit_replicas=2.0)


def sample(at_s: float, chance: random.Random, replicas: int) -> PoolSample | None:
    """A pool that is now idle, now flooded, now blind."""
    demand = chance.choice((0.0, 0.5, 3.0, 8.0)) * chance.random()
    if chance.random() < 0.05:
        return None
    load = demand / max(1, replicas)
    return PoolSample(
        at_s=at_s, replicas_ready=replicas, replicas_warming=0, replicas_draining=0, running=int(64 * load),
        waiting=int(40 * max(0.0, load - 1)), kv_cache_usage_ratio=min(1.0, load / 2), saturation_ratio=load,
        arrivals_per_s=5 * demand, spilled_per_s=5 * max(0.0, demand - replicas), demand_replicas=demand,
        ttft_p95_s=load,
    )  # fmt: skip


class Pool:
    """One pool that is decided about, tick by tick."""

    def __init__(self, prices: Prices | None) -> None:
        self.prices = prices
        self.chance = random.Random(1)
        self.scale, self.spill = ScaleState(), SpillState()
        self.now_s, self.replicas = 1_000.0, 2

    def live(self, ticks: int) -> None:
        """So many ticks."""
        policy, spill_policy = ScalePolicy(max_replicas=8), SpillPolicy(to=("gpt-4o-mini",))
        for _ in range(ticks):
            self.now_s += 1.0
            seen = sample(self.now_s, self.chance, self.replicas)
            decision, self.scale = decide(
                seen, self.scale, policy, replicas_now=self.replicas, prices=self.prices, now_s=self.now_s
            )
            _, self.spill = spill_step(seen, self.spill, spill_policy, now_s=self.now_s)
            self.replicas = decision.replicas

    def held_bytes(self) -> int:
        """What its state takes, written down."""
        return len(pickle.dumps((self.scale, self.spill)))


@pytest.mark.parametrize("prices", [LIMITED, None], ids=["market", "target"])
def test_state_does_not_grow_with_time(prices: Prices | None) -> None:
    """Ten thousand ticks under any load leave no more behind than a thousand, in the state or beside it."""
    pool = Pool(prices)
    sizes = []
    for _ in range(10):
        pool.live((TICKS - TRACED) // 10)
        sizes.append(pool.held_bytes())
    assert max(sizes[5:]) <= 2 * max(sizes[:5])
    tracemalloc.start()
    try:
        pool.live(TRACED // 2)
        gc.collect()
        held_bytes = tracemalloc.get_traced_memory()[0]
        pool.live(TRACED // 2)
        gc.collect()
        grown_bytes = tracemalloc.get_traced_memory()[0] - held_bytes
    finally:
        tracemalloc.stop()
    assert grown_bytes < GROWTH_BYTES
