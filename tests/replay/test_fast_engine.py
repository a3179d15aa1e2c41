"""The jumping engine against the engine that takes every step: the same tokens at the same times, and its own rules."""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from controller.core.models import StepTimes
from controller.core.pools import EngineArgs
from controller.replay.engine_model import EngineModel
from controller.replay.fast_engine import FastEngine, Woken

STEPS = StepTimes(
    alpha_ms=10.0,
    beta_ms_per_seq=0.1,
    gamma_ms_per_1k_context=20.0,
    correction=0.9,
    p0_ms=3.0,
    p1_ms_per_1k=50.0,
    p2_ms_per_1k_sq=2.0,
    kv_cache_tokens=1024,
)


def _args(*, seqs: int = 8, budget: int = 64, longest: int = 224, block: int = 16) -> EngineArgs:
    return EngineArgs(
        max_model_len_tokens=longest, max_num_seqs=seqs, max_num_batched_tokens=budget, block_size_tokens=block
    )


@dataclass
class _Stepper:
    """Every iteration taken, in virtual time: what the jumps are held against."""

    model: EngineModel
    clock_s: float = 0.0
    first_s: dict[Hashable, float] = field(default_factory=dict)
    last_s: dict[Hashable, float] = field(default_factory=dict)
    order: list[Hashable] = field(default_factory=list)

    def advance(self, until_s: float) -> None:
        while self.clock_s < until_s and (self.model.running or self.model.waiting):
            result = self.model.step()
            self.clock_s += result.duration_s
            for name in result.first:
                self.first_s[name] = self.clock_s
            for name in result.finished:
                self.last_s[name] = self.clock_s
                self.order.append(name)

    def arrive(self, now_s: float, name: Hashable, tokens: tuple[int, int], prefix: tuple[int, ...]) -> None:
        self.clock_s = max(self.clock_s, now_s)
        self.model.submit(name, *tokens, prefix)


@dataclass
class _Seen:
    first_s: dict[Hashable, float] = field(default_factory=dict)
    last_s: dict[Hashable, float] = field(default_factory=dict)
    order: list[Hashable] = field(default_factory=list)

    def note(self, seen: list[Woken]) -> None:
        for woken in seen:
            self.first_s.update(dict.fromkeys(woken.first, woken.at_s))
            self.last_s.update(dict.fromkeys(woken.finished, woken.at_s))
            self.order += woken.finished


_REQUEST = st.tuples(
    st.integers(1, 150), st.integers(1, 60), st.integers(0, 3), st.floats(0.0, 3.0, allow_subnormal=False)
)


