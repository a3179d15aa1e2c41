"""Capacity of one replica: against hand-computed figures and the properties any capacity model must have."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.autoscale.capacity import (
    KV_USABLE_RATIO,
    batch_at_slo,
    demand_replicas,
    gpu_seconds_per_request,
    misses,
    prefill_s,
    token_budget_at_slo,
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
    """1,000 in, 100 out: TPOT(B) = 20 + B + B * 100/100 ms <= 50 ms gives B = 15; at 0.9 of its rate B is 11.7."""
    engine, slo = EngineArgs(max_num_seqs=64, max_num_batched_tokens=176), Slo(ttft_p95_s=4.0, tpot_p95_s=0.05)
    assert batch_at_slo(FLAT, engine, slo, 1000, 100) == pytest.approx(0.9 * 15 * 20 / 23)
    cost_s = gpu_seconds_per_request(FLAT, engine, slo, input_tokens=1000, output_tokens=100)
    assert cost_s == pytest.approx(100 * 0.050 / 15 / 0.9)
    demand = demand_replicas(FLAT, engine, slo, requests_per_s=3.0, input_tokens=1000, output_tokens=100)
    assert demand == pytest.approx(3.0 * cost_s)


@pytest.mark.parametrize(
    ("changes", "slo", "most"),
    [
        pytest.param({"max_num_seqs": 4}, SLO, 4, id="slots"),
        pytest.param({"max_num_batched_tokens": 110}, SLO, 110 / 11, id="prompts that fit the budget"),
        pytest.param({}, Slo(ttft_p95_s=9.0, tpot_p95_s=0.019), 1, id="not even one"),
        pytest.param({}, Slo(ttft_p95_s=0.2, tpot_p95_s=0.05), 3, id="prompts wait for prompts"),
    ],
)
def test_every_limit_holds(changes: dict[str, int], slo: Slo, most: float) -> None:
    """Slots, token budget, TPOT and TTFT each bound the batch of requests of 1,000 and 100 tokens."""
    engine = replace(EngineArgs(max_num_seqs=64, max_num_batched_tokens=176), **changes)  # type: ignore[arg-type]
    assert 1 <= batch_at_slo(FLAT, engine, slo, 1000, 100) <= most


def test_steps_without_cost_leave_slots_and_memory_as_limits() -> None:
    """Nothing slows down: the slots are full."""
    free = replace(FLAT, alpha_ms=0.0, beta_ms_per_seq=0.0, p1_ms_per_1k=0.0)
    assert batch_at_slo(free, EngineArgs(max_num_seqs=8), SLO, 1, 1) == 8


def test_a_long_step_makes_short_answers_late_and_spares_long_ones() -> None:
    """A step with a full budget of 2,048 takes five times the TPOT: an answer of few tokens cannot even that out."""
    wide, fit = (EngineArgs(max_num_seqs=64, max_num_batched_tokens=tokens) for tokens in (2048, 176))
    slow, long, none = (
        misses(FLAT, engine, Slo(ttft_p95_s=9.0, tpot_p95_s=0.05), 0.5, input_tokens=1000, output_tokens=output)
        for engine, output in ((wide, 10), (wide, 1000), (fit, 10))
    )
    assert slow > 3 * long > 0.0
    assert none < 0.001 < slow


def test_a_request_that_always_meets_prompts_is_late() -> None:
    """With prompts in every step no chance is left; nor where a step is too long without any."""
    assert misses(FLAT, ENGINE, SLO, 20.0, input_tokens=2000, output_tokens=10) >= 1.0
    assert misses(FLAT, ENGINE, SLO, 30.0, input_tokens=1, output_tokens=10) >= 1.0


@pytest.mark.parametrize(
    ("model", "gpu", "tensor_parallel", "tpot_s", "tokens"),
    [
        ("llama-8b-self", "h100", 1, 0.05, 1280),
        ("llama-8b-self", "h200", 1, 0.05, 1280),
        ("llama-8b-self", "a100-80", 1, 0.05, 512),
        ("llama-8b-self", "a100-80", 1, 0.1, 1216),
        ("llama-70b-self", "a100-80", 4, 0.1, 448),
    ],
)
def test_the_token_budget_keeps_a_full_step_within_the_slo(
    model: str, gpu: str, tensor_parallel: int, tpot_s: float, tokens: int
) -> None:
    """Answers and prompts of a full step at capacity take no longer than the TPOT; twice as many would."""
    steps, slo = step_times(model, gpu, tensor_parallel, "bf16"), Slo(ttft_p95_s=1.0, tpot_p95_s=tpot_s)
    found = token_budget_at_slo(steps, EngineArgs(max_num_seqs=256), slo)
    assert found == tokens
    engine = EngineArgs(max_num_seqs=256, max_num_batched_tokens=found)
    batch = round(batch_at_slo(steps, engine, slo, 1155, 211))
    context = round(batch * (1155 + 211 / 2))
    assert steps.step_s(batch, context, found - batch) <= tpot_s < steps.step_s(batch, context, 2 * found - batch)


def test_a_token_budget_is_never_too_small_to_run() -> None:
    """vLLM refuses one below the number of sequences; on a slow GPU a prompt still gets on; contexts must fit."""
    slow = replace(FLAT, alpha_ms=200.0)
    assert token_budget_at_slo(FLAT, EngineArgs(max_num_seqs=512), SLO) == 512
    assert token_budget_at_slo(slow, EngineArgs(max_num_seqs=8), SLO) == 64
    assert token_budget_at_slo(slow, EngineArgs(max_num_seqs=8), SLO, input_tokens=8000) == 768
    few = replace(FLAT, kv_cache_tokens=2000)
    assert token_budget_at_slo(few, EngineArgs(max_num_seqs=8), SLO) == 192


def test_no_demand_needs_no_replica() -> None:
    """Zero requests, zero replicas."""
    assert demand_replicas(FLAT, ENGINE, SLO, requests_per_s=0.0, input_tokens=0, output_tokens=0) == 0.0


@given(SIZES, st.sampled_from([128, 512, 2048]))
def test_the_batch_keeps_the_slo_and_memory(size: tuple[int, int], budget: int) -> None:
    """99 % within the SLO, the mean TPOT too, and room for all contexts; one answer at a time is always allowed."""
    tokens_in, tokens_out = size
    engine = EngineArgs(max_num_seqs=64, max_num_batched_tokens=budget)
    batch = batch_at_slo(FLAT, engine, SLO, tokens_in, tokens_out)
    assert 1.0 <= batch <= engine.max_num_seqs
    if batch > 1.0:
        assert misses(FLAT, engine, SLO, batch, input_tokens=tokens_in, output_tokens=tokens_out) <= 0.01
        tpot_s = 0.02 + 0.001 * batch + batch * prefill_s(FLAT, engine, tokens_in) / tokens_out
        assert tpot_s <= SLO.tpot_p95_s
        assert batch * (tokens_in + tokens_out / 2) <= KV_USABLE_RATIO * FLAT.kv_cache_tokens


@given(SIZES, SIZES)
def test_more_tokens_cost_more(one: tuple[int, int], other: tuple[int, int]) -> None:
    """With a token budget that the SLO allows, a request that is larger in both directions does not cost less."""
    small, large = tuple(map(min, zip(one, other, strict=True))), tuple(map(max, zip(one, other, strict=True)))
    steps = step_times("llama-70b-self", "a100-80", 4, "bf16")
    engine, slo = EngineArgs(max_num_seqs=256, max_num_batched_tokens=448), Slo(ttft_p95_s=2.0, tpot_p95_s=0.1)
    costs = [
        gpu_seconds_per_request(steps, engine, slo, input_tokens=tokens_in, output_tokens=tokens_out)
        for tokens_in, tokens_out in (small, large)
    ]
    assert costs[0] <= costs[1] * 1.05  # the search for the batch ends within 2 %


def test_the_published_capacities_come_out() -> None:
    """8B on A100-80 within 50 ms: 8.5 requests/s of 1155/211 tokens, 15 of 512/256 (study: +-20 %)."""
    steps = step_times("llama-8b-self", "a100-80", 1, "bf16")
    engine = EngineArgs(max_num_seqs=256, max_num_batched_tokens=512)
    for tokens_in, tokens_out, requests_per_s in ((1155, 211, 8.5), (512, 256, 15.0)):
        cost_s = gpu_seconds_per_request(steps, engine, SLO, input_tokens=tokens_in, output_tokens=tokens_out)
        assert 1 / cost_s == pytest.approx(requests_per_s, rel=0.2)
