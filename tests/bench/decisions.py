"""Control decisions: `decide` and `spill_step` once for each of 200 pools, and what a pool remembers after a million.

`python -m tests.bench.decisions [--ticks N]` prints both.
"""

from __future__ import annotations

import argparse
import gc
import pickle
import resource
import time

from rich.console import Console
from rich.table import Table

from controller.autoscale.decide import ScaleState, decide
from controller.autoscale.prices import Prices
from controller.core.pools import ScalePolicy, SpillPolicy
from controller.core.samples import PoolSample
from controller.routing.spill import SpillState, spill_step

POOLS = 200
ROUNDS = 50
SIZES = (2, 20)  # replicas of each pool
SCALE = ScalePolicy(max_replicas=80)
SPILL = SpillPolicy(to=("gpt-4o-mini",))
WAYS = {
    "by target": None,  # nobody to buy from
    "by market": Prices(replica_usd_per_s=0.001, spill_usd_per_replica_s=0.003, cold_start_s=240.0),
    "by market, providers limited": Prices(
        replica_usd_per_s=0.001, spill_usd_per_replica_s=0.003, cold_start_s=240.0, spill_limit_replicas=1.0
    ),
}


def _sample(pool: int, at_s: float, replicas: int = SIZES[0]) -> PoolSample:
    load = (pool * 37 + int(at_s) * 11) % 100 / 50  # 0..2 times what is ready, another for each pool and tick
    return PoolSample(
        at_s=at_s, replicas_ready=replicas, replicas_warming=pool % 2, replicas_draining=0, running=int(64 * load),
        waiting=int(40 * max(0.0, load - 1)), kv_cache_usage_ratio=min(1.0, load / 2), saturation_ratio=load,
        arrivals_per_s=5 * load, spilled_per_s=max(0.0, load - 1), demand_replicas=replicas * load, ttft_p95_s=load,
    )  # fmt: skip


def decisions_ms(prices: Prices | None = WAYS["by market"], replicas: int = SIZES[0]) -> float:
    """Milliseconds of CPU of the median tick over 200 pools under changing load."""
    scales, spills = [ScaleState()] * POOLS, [SpillState()] * POOLS
    took_s = []
    for tick in range(ROUNDS):
        now_s = 1_000.0 + tick
        samples = [_sample(pool, now_s, replicas) for pool in range(POOLS)]
        started_s = time.process_time()
        for pool, sample in enumerate(samples):
            _, scales[pool] = decide(sample, scales[pool], SCALE, replicas_now=replicas, prices=prices, now_s=now_s)
            _, spills[pool] = spill_step(sample, spills[pool], SPILL, now_s=now_s)
        took_s.append(time.process_time() - started_s)
    return sorted(took_s)[ROUNDS // 2] * 1000


def memory_table(prices: Prices | None, ticks: int) -> Table:
    """What one pool's state and the process hold after a thousand ticks, ten thousand, and so on up to so many."""
    table = Table(title="Memory of one pool's decisions")
    for column in ("ticks", "state, bytes", "objects", "process, MiB"):
        table.add_column(column, justify="right")
    scale, spill, replicas, shown = ScaleState(), SpillState(), 2, 1_000
    for tick in range(1, ticks + 1):
        now_s = 1_000.0 + tick
        sample = _sample(tick // 100, now_s)
        decision, scale = decide(sample, scale, SCALE, replicas_now=replicas, prices=prices, now_s=now_s)
        _, spill = spill_step(sample, spill, SPILL, now_s=now_s)
        replicas = decision.replicas
        if tick in (shown, ticks):
            shown *= 10
            gc.collect()
            peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            size = len(pickle.dumps((scale, spill)))
            table.add_row(f"{tick:,}", f"{size:,}", f"{len(gc.get_objects()):,}", f"{peak_mib:.1f}")
    return table


def main() -> None:
    """Both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ticks", type=int, default=1_000_000)
    ticks = parser.parse_args().ticks
    console = Console()
    table = Table(title=f"decide + spill_step, {POOLS} pools, CPU of the median of {ROUNDS} ticks (to reach: 50 ms)")
    table.add_column("how replicas are decided")
    for size in SIZES:
        table.add_column(f"{size} replicas, ms", justify="right")
    for name, prices in WAYS.items():
        table.add_row(name, *(f"{decisions_ms(prices, size):.1f}" for size in SIZES))
    console.print(table)
    console.print(memory_table(WAYS["by market, providers limited"], ticks))


if __name__ == "__main__":
    main()
