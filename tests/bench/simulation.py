"""How long the request-level simulation takes for one day of twenty replicas; `python -m tests.bench.simulation`."""

from __future__ import annotations

import argparse
import resource
import time

import numpy as np

from controller.core.models import StepTimes
from controller.core.pools import EngineArgs, Slo
from controller.replay.fleet_simulation import FleetRequests, FleetSetup, simulate_fleet
from controller.replay.fleet_simulation_providers import ExternalProvider
from controller.replay.simulation_types import Economics, Seen, Wish

DAY_S = 86_400.0
REPLICAS = 20


class _Hot:
    """Follows demand between half and all of the replicas, so that some come and go."""

    name = "hot"
    period_s = 15.0

    def step(self, seen: Seen, now_s: float) -> Wish:
        return Wish(replicas=max(REPLICAS // 2, min(REPLICAS, 1 + round(seen.demand_replicas))))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=1_000_000)
    count = parser.parse_args().requests
    rng = np.random.default_rng(1)
    steps = StepTimes(  # Llama 3.1 70B on four A100: replicas that a million requests a day keep half busy
        alpha_ms=27.87,
        beta_ms_per_seq=0.1006,
        gamma_ms_per_1k_context=0.0601,
        correction=0.81,
        p0_ms=20.194,
        p1_ms_per_1k=150.947,
        p2_ms_per_1k_sq=1.545,
        kv_cache_tokens=460_000,
    )
    requests = FleetRequests(
        arrival_s=np.sort(DAY_S * rng.beta(2.0, 2.0, count)).tolist(),
        input_tokens=np.clip(rng.exponential(1155, count), 1, 6000).astype(int).tolist(),
        output_tokens=np.clip(rng.exponential(211, count), 1, 2000).astype(int).tolist(),
    )
    setup = FleetSetup(
        steps=steps,
        engine=EngineArgs(tensor_parallel=4, max_num_seqs=256),
        slo=Slo(ttft_p95_s=2.0, tpot_p95_s=0.1),
        economics=Economics(
            replica_usd_per_s=13.72 / 3600,
            spill_usd_per_request=0.005,
            replica_requests_per_s=max(1.0, 1.5 * count / DAY_S / REPLICAS),
            cold_start_s=480.0,
        ),
        providers=(ExternalProvider(name="external", input_usd_per_mtok=2.5, output_usd_per_mtok=10.0),),
        replicas_at_start=REPLICAS,
    )
    started_s = time.process_time()
    outcome = simulate_fleet(requests, _Hot(), setup, workload="one day")
    cpu_s = time.process_time() - started_s
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{count:,} requests, {DAY_S / 3600:.0f} h, {outcome.peak_replicas} replicas at most, {outcome.policy} policy"
    )
    print(f"CPU {cpu_s:.1f} s ({1e6 * cpu_s / count:.0f} us a request), peak memory {peak_mib:.0f} MiB")
    print(f"attained {outcome.attained_ratio:.2%}, spilled {outcome.spilled / outcome.offered:.2%}, ${outcome.usd:.0f}")


if __name__ == "__main__":
    main()
