"""Capacity at the SLO, held by the request-level simulation: at that load, without a valve, 99 % keep TTFT and TPOT."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from controller.autoscale.capacity import request_work
from controller.autoscale.headroom import PromptLoad, replicas_in_time
from controller.core.pools import EngineArgs
from controller.replay.fleet_simulation import FleetRequests, FleetSetup, simulate_fleet
from controller.replay.simulation_types import Seen, Wish
from controller.replay.trace_files import shipped_trace
from controller.replay.trace_files_types import RequestTrace
from controller.replay.workloads_economics import economics_of, pool_kind, sizes_on
from controller.replay.workloads_requests import sampled_sizes

CONV, CODE = "azure_llm_2023_conv.csv.gz", "azure_llm_2023_code.csv.gz"


class _Fixed:
    name = "fixed"
    period_s = 60.0

    def __init__(self, replicas: int) -> None:
        self._replicas = replicas

    def step(self, seen: Seen, now_s: float) -> Wish:
        return Wish(replicas=self._replicas)


def _attained(pool: str, trace: str, *, replicas: int, use_ratio: float, engine: EngineArgs | None = None) -> float:
    """Of two minutes of Poisson arrivals with sizes of that trace, at that share of the pool's capacity."""
    kind = pool_kind(pool)
    sizes = sizes_on(pool, "az23-conv" if trace == CONV else "az23-code-burst")
    economics = economics_of(pool, "frontier", *sizes)
    rate_per_s = use_ratio * replicas * economics.replica_requests_per_s
    rng = np.random.default_rng(7)
    rows = shipped_trace(trace)
    assert isinstance(rows, RequestTrace)
    made = sampled_sizes(np.cumsum(rng.exponential(1 / rate_per_s, round(120 * rate_per_s))), rows, rng)
    requests = FleetRequests(
        arrival_s=made.arrivals_s.tolist(),
        input_tokens=made.input_tokens.tolist(),
        output_tokens=made.output_tokens.tolist(),
    )
    setup = FleetSetup(
        steps=kind.steps,
        engine=engine or kind.engine,
        slo=kind.slo,
        economics=economics,
        gateway="none",
        replicas_at_start=replicas,
    )
    return simulate_fleet(requests, _Fixed(replicas), setup).attained_ratio


@pytest.mark.parametrize(
    ("pool", "trace", "replicas"),
    [("8b-a100", CONV, 4), ("70b-4xa100", CONV, 10), ("70b-4xa100", CODE, 10)],
)
def test_at_capacity_requests_keep_their_slo(pool: str, trace: str, replicas: int) -> None:
    """Nobody is spilled, and 99 % are in time."""
    assert _attained(pool, trace, replicas=replicas, use_ratio=1.0) >= 0.99


@pytest.mark.parametrize(
    ("pool", "trace", "demand"),
    [("8b-a100", CONV, 0.95), ("8b-a100", CODE, 1.9), ("70b-4xa100", CONV, 1.9), ("70b-4xa100", CODE, 3.8)],
)
def test_small_pools_keep_their_slo_at_the_size_that_is_chosen(pool: str, trace: str, demand: float) -> None:
    """Nobody may be spilled: as many as the target says make more than 1 % late, with the headroom less are."""
    kind, least = pool_kind(pool), round(demand / 0.95)
    sizes = sizes_on(pool, "az23-conv" if trace == CONV else "az23-code-burst")
    work = request_work(kind.steps, kind.engine, kind.slo, input_tokens=sizes[0], output_tokens=sizes[1])
    requests_per_s = demand / work.gpu_s
    load = PromptLoad(at_s=0.0, requests_per_s=requests_per_s, busy_replicas=requests_per_s * work.prompt_s)
    replicas = replicas_in_time(load, kind.slo.ttft_p95_s, have=0, least=least, most=20)
    assert _attained(pool, trace, replicas=least, use_ratio=demand / least) < 0.99
    assert _attained(pool, trace, replicas=replicas, use_ratio=demand / replicas) >= 0.99


def test_beyond_capacity_they_do_not() -> None:
    """A fifth more than capacity makes most late: the figure is not far below the truth."""
    assert _attained("8b-a100", CONV, replicas=4, use_ratio=1.2) < 0.5


def test_a_token_budget_beyond_the_slo_makes_short_answers_late() -> None:
    """The same load with vLLM's budget of 2,048: stalls of an eighth of a second between a dozen tokens."""
    engine = replace(pool_kind("8b-a100").engine, max_num_batched_tokens=2048)
    assert _attained("8b-a100", CODE, replicas=4, use_ratio=0.8, engine=engine) < 0.95
