"""The engine model against vLLM's rules: order, budget, blocks, prefix cache, preemption, time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.core.models import StepTimes
from controller.core.pools import EngineArgs
from controller.replay.engine_model import EngineModel, StepResult
from controller.replay.kv_blocks import KvBlocks

STEPS = StepTimes(
    alpha_ms=10.0,
    beta_ms_per_seq=0.1,
    gamma_ms_per_1k_context=0.2,
    correction=1.0,
    p0_ms=3.0,
    p1_ms_per_1k=50.0,
    p2_ms_per_1k_sq=2.0,
    kv_cache_tokens=1024,
)


def _model(*, seqs: int = 8, budget: int = 64, kv: int = 256, longest: int = 256, block: int = 16) -> EngineModel:
    engine = EngineArgs(
        max_model_len_tokens=longest, max_num_seqs=seqs, max_num_batched_tokens=budget, block_size_tokens=block
    )
    return EngineModel(STEPS, engine, kv)


def _drain(model: EngineModel, limit: int = 10_000) -> list[StepResult]:
    results = []
    while model.running or model.waiting:
        results.append(model.step())
        assert len(results) < limit, "the engine makes no progress"
    return results


def test_a_lone_request_prefills_in_chunks_then_decodes_one_token_a_step() -> None:
    """150 prompt tokens under a budget of 64 take three steps; the third gives the first token."""
    model = _model()
    model.submit("a", 150, 3)
    results = _drain(model)
    assert [result.prefill_tokens for result in results] == [64, 64, 22, 0, 0]
    assert [result.emitted for result in results] == [(), (), ("a",), ("a",), ("a",)]
    assert [result.finished for result in results] == [(), (), (), (), ("a",)]
    assert results[0].started == ("a",)
    assert results[0].duration_s == pytest.approx(STEPS.step_s(0, 0, 64))
    assert results[3].duration_s == pytest.approx(STEPS.step_s(1, 150, 0))


def test_an_empty_engine_takes_no_time() -> None:
    """A step without work costs nothing and emits nothing."""
    result = _model().step()
    assert result.duration_s == 0.0
    assert result.emitted == ()


def test_requests_start_in_order_of_arrival_and_respect_the_sequence_cap() -> None:
    """With two slots the third waits until one is free."""
    model = _model(seqs=2)
    for name in "abc":
        model.submit(name, 16, 2)
    first = model.step()
    assert first.started == ("a", "b")
    assert (model.running, model.waiting) == (2, 1)
    model.step()
    assert model.step().started == ("c",)


def test_a_budget_used_up_by_running_sequences_admits_nobody() -> None:
    """A chunked prefill that fills the budget leaves nothing for the rest of the batch or the queue."""
    model = _model(budget=16)
    model.submit("long", 64, 1)
    model.submit("next", 16, 1)
    assert model.step().started == ("long",)
    assert model.step().prefill_tokens == 16
    assert model.waiting == 1


def test_kv_pressure_preempts_the_youngest_and_still_finishes_all() -> None:
    """Two sequences that outgrow the cache together: the younger goes back to the queue and is recomputed."""
    model = _model(kv=64, longest=64)
    model.submit("old", 24, 40)
    model.submit("young", 24, 40)
    results = _drain(model)
    assert model.preemptions >= 1
    assert {name for result in results for name in result.preempted} == {"young"}
    assert Counter(name for result in results for name in result.emitted) == {"old": 40, "young": 40}
    assert [name for result in results for name in result.started] == ["old", "young"]


def test_a_sequence_that_is_itself_the_youngest_gives_way() -> None:
    """When the sequence that needs room is the last in the batch it is the one that leaves."""
    model = _model(kv=64, longest=64, block=16)
    model.submit("old", 30, 30)
    model.submit("young", 31, 30)
    preempted = [result.preempted for result in _drain(model) if result.preempted]
    assert preempted[0] == ("young",)


def test_no_room_for_the_head_of_the_queue_blocks_those_behind_it() -> None:
    """First come, first served: a small request does not overtake a big one that does not fit yet."""
    model = _model(kv=64, longest=64)
    model.submit("first", 40, 8)
    model.submit("big", 60, 1)
    model.submit("small", 1, 1)
    started = [name for result in _drain(model) for name in result.started]
    assert started == ["first", "big", "small"]


def test_a_repeated_prompt_is_found_in_the_prefix_cache() -> None:
    """The second call with the same 64-token prompt computes only its last block."""
    model = _model()
    prefix = (11, 12, 13, 14)
    model.submit("a", 64, 1, prefix)
    _drain(model)
    model.submit("b", 64, 1, prefix)
    result = model.step()
    assert result.prefill_tokens == 16
    assert model.prefix_hit_tokens == 48
    assert model.prefix_queried_tokens == 128


def test_prefix_blocks_are_shared_while_both_run_and_reported_per_request() -> None:
    """Two live requests with one prompt hold its blocks once."""
    model = _model()
    prefix = (21, 22, 23)
    model.submit("a", 48, 4, prefix)
    model.step()
    model.submit("b", 48, 4, prefix)
    model.step()
    assert model.cached_tokens("b") == 32
    assert model.kv_used_ratio <= 6 / 16
    _drain(model)
    assert model.kv_used_ratio == 0.0


def test_the_same_prompt_twice_in_one_step_is_computed_twice() -> None:
    """vLLM finds a block only once it is computed; the copy stays private."""
    model = _model()
    prefix = (31, 32)
    model.submit("a", 32, 2, prefix)
    model.submit("b", 32, 2, prefix)
    assert model.step().prefill_tokens == 64
    _drain(model)
    assert model.kv_used_ratio == 0.0


def test_aborting_frees_the_blocks_of_a_running_and_drops_a_waiting_request() -> None:
    """An abort is final, and says whether there was anything to abort."""
    model = _model(seqs=1)
    model.submit("a", 32, 8)
    model.submit("b", 32, 8)
    model.step()
    assert model.abort("a")
    assert model.kv_used_ratio == 0.0
    assert model.abort("b")
    assert not model.abort("b")
    assert (model.running, model.waiting) == (0, 0)


def test_an_engine_that_schedules_ahead_lets_a_newcomer_in_one_iteration_later() -> None:
    """Who comes while an iteration runs waits for its end and for the one that was fixed meanwhile; with nothing to run
    none is fixed.
    """
    ahead = replace(STEPS, schedules_ahead=True)
    model = EngineModel(ahead, EngineArgs(max_num_seqs=8, max_model_len_tokens=256), 256)
    model.submit("a", 16, 3)
    assert model.step().started == ("a",)
    model.submit("b", 16, 9)
    assert model.waiting == 1
    assert model.step().started == ()
    assert model.step().started == ("b",)
    model.submit("c", 16, 9)
    assert model.abort("c")
    model.submit("d", 16, 9)
    assert model.abort("b")
    assert model.step().started == ("d",)


def test_a_prompt_hides_the_reading_of_weights_and_slows_the_answers_beside_it() -> None:
    """The time of an iteration with prompts: less the overlap as far as their arithmetic goes, more per context."""
    steps = replace(STEPS, overlap_ms=4.0, mixed_gamma_ms_per_1k_context=0.5)
    assert steps.step_s(2, 1000, 0) == STEPS.step_s(2, 1000, 0)
    assert steps.step_s(2, 1000, 1000) == pytest.approx(STEPS.step_s(2, 1000, 1000) - 0.004 + 0.0005)
    assert steps.step_s(2, 1000, 20) == pytest.approx(STEPS.step_s(2, 1000, 20) - 0.001 + 0.0005)
    assert steps.step_s(0, 0, 20) == pytest.approx(STEPS.step_s(0, 0, 20) - 0.001)


@pytest.mark.parametrize(
    ("input_tokens", "output_tokens"), [(0, 1), (1, 0), (200, 57)], ids=["no input", "no output", "too long"]
)
def test_impossible_requests_are_refused(input_tokens: int, output_tokens: int) -> None:
    """The message names the figures and the limit."""
    with pytest.raises(ValueError, match="at most 256"):
        _model().submit("a", input_tokens, output_tokens)


def test_an_id_cannot_be_used_twice_at_once() -> None:
    """Two live requests never share an id."""
    model = _model()
    model.submit("a", 1, 1)
    with pytest.raises(ValueError, match="'a'"):
        model.submit("a", 1, 1)


def test_a_cache_smaller_than_the_longest_sequence_is_refused() -> None:
    """As vLLM at start: the figure that does not fit is named."""
    with pytest.raises(ValueError, match="max_model_len 256"):
        _model(kv=255)


def test_idle_blocks_are_evicted_oldest_first() -> None:
    """Room is made from cached blocks nobody holds, and only from them."""
    blocks = KvBlocks(3)
    assert blocks.take_private(2)
    assert blocks.publish(1)
    assert blocks.publish(2)
    blocks.release([1, 2])
    assert (blocks.idle, blocks.shared, blocks.private) == (2, 0, 0)
    blocks.hold([2])
    assert blocks.take_private(2)
    assert (blocks.idle, blocks.shared) == (0, 1)
    assert blocks.cached_prefix([1], 1) == 0
    assert not blocks.take_private(1)


_REQUEST = st.tuples(st.integers(1, 150), st.integers(1, 60), st.integers(0, 3), st.integers(0, 12))


@settings(max_examples=150, deadline=None)
@given(
    requests=st.lists(_REQUEST, min_size=1, max_size=14),
    seqs=st.integers(1, 6),
    budget=st.integers(1, 96),
    kv=st.sampled_from([224, 256, 400, 1000]),
    aborts=st.sets(st.integers(0, 13), max_size=4),
)
def test_tokens_are_conserved_blocks_never_overrun_and_order_is_kept(
    requests: list[tuple[int, int, int, int]], seqs: int, budget: int, kv: int, aborts: set[int]
) -> None:
    """For any traffic: everyone gets exactly their tokens, KV use stays in 0..1, and all is freed in the end."""
    model = _model(seqs=seqs, budget=budget, kv=kv, longest=224)
    emitted: Counter[Hashable] = Counter()
    finished: list[Hashable] = []
    started: list[Hashable] = []
    requests = sorted(requests, key=lambda request: request[3])
    pending = list(enumerate(requests))
    clock = 0
    while pending or model.running or model.waiting:
        while pending and pending[0][1][3] <= clock:
            name, (input_tokens, output_tokens, family, _) = pending.pop(0)
            model.submit(name, input_tokens, output_tokens, tuple(family * 1000 + n for n in range(20)))
            if name in aborts:
                assert model.abort(name)
        result = model.step()
        clock += 1
        emitted.update(result.emitted)
        finished += result.finished
        started += result.started
        assert 0.0 <= model.kv_used_ratio <= 1.0
        assert model.running <= seqs
        assert result.prefill_tokens + result.decodes <= budget
        assert (result.duration_s > 0) == bool(result.prefill_tokens or result.decodes)
        assert clock < 100_000, "the engine makes no progress"
        if not (model.running or model.waiting) and pending:
            clock = max(clock, pending[0][1][3])
    kept = {n: request[1] for n, request in enumerate(requests) if n not in aborts}
    assert dict(emitted) == kept
    assert sorted(finished) == sorted(kept)
    assert len(finished) == len(set(finished))
    assert started == sorted(kept)
    assert model.kv_used_ratio == 0.0
    assert model.prefix_hit_tokens <= model.prefix_queried_tokens


@given(sizes=st.lists(st.tuples(st.integers(1, 100), st.integers(1, 40)), min_size=1, max_size=10))
@settings(max_examples=60, deadline=None)
def test_requests_that_arrive_together_start_first_come_first_served(sizes: list[tuple[int, int]]) -> None:
    """Nobody overtakes in the queue."""
    model = _model(seqs=3, kv=160, longest=144)
    for name, (input_tokens, output_tokens) in enumerate(sizes):
        model.submit(name, input_tokens, output_tokens)
    started = [name for result in _drain(model) for name in result.started]
    assert started == list(range(len(sizes)))
