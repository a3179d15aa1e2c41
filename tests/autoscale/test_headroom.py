"""Headroom of pools that may not spill: it shrinks with their size, and noise changes nothing to and fro."""

from __future__ import annotations

import random
from dataclasses import replace
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pool_samples import sample

from controller.autoscale.decide import ScaleDecision, ScaleState, decide
from controller.autoscale.headroom import MEMORY_S, PromptLoad, followed, late_ratio, present, replicas_in_time
from controller.autoscale.prices import Prices
from controller.core.pools import ScalePolicy
from controller.core.samples import PoolSample

# Llama 8B on an A100 with the code of Azure 2023, and 70B on four: a request, and its prompt, in seconds of a replica.
CODE_8B, CODE_70B = (0.181, 0.151, 1.0), (0.563, 0.426, 2.0)
POLICY = ScalePolicy(min_replicas=0, max_replicas=40)
PRICES = Prices(replica_usd_per_s=0.001, spill_usd_per_replica_s=0.002, cold_start_s=60.0)


def code(demand: float, kind: tuple[float, float, float] = CODE_8B, *, at_s: float = 0.0) -> PoolSample:
    """A pool that gets so many replicas' worth of completions of code."""
    gpu_s, prompt_s, ttft_s = kind
    return replace(sample(demand, at_s=at_s), arrivals_per_s=demand / gpu_s, prompt_s=prompt_s, ttft_slo_s=ttft_s)


def settled(demand: float, kind: tuple[float, float, float] = CODE_8B) -> PromptLoad:
    """The load once this demand has lasted."""
    return followed(PromptLoad(at_s=-MEMORY_S), code(demand, kind), 0.0)


def size(demand: float, kind: tuple[float, float, float] = CODE_8B, *, have: int = 0) -> tuple[ScaleDecision, int]:
    """What is decided then, without a history of need, and what the target alone would have."""
    state = ScaleState(needed_at_s=(), prompts=settled(demand, kind))
    decision, _ = decide(code(demand, kind), state, POLICY, replicas_now=have, now_s=0.0)
    return decision, ceil(demand / 0.95 - 1e-9)


@pytest.mark.parametrize(
    ("kind", "demand", "replicas"),
    [
        (CODE_8B, 0.15, 1),
        (CODE_8B, 0.5, 2),
        (CODE_8B, 1.0, 2),
        (CODE_8B, 1.9, 3),
        (CODE_8B, 3.8, 5),
        (CODE_8B, 7.6, 9),
        (CODE_8B, 19.0, 20),
        (CODE_70B, 0.05, 1),
        (CODE_70B, 0.95, 3),
        (CODE_70B, 3.8, 5),
        (CODE_70B, 19.0, 20),
    ],
)
def test_small_pools_get_headroom_and_large_ones_none(
    kind: tuple[float, float, float], demand: float, replicas: int
) -> None:
    """Sizes at which 99 % are in time, request by request; twenty replicas are as many as their target says."""
    assert size(demand, kind)[0].replicas == replicas


def test_the_reason_says_why_there_are_more() -> None:
    """Only where there are; up to `max_replicas`, and no demand needs nothing."""
    assert (
        size(1.9)[0].reason == "demand 1.90 at target 0.95; prompts of 0.15 s would wait too long for one another in 2"
    )
    assert size(19.0)[0].reason == "demand 19.00 at target 0.95"
    assert replicas_in_time(settled(1.9), 1.0, have=0, least=2, most=2) == 2
    assert replicas_in_time(settled(1.9), 1.0, have=0, least=0, most=9) == 0


def test_prompts_of_more_than_the_ttft_ask_for_no_endless_pool() -> None:
    """Nobody could keep that TTFT alone, so it is taken to be twice the prompt."""
    assert size(0.95, (1.5, 1.5, 0.1))[0].replicas == size(0.95, (1.5, 1.5, 3.0))[0].replicas < 8
    assert late_ratio(settled(1.9), 1.0, 1) == 1.0


@given(st.floats(0.0, 30.0), st.floats(0.0, 30.0), st.integers(0, 40))
def test_more_demand_never_means_fewer_and_never_below_the_target(one: float, other: float, have: int) -> None:
    """Whatever is there: monotone in demand, and at least what the target utilisation asks for."""
    low, high = sorted((one, other))
    (few, at_low), (many, at_high) = size(low, have=have), size(high, have=have)
    assert few.replicas <= many.replicas
    assert few.replicas >= at_low
    assert many.replicas >= at_high


