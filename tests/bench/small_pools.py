"""Pools that may not spill, request by request: `python -m tests.bench.small_pools [--seeds N]`.

Poisson arrivals, sizes of Azure 2023, no valve. What is attained at the target utilisation alone; and how many replicas
the headroom of small pools (`autoscale/headroom.py`) makes of that, and what they attain then. Last the largest demand
for which the pool is left as small as it is: the hardest that it is given.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from math import ceil
from statistics import fmean

import numpy as np
from rich.console import Console
from rich.table import Table

from controller.autoscale.capacity import RequestWork, request_work
from controller.autoscale.headroom import PromptLoad, replicas_in_time
from controller.core.pools import EngineArgs, ScalePolicy
from controller.replay.baselines.fixed import Fixed
from controller.replay.fleet_simulation import FleetRequests, FleetSetup, simulate_fleet
from controller.replay.trace_files import shipped_trace
from controller.replay.trace_files_types import RequestTrace
from controller.replay.workloads_economics import PoolKind, economics_of, pool_kind, sizes_on
from controller.replay.workloads_requests import sampled_sizes

POOLS = ("8b-a100", "70b-4xa100")
LOADS = {"az23-conv": "azure_llm_2023_conv.csv.gz", "az23-code-burst": "azure_llm_2023_code.csv.gz"}
SIZES = (1, 2, 4, 8, 20)
SPAN_S, REQUESTS_LEAST = 300.0, 6_000
TARGET_RATIO = ScalePolicy().target_utilization_ratio
HALVINGS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """The requests of one workload on one pool."""

    pool: str
    workload: str
    kind: PoolKind
    work: RequestWork

    @classmethod
    def of(cls, pool: str, workload: str) -> Load:
        """With what a request costs."""
        kind, (input_tokens, output_tokens) = pool_kind(pool), sizes_on(pool, workload)
        work = request_work(kind.steps, kind.engine, kind.slo, input_tokens=input_tokens, output_tokens=output_tokens)
        return cls(pool=pool, workload=workload, kind=kind, work=work)

    def replicas(self, demand: float) -> int:
        """What this demand gets."""
        requests_per_s = demand / self.work.gpu_s
        load = PromptLoad(at_s=0.0, requests_per_s=requests_per_s, busy_replicas=requests_per_s * self.work.prompt_s)
        return replicas_in_time(
            load, self.kind.slo.ttft_p95_s, have=0, least=ceil(demand / TARGET_RATIO - 1e-9), most=1_000
        )

    def most(self, replicas: int) -> float:
        """The largest demand for which the pool is no larger than this."""
        low, high = 0.0, float(replicas)
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            low, high = (middle, high) if self.replicas(middle) <= replicas else (low, middle)
        return low

    def attained(self, replicas: int, demand: float, seeds: int) -> list[float]:
        """The share within TTFT and TPOT, by seed."""
        return [self._attained(replicas, demand / self.work.gpu_s, seed) for seed in range(seeds)]

    def _attained(self, replicas: int, requests_per_s: float, seed: int) -> float:
        count = max(REQUESTS_LEAST, round(SPAN_S * requests_per_s))
        return attained_ratio(
            self.pool, self.workload, replicas=replicas, requests_per_s=requests_per_s, count=count, seed=seed
        )


def attained_ratio(
    pool: str,
    workload: str,
    *,
    replicas: int,
    requests_per_s: float,
    count: int,
    seed: int,
    engine: EngineArgs | None = None,
) -> float:
    """The share within TTFT and TPOT of so many Poisson arrivals, without a valve; `engine`: other than the pool's."""
    kind, rng, rows = pool_kind(pool), np.random.default_rng(seed), shipped_trace(LOADS[workload])
    assert isinstance(rows, RequestTrace)
    made = sampled_sizes(np.cumsum(rng.exponential(1.0 / requests_per_s, count)), rows, rng)
    requests = FleetRequests(
        arrival_s=made.arrivals_s.tolist(),
        input_tokens=made.input_tokens.tolist(),
        output_tokens=made.output_tokens.tolist(),
    )
    setup = FleetSetup(
        steps=kind.steps,
        engine=engine or kind.engine,
        slo=kind.slo,
        economics=economics_of(pool, "frontier", *sizes_on(pool, workload)),
        gateway="none",
        replicas_at_start=replicas,
    )
    return simulate_fleet(requests, Fixed("fixed", replicas), setup).attained_ratio


def main() -> None:
    """One row for each pool, workload and size."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=3)
    seeds = parser.parse_args().seeds
    table = Table(
        "pool, sizes", "replicas", "demand", "attained", "then", "attained", "largest use", "attained, worst seed"
    )
    for pool in POOLS:
        for workload in LOADS:
            load = Load.of(pool, workload)
            for replicas in SIZES:
                demand, most = TARGET_RATIO * replicas, load.most(replicas)
                then = load.replicas(demand)
                hardest = load.attained(replicas, most, seeds)
                table.add_row(
                    f"{pool}, {workload}",
                    f"{replicas}",
                    f"{demand:.2f}",
                    f"{fmean(load.attained(replicas, demand, seeds)):.2%}",
                    f"{then}",
                    f"{fmean(load.attained(then, demand, seeds)):.2%}",
                    f"{most / replicas:.2f}",
                    f"{fmean(hardest):.2%}, {min(hardest):.2%}",
                )
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
