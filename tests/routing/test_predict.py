"""Predicted time to first token."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from math import inf
from time import process_time
from timeit import repeat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.core.pools import EngineArgs
from controller.routing.predict import REMAINING_TOKENS, EngineTiming, ReplicaLoad, predict_ttft_s

from .builders import STEPS

ENGINE = EngineArgs(max_num_seqs=64, max_num_batched_tokens=2048)
IDLE = ReplicaLoad()


def test_an_idle_replica_costs_one_prefill() -> None:
    """Exactly the step time of the prompt."""
    assert predict_ttft_s(IDLE, STEPS, ENGINE, input_tokens=1000) == pytest.approx(0.010 + 0.250 + 0.002)
    assert predict_ttft_s(IDLE, STEPS, ENGINE, input_tokens=0) == 0.0


def test_prompts_ahead_are_computed_first_in_chunks() -> None:
    """4,096 tokens in all on an idle engine are two full steps."""
    load = ReplicaLoad(in_flight=1, pending_prefill_tokens=3096)
    assert predict_ttft_s(load, STEPS, ENGINE, input_tokens=1000) == pytest.approx(2 * STEPS.step_s(0, 0, 2048))


def test_an_engine_that_schedules_ahead_takes_a_step_more_unless_it_is_idle() -> None:
    """The step that was fixed before the prompt came: one of the answers under way, or of the prompt alone."""
    ahead = replace(STEPS, schedules_ahead=True)
    busy = ReplicaLoad(in_flight=10, decoding=10, context_tokens=5000)
    more = predict_ttft_s(busy, ahead, ENGINE, input_tokens=500) - predict_ttft_s(busy, STEPS, ENGINE, input_tokens=500)
    assert more == pytest.approx(STEPS.step_s(10, 5000, 0))
    queued = ReplicaLoad(in_flight=1, pending_prefill_tokens=3000)
    more = predict_ttft_s(queued, ahead, ENGINE, input_tokens=9) - predict_ttft_s(queued, STEPS, ENGINE, input_tokens=9)
    assert more == pytest.approx(STEPS.p0_ms / 1000)
    assert predict_ttft_s(IDLE, ahead, ENGINE, input_tokens=9) == predict_ttft_s(IDLE, STEPS, ENGINE, input_tokens=9)


def test_a_full_engine_makes_one_wait_for_a_slot() -> None:
    """With all slots taken, one answer must end first."""
    full = ReplicaLoad(in_flight=64, decoding=64, context_tokens=6400)
    free = replace(full, in_flight=63, decoding=63)
    step_s = STEPS.step_s(64, 6400, 0)
    waited = predict_ttft_s(full, STEPS, ENGINE, input_tokens=10) - STEPS.step_s(64, 6400, 10)
    assert waited == pytest.approx(REMAINING_TOKENS * step_s / 64)
    assert predict_ttft_s(free, STEPS, ENGINE, input_tokens=10) == pytest.approx(STEPS.step_s(63, 6400, 10))


def test_a_full_kv_cache_makes_one_wait_for_room() -> None:
    """2,000 tokens over, at 1,000 tokens per answer: two must end."""
    load = ReplicaLoad(in_flight=30, decoding=30, context_tokens=30_000)
    waited = predict_ttft_s(load, STEPS, ENGINE, input_tokens=2000) - STEPS.step_s(30, 30_000, 2000)
    assert waited == pytest.approx(2 * REMAINING_TOKENS * STEPS.step_s(30, 30_000, 0) / 30)


def test_a_prompt_larger_than_the_cache_never_starts() -> None:
    """Infinite, so that any other target is better."""
    assert predict_ttft_s(IDLE, STEPS, ENGINE, input_tokens=STEPS.kv_cache_tokens + 1) == inf


LOADS = st.builds(
    ReplicaLoad,
    in_flight=st.integers(0, 300),
    pending_prefill_tokens=st.integers(0, 100_000),
    decoding=st.integers(0, 300),
    context_tokens=st.integers(0, 100_000),
)


@given(load=LOADS, input_tokens=st.integers(0, 29_000), more=st.integers(0, 1000))
def test_more_work_never_answers_sooner(load: ReplicaLoad, input_tokens: int, more: int) -> None:
    """Growing the queue, the slots in use or the prompt never shortens the prediction."""
    before = predict_ttft_s(load, STEPS, ENGINE, input_tokens=input_tokens)
    slack = 1e-9 + STEPS.step_s(64, 30_000, 0)  # a chunk that just fits saves up to one step's fixed cost
    assert before >= 0.0
    queued = replace(load, pending_prefill_tokens=load.pending_prefill_tokens + more)
    assert predict_ttft_s(queued, STEPS, ENGINE, input_tokens=input_tokens) >= before - slack
    busier = replace(load, in_flight=load.in_flight + more)
    assert predict_ttft_s(busier, STEPS, ENGINE, input_tokens=input_tokens) >= before
    assert predict_ttft_s(load, STEPS, ENGINE, input_tokens=input_tokens + more) >= before - slack


def test_the_parts_of_a_step() -> None:
    """The same as the step times say, worked out for quick use."""
    timing = EngineTiming(STEPS, ENGINE)
    assert timing.decode_step_s(9, 900) == pytest.approx(STEPS.step_s(9, 900, 0))
    assert timing.full_step_s(9, 900) == pytest.approx(STEPS.step_s(9, 900, ENGINE.max_num_batched_tokens))


def test_tokens_come_slower_beside_prompts() -> None:
    """Two tokens of prompts for each of the eight others, in full chunks; alone nothing, at most a full budget."""
    timing = EngineTiming(STEPS, ENGINE)
    budget = ENGINE.max_num_batched_tokens
    chunk_s = timing.full_step_s(9, 900) - timing.decode_step_s(9, 900)
    assert timing.token_s(9, 900, 2.0) == pytest.approx(timing.decode_step_s(9, 900) + 8 * 2 * chunk_s / budget)
    assert timing.token_s(1, 900, 2.0) == timing.decode_step_s(1, 900)
    assert timing.token_s(9, 900, 1e6) == pytest.approx(timing.full_step_s(9, 900))


def test_attention_is_dearer_beside_prompts() -> None:
    """By the share of steps that they fill: all of it in steps that are full."""
    plain, mixed = (EngineTiming(replace(STEPS, mixed_gamma_ms_per_1k_context=gamma), ENGINE) for gamma in (0.0, 10.0))
    budget = ENGINE.max_num_batched_tokens
    assert mixed.token_s(9, 900, 1e6) == pytest.approx(plain.token_s(9, 900, 1e6) + 0.009)
    half = budget / 2 / 8
    assert mixed.token_s(9, 900, half) == pytest.approx(plain.token_s(9, 900, half) + 0.009 / 2, rel=0.01)
    assert mixed.token_s(1, 900, half) == plain.token_s(1, 900, half)


def test_predicting_costs_microseconds() -> None:
    """Five microseconds of CPU on a quiet machine; the bar here is loose, to hold on a busy one."""
    load = ReplicaLoad(in_flight=64, pending_prefill_tokens=5000, decoding=64, context_tokens=29_000)
    call = partial(predict_ttft_s, load, STEPS, ENGINE, input_tokens=2000)
    best_s = min(repeat(call, timer=process_time, number=500, repeat=20)) / 500
    assert best_s < 50e-6