@given(st.floats(0.0, 30.0), st.integers(1, 40), st.floats(0.05, 10.0))
def test_more_replicas_never_make_more_late(demand: float, replicas: int, ttft_s: float) -> None:
    """A share, and a falling one."""
    load = settled(demand)
    assert 0.0 <= late_ratio(load, ttft_s, replicas + 1) <= late_ratio(load, ttft_s, replicas) <= 1.0


@given(st.floats(0.0, 30.0), st.integers(0, 40))
def test_who_may_spill_decides_as_without_it(demand: float, have: int) -> None:
    """Where work may be bought the length of prompts changes nothing, in the decision or in the state."""
    known = code(demand)
    unknown = replace(known, prompt_s=0.0, ttft_slo_s=None)
    found = [
        decide(seen, ScaleState(), POLICY, replicas_now=have, prices=PRICES, now_s=0.0) for seen in (known, unknown)
    ]
    assert found[0] == found[1]
    assert found[0][1].prompts is None


def test_a_pool_of_unknown_step_times_has_its_target_alone() -> None:
    """As nothing is known of its prompts."""
    seen = replace(code(1.9), prompt_s=0.0, ttft_slo_s=None)
    assert decide(seen, ScaleState(needed_at_s=()), POLICY, replicas_now=0, now_s=0.0)[0].replicas == 2


def test_the_load_is_the_mean_of_the_last_minutes() -> None:
    """All that was seen at first, then less and less of what is past; a clock that goes back changes nothing."""
    load = followed(None, code(5.0), 0.0)
    assert (load.busy_replicas, load.prompt_s) == (0.0, 0.0)
    load = followed(load, code(1.0), 10.0)
    load = followed(load, code(3.0), 20.0)
    assert load.busy_replicas == pytest.approx(settled(2.0).busy_replicas)
    assert load.prompt_s == pytest.approx(0.151)
    assert followed(load, code(9.0), 15.0) == replace(load, at_s=15.0)
    for second in range(21, 21 + 6 * int(MEMORY_S)):
        load = followed(load, code(1.0), float(second))
    assert load.busy_replicas == pytest.approx(settled(1.0).busy_replicas, rel=0.01)


def test_a_burst_is_no_load_and_what_has_ended_neither() -> None:
    """The target alone follows seconds; when requests stay away the headroom goes with them."""
    assert present(settled(3.0), code(9.0)) == settled(3.0)
    assert present(settled(3.0), code(1.5)).busy_replicas == pytest.approx(settled(1.5).busy_replicas)
    assert present(settled(3.0), code(1.5)).prompt_s == pytest.approx(0.151)
    assert late_ratio(present(settled(3.0), code(0.0)), 1.0, 1) == 0.0


def test_at_a_border_what_is_there_stays() -> None:
    """Two are enough for the load, and three are not given up for a little less of it."""
    assert size(1.0, have=2)[0].replicas == 2
    assert size(1.0, have=3)[0].replicas == 3
    assert size(0.85, have=3)[0].replicas == 2


@pytest.mark.parametrize("demand", [0.2, 1.0, 1.5, 3.0])
def test_poisson_noise_changes_no_size_to_and_fro(demand: float) -> None:
    """Two hours of requests, counted over 20 s as the controller does: after the first half hour one change at most."""
    chance, arrivals = random.Random(7), [0.0]
    while arrivals[-1] < 7_200.0:
        arrivals.append(arrivals[-1] + chance.expovariate(demand / CODE_8B[0]))
    state, replicas, changes, first, last = ScaleState(), 1, 0, 0, 0
    for second in range(20, 7_200, 5):
        while arrivals[last] < second:
            last += 1
        while arrivals[first] < second - 20:
            first += 1
        seen = code((last - first) / 20 * CODE_8B[0], at_s=float(second))
        decision, state = decide(seen, state, POLICY, replicas_now=replicas, now_s=float(second))
        changes += decision.replicas != replicas and second > 1_800
        replicas = decision.replicas
    assert changes <= 1