@settings(max_examples=150, deadline=None)
@given(
    requests=st.lists(_REQUEST, min_size=1, max_size=16),
    args=st.builds(_args, seqs=st.integers(1, 8), budget=st.integers(1, 96), block=st.sampled_from([1, 4, 16])),
    kv=st.sampled_from([224, 256, 400, 1000, 4000]),
    how=st.tuples(st.booleans(), st.booleans()),
    marks=st.tuples(st.sets(st.integers(0, 15), max_size=3), st.sets(st.integers(0, 15))),
)
@example(  # who waits can share what the prompt before him publishes in the step in which he found no room
    requests=[(1, 43, 0, 1.625), (72, 2, 2, 2.0), (8, 3, 1, 2.0), (7, 1, 1, 2.0), (119, 12, 0, 1.875)],
    args=_args(seqs=5, budget=31, block=1),
    kv=256,
    how=(True, False),
    marks=(set(), set()),
)
def test_jumping_changes_nothing(
    requests: list[tuple[int, int, int, float]],
    args: EngineArgs,
    kv: int,
    how: tuple[bool, bool],
    marks: tuple[set[int], set[int]],
) -> None:
    """For any traffic: first and last tokens at the same times and in the same order, the same KV use, preemptions,
    cache hits and queues whenever one looks, first come first served, and no token before its request.
    """
    with_prefixes, ahead = how
    aborts, unseen = marks  # requests that are dropped; requests before which nobody looks
    steps = replace(STEPS, schedules_ahead=ahead)
    stepper = _Stepper(EngineModel(steps, args, kv))
    fast, seen = FastEngine(steps, args, kv), _Seen()
    requests = sorted(requests, key=lambda request: request[3])
    for name, (input_tokens, output_tokens, family, at_s) in enumerate(requests):
        stepper.advance(at_s)
        if name in unseen:
            while fast.due_s < at_s:
                seen.note([fast.wake()])
        else:
            seen.note(fast.advance(at_s))
            assert fast.clock_s == pytest.approx(stepper.clock_s, abs=1e-9)
            assert (fast.running, fast.waiting) == (stepper.model.running, stepper.model.waiting)
            assert fast.kv_used_ratio == stepper.model.kv_used_ratio <= 1.0
            assert fast.preemptions == stepper.model.preemptions
        prefix = tuple(family * 1000 + n for n in range(150 // args.block_size_tokens)) if with_prefixes else ()
        stepper.arrive(at_s, name, (input_tokens, output_tokens), prefix)
        fast.arrive(at_s, name, input_tokens, output_tokens, prefix)
        if name - 1 in aborts and name not in unseen:
            assert fast.abort(name - 1) == stepper.model.abort(name - 1)
    stepper.advance(math.inf)
    seen.note(fast.advance(math.inf))
    assert seen.order == stepper.order
    assert seen.first_s == pytest.approx(stepper.first_s, abs=1e-9)
    assert seen.last_s == pytest.approx(stepper.last_s, abs=1e-9)
    assert fast.prefix_hit_tokens == stepper.model.prefix_hit_tokens
    assert (fast.running, fast.waiting, fast.kv_used_ratio) == (0, 0, 0.0)
    assert set(range(len(requests))) - (aborts - {name - 1 for name in unseen}) <= set(seen.last_s)
    for name, last_s in seen.last_s.items():
        assert requests[name][3] < seen.first_s[name] <= last_s  # type: ignore[call-overload]


def test_an_idle_engine_is_due_never_and_sees_nothing() -> None:
    """Time passes an engine without work; aborting what it does not have changes nothing."""
    fast = FastEngine(STEPS, _args(), 1024)
    assert fast.advance(100.0) == []
    assert fast.due_s == math.inf
    assert not fast.abort("nobody")
    assert fast.advance(200.0) == []


def test_an_abort_beside_a_half_computed_prompt_leaves_it_alone() -> None:
    """The one that stays has its tokens when it would have had them alone: the other had not been let in yet."""
    times = []
    for others in (0, 1):
        fast = FastEngine(STEPS, _args(seqs=1, budget=16), 1024)
        fast.arrive(0.0, "stays", 150, 5, ())
        for _ in range(others):
            fast.arrive(0.0, "leaves", 20, 5, ())
        fast.advance(1e-6)
        assert [fast.abort("leaves") for _ in range(others)] == [True] * others
        times.append((fast.advance(math.inf), fast.clock_s))
    assert times[0] == times[1]


def test_a_full_engine_is_not_disturbed_by_who_comes() -> None:
    """With every seat taken the next thing to be seen stays the end of an answer."""
    fast = FastEngine(STEPS, _args(seqs=1), 1024)
    fast.arrive(0.0, "a", 64, 40)
    fast.wake()
    fast.wake()
    due_s = fast.due_s
    fast.arrive(0.2, "b", 64, 40)
    assert fast.due_s == due_s > 0.2


def test_a_look_in_the_middle_of_a_step_sees_the_end_of_that_step() -> None:
    """An iteration that has begun ends; a second look at the same moment takes no further step."""
    fast = FastEngine(STEPS, _args(), 1024)
    fast.arrive(0.0, "a", 64, 40)
    fast.advance(0.1)
    at_s = fast.clock_s
    assert 0.1 <= at_s < 0.12
    fast.advance(0.1)
    assert fast.clock_s == at_s


def test_two_million_tokens_take_a_few_thousand_wakes() -> None:
    """The work is per request and not per token: at most four wakes each."""
    fast = FastEngine(STEPS, _args(seqs=64, budget=2048, longest=8192), 1 << 20)
    wakes = 0
    for name in range(500):
        fast.arrive(0.0, name, 1000, 4000)
    while fast.due_s < math.inf:
        fast.wake()
        wakes += 1
    assert wakes <= 2000
