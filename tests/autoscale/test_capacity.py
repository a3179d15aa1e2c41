"""Capacity of one replica: against hand-computed figures and the properties any capacity model must have."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.autoscale.capacity import (
    KV_USABLE_RATIO,
    batch_at_slo,
    demand_replicas,
    gpu_seconds_per_request,
    prefill_s,
)
from controller.catalogue.load import step_times
from controller.core.models import StepTimes
from controller.core.pools import EngineArgs, Slo

FLAT = StepTimes(
    alpha_ms=20.0,
    beta_ms_per_seq=1.0,
    gamma_ms_per_1k_context=0.0,
    correction=1.0,
    p0_ms=5.0,
    p1_ms_per_1k=100.0,
    p2_ms_per_1k_sq=0.0,
    kv_cache_tokens=100_000,
)
ENGINE = EngineArgs(max_num_seqs=64, max_num_batched_tokens=2048)
SLO = Slo(ttft_p95_s=1.0, tpot_p95_s=0.05)
SIZES = st.tuples(st.integers(1, 8000), st.integers(1, 2000))


def test_prompts_are_computed_in_chunks_of_the_token_budget() -> None:
    """A quadratic term counts within each chunk only."""
    steps = StepTimes(
        alpha_ms=0,
        beta_ms_per_seq=0,
        gamma_ms_per_1k_context=0,
        correction=1,
        p0_ms=5,
        p1_ms_per_1k=100,
        p2_ms_per_1k_sq=10,
        kv_cache_tokens=1,
    )
    engine = EngineArgs(max_num_batched_tokens=1000)
    assert prefill_s(steps, engine, 500) == pytest.approx(0.0525)
    assert prefill_s(steps, engine, 2500) == pytest.approx(0.110 * 2 + 0.0525)
    assert prefill_s(steps, engine, 0) == 0.0


def test_batch_and_cost_by_hand() -> None:
    """1,000 in, 100 out: TPOT(B) = 20 + B + B * 100/100 ms <= 50 ms gives B = 15, and 0.1 + 100 * 0.035/15 s."""
    assert batch_at_slo(FLAT, ENGINE, SLO, 1000, 100) == 15
    cost_s = gpu_seconds_per_request(FLAT, ENGINE, SLO, input_tokens=1000, output_tokens=100)
    assert cost_s == pytest.approx(0.1 + 100 * 0.035 / 15)
    demand = demand_replicas(FLAT, ENGINE, SLO, requests_per_s=3.0, input_tokens=1000, output_tokens=100)
    assert demand == pytest.approx(3.0 * cost_s)


def test_no_demand_needs_no_replica() -> None:
    """Zero requests, zero replicas."""
    assert demand_replicas(FLAT, ENGINE, SLO, requests_per_s=0.0, input_tokens=0, output_tokens=0) == 0.0


@given(SIZES)
def test_the_batch_is_the_largest_within_every_limit(size: tuple[int, int]) -> None:
    """The chosen batch keeps TPOT, slots and KV cache; one more breaks one of them. One is always allowed."""
    tokens_in, tokens_out = size
    context = tokens_in + tokens_out / 2

    def fits(batch: int) -> bool:
        tpot_s = FLAT.step_s(batch, round(batch * context), 0)
        tpot_s += batch * prefill_s(FLAT, ENGINE, tokens_in) / tokens_out
        within_kv = batch * context <= KV_USABLE_RATIO * FLAT.kv_cache_tokens
        return tpot_s <= SLO.tpot_p95_s and within_kv and batch <= ENGINE.max_num_seqs

    batch = batch_at_slo(FLAT, ENGINE, SLO, tokens_in, tokens_out)
    assert batch == 1 or fits(batch)
    assert not fits(batch + 1)


@given(SIZES, SIZES)
def test_more_tokens_cost_more(one: tuple[int, int], other: tuple[int, int]) -> None:
    """A request that is larger in both directions never costs less."""
    small, large = tuple(map(min, zip(one, other, strict=True))), tuple(map(max, zip(one, other, strict=True)))
    costs = [
        gpu_seconds_per_request(FLAT, ENGINE, SLO, input_tokens=tokens_in, output_tokens=tokens_out)
        for tokens_in, tokens_out in (small, large)
    ]
    assert costs[0] <= costs[1] * 1.000001


def test_the_published_capacities_come_out() -> None:
    """8B on A100-80 within 50 ms: 8.5 requests/s of 1155/211 tokens, 15 of 512/256 (study: +-20 %)."""
    steps = step_times("llama-8b-self", "a100-80", 1, "bf16")
    engine = EngineArgs(max_num_seqs=256, max_num_batched_tokens=8192)
    for tokens_in, tokens_out, requests_per_s in ((1155, 211, 8.5), (512, 256, 15.0)):
        cost_s = gpu_seconds_per_request(steps, engine, SLO, input_tokens=tokens_in, output_tokens=tokens_out)
        assert 1 / cost_s == pytest.approx(requests_per_s, rel=0.2)
