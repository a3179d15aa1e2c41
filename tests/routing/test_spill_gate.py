"""Which requests leave: exactly the controller's share, the cheapest to buy back first, warm ones last."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from statistics import fmean

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.core.fleet import RoutingMode
from controller.core.pools import EngineArgs, SpillPolicy
from controller.routing.spill import SpillState, spill_step
from controller.routing.spill_gate import SLACK, SpillGate, gpu_seconds

from .builders import STEPS, sample

ENGINE = EngineArgs()
SHARES = st.integers(0, 1000)
PRICES = st.lists(st.floats(0.0, 100.0) | st.sampled_from([1.0, 2.0]), min_size=1, max_size=60)


@given(SHARES)
def test_of_equal_requests_every_nth_leaves(thousandths: int) -> None:
    """A ratio of n/1000 lets exactly n of a thousand through, evenly spread."""
    gate = SpillGate()
    taken = [gate.take(thousandths / 1000) for _ in range(1000)]
    assert sum(taken) == thousandths
    for hundred in range(10):
        assert abs(sum(taken[: hundred * 100]) - thousandths * hundred / 10) < 1


@settings(deadline=None, max_examples=30)
@given(SHARES, PRICES, st.lists(st.booleans(), min_size=1, max_size=30))
def test_the_share_is_exact_whatever_they_cost(thousandths: int, prices: list[float], warm: list[bool]) -> None:
    """Exactly n of each thousand, and of any thousand in a row but for the few that it may run ahead or behind."""
    gate = SpillGate()
    taken = [
        gate.take(thousandths / 1000, prices[index % len(prices)], warm=warm[index % len(warm)])
        for index in range(3000)
    ]
    assert [sum(taken[start : start + 1000]) for start in (0, 1000, 2000)] == [thousandths] * 3
    for start in range(0, 2000, 90):
        assert abs(sum(taken[start : start + 1000]) - thousandths) <= 2 * SLACK


@settings(deadline=None, max_examples=30)
@given(st.lists(SHARES, min_size=1, max_size=40), PRICES)
def test_a_ratio_that_changes_is_followed(shares: list[int], prices: list[float]) -> None:
    """The count stays within a few of the sum of the ratios, whenever the controller changes its mind."""
    gate, owed = SpillGate(), 0.0
    for index in range(2000):
        ratio = shares[index // 50 % len(shares)] / 1000
        owed += ratio - gate.take(ratio, prices[index % len(prices)])
        assert -SLACK - 1 < owed < SLACK + 1


def spilled_and_all(seed: int, ratio: float) -> tuple[list[float], list[float]]:
    """Prices of those that left and of all, of requests whose sizes differ as those of people do."""
    gate, chance = SpillGate(), Random(seed)
    prices = [
        (tokens_in * 1.0 + tokens_out * 4.0)
        / 1e6
        / gpu_seconds(STEPS, ENGINE, input_tokens=tokens_in, output_tokens=tokens_out)
        for tokens_in, tokens_out in (
            (int(chance.lognormvariate(6, 1.2)) + 1, int(chance.lognormvariate(5, 1.0)) + 1) for _ in range(5000)
        )
    ]
    return [price for price in prices if gate.take(ratio, price)], prices


@pytest.mark.parametrize(("ratio", "factor"), [(0.1, 0.75), (0.3, 0.81), (0.6, 0.89)])
def test_those_that_leave_are_cheaper_than_any_sample(ratio: float, factor: float) -> None:
    """The mean price per GPU-second relieved is well below that of random ones, and within 2 % of hindsight's best."""
    for seed in range(3):
        spilled, everyone = spilled_and_all(seed, ratio)
        assert len(spilled) == round(ratio * 5000)
        assert fmean(spilled) < factor * fmean(everyone)
        best = fmean(sorted(everyone)[: len(spilled)])
        assert fmean(spilled) < 1.02 * best


@pytest.mark.parametrize("ratio", [0.1, 0.3, 0.45])
def test_warm_ones_stay(ratio: float) -> None:
    """While others can make up the count, at most one in five hundred that leave is warm, however cheap."""
    gate, chance = SpillGate(), Random(7)
    left = [
        warm
        for warm in (chance.random() < 0.4 for _ in range(5000))
        if gate.take(ratio, chance.random() / (10 if warm else 1), warm=warm)
    ]
    assert len(left) == round(ratio * 5000)
    assert sum(left) <= len(left) / 500


def test_warm_ones_leave_when_there_are_no_others() -> None:
    """The pool cannot hold them all: the controller's count stands."""
    gate = SpillGate()
    assert sum(gate.take(0.4, 1.0, warm=True) for _ in range(1000)) == 400


def test_nobody_leaves_at_0_and_everybody_at_1() -> None:
    """Whatever it costs."""
    assert not any(SpillGate().take(0.0, index) for index in range(100))
    gate = SpillGate()
    assert all(gate.take(1.0, -index) for index in range(100))


def test_traffic_comes_back_no_faster_than_the_ramp() -> None:
    """Controller and gate together: from everything away, at most a tenth of the traffic comes home per 5 s."""
    policy, gate, chance = SpillPolicy(to=("x",)), SpillGate(), Random(3)
    state = SpillState(mode=RoutingMode.SPILLING, ratio=1.0, since_s=0.0, at_s=0.0)
    calm = sample(saturation_ratio=0.3, demand_replicas=0.5)
    per_s, home = 200, []
    for second in range(60):
        decision, state = spill_step(calm, state, policy, now_s=float(second))
        spills = decision.mode is RoutingMode.SPILLING
        stayed = [not (spills and gate.take(decision.ratio, chance.random())) for _ in range(per_s)]
        home.append(sum(stayed) / per_s)
    assert home[0] == 0.0
    assert home[-1] == 1.0
    for start in range(55):
        assert home[start + 5] - home[start] <= 0.10 + 2 * SLACK / per_s


def test_gpu_seconds_of_a_request() -> None:
    """Its own prompt, its share of the steps of a full batch, on all GPUs of the replica."""
    prompt_only = gpu_seconds(STEPS, ENGINE, input_tokens=1000, output_tokens=0)
    assert prompt_only == pytest.approx(0.252)
    answer = gpu_seconds(STEPS, ENGINE, input_tokens=1000, output_tokens=100) - prompt_only
    assert answer == pytest.approx(100 * (28.0 / 64 + 0.1 + 0.3) / 1000)
    two = replace(ENGINE, tensor_parallel=2)
    assert gpu_seconds(STEPS, two, input_tokens=1000, output_tokens=0) == pytest.approx(0.504)
