"""Capacity at the SLO, held by the request-level simulation: at that load, without a valve, 99 % keep TTFT and TPOT."""

from __future__ import annotations

from dataclasses import replace

import pytest

from controller.core.pools import EngineArgs
from controller.replay.workloads_economics import economics_of, pool_kind, sizes_on
from tests.bench.small_pools import Load, attained_ratio

CONV, CODE = "az23-conv", "az23-code-burst"


def _attained(pool: str, workload: str, *, replicas: int, use_ratio: float, engine: EngineArgs | None = None) -> float:
    """Of two minutes of Poisson arrivals with sizes of that workload, at that share of the pool's capacity."""
    rate_per_s = use_ratio * replicas * economics_of(pool, "frontier", *sizes_on(pool, workload)).replica_requests_per_s
    count = round(120 * rate_per_s)
    return attained_ratio(
        pool, workload, replicas=replicas, requests_per_s=rate_per_s, count=count, seed=7, engine=engine
    )


@pytest.mark.parametrize(
    ("pool", "workload", "replicas"),
    [("8b-a100", CONV, 4), ("70b-4xa100", CONV, 10), ("70b-4xa100", CODE, 10)],
)
def test_at_capacity_requests_keep_their_slo(pool: str, workload: str, replicas: int) -> None:
    """Nobody is spilled, and 99 % are in time."""
    assert _attained(pool, workload, replicas=replicas, use_ratio=1.0) >= 0.99


@pytest.mark.parametrize(
    ("pool", "workload", "demand"),
    [("8b-a100", CONV, 0.95), ("8b-a100", CODE, 1.9), ("70b-4xa100", CONV, 1.9), ("70b-4xa100", CODE, 3.8)],
)
def test_small_pools_keep_their_slo_at_the_size_that_is_chosen(pool: str, workload: str, demand: float) -> None:
    """Nobody may be spilled: as many as the target says make more than 1 % late, with the headroom less are."""
    least, replicas = round(demand / 0.95), Load.of(pool, workload).replicas(demand)
    assert _attained(pool, workload, replicas=least, use_ratio=demand / least) < 0.99
    assert _attained(pool, workload, replicas=replicas, use_ratio=demand / replicas) >= 0.99


def test_beyond_capacity_they_do_not() -> None:
    """A fifth more than capacity makes most late: the figure is not far below the truth."""
    assert _attained("8b-a100", CONV, replicas=4, use_ratio=1.2) < 0.5


def test_a_token_budget_beyond_the_slo_makes_short_answers_late() -> None:
    """The same load with vLLM's budget of 2,048: stalls of an eighth of a second between a dozen tokens."""
    engine = replace(pool_kind("8b-a100").engine, max_num_batched_tokens=2048)
    assert _attained("8b-a100", CODE, replicas=4, use_ratio=0.8, engine=engine) < 0.95
