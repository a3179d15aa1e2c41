"""The optimum of pools that share: that of the exact one where nothing is shared, that of brute force where it is."""

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.core.errors import SimulationError
from controller.replay.oracle import optimum
from controller.replay.oracle_lp import optimum_mixed
from controller.replay.oracle_lp_types import Mix, ReplicaKind, Workload
from controller.replay.simulation_types import Economics

TOLERANCE_USD = 1e-5  # HiGHS keeps constraints to a millionth each
SLOT_S = 60.0


def kind(
    name: str = "a100",
    *,
    usd: float = 1.0,  # per slot
    capacity: float = 4.0,  # requests per slot
    cold_slots: float = 1.0,
    least: int = 0,
    most: int = 1000,
    **other: Any,
) -> ReplicaKind:
    """A kind told in slots."""
    economics = Economics(
        replica_usd_per_s=usd / SLOT_S,
        spill_usd_per_request=math.inf,
        replica_requests_per_s=capacity / SLOT_S,
        cold_start_s=cold_slots * SLOT_S,
        min_replicas=least,
        max_replicas=most,
    )
    return ReplicaKind(name=name, economics=economics, **other)


def workload(name: str, requests: list[float], *kinds: ReplicaKind, **usd_per_request: float) -> Workload:
    """Requests per slot, kinds, and what providers ask."""
    rates = [count / SLOT_S for count in requests]
    return Workload(name=name, rates_per_s=rates, kinds=kinds, provider_usd_per_request=usd_per_request)


def mixed(*workloads: Workload, **shared: Any) -> Mix:
    """A mix of these."""
    return Mix(slot_s=SLOT_S, workloads=workloads, **shared)


@settings(max_examples=8, deadline=None)
@given(
    requests=st.lists(st.integers(0, 12), min_size=1, max_size=12),
    spill_usd=st.sampled_from([0.2, 0.5, 1.5, math.inf]),
    cold_slots=st.sampled_from([0.0, 0.5, 2.0]),
    ready=st.integers(0, 2),
    least=st.integers(0, 1),
)
def test_a_single_pool_has_the_exact_optimum(
    *, requests: list[float], spill_usd: float, cold_slots: float, ready: int, least: int
) -> None:
    """Two ways to the same cost, spilling priced or forbidden."""
    replicas = kind(cold_slots=cold_slots, least=least, most=3, ready_at_start=ready)
    prices = {} if math.isinf(spill_usd) else {"openai": spill_usd}
    found = optimum_mixed(mixed(workload("chat", requests, replicas, **prices)), gap_ratio=0.0)
    economics = replicas.economics
    pool = Economics(
        replica_usd_per_s=economics.replica_usd_per_s,
        spill_usd_per_request=spill_usd,
        replica_requests_per_s=economics.replica_requests_per_s,
        cold_start_s=economics.cold_start_s,
        min_replicas=least,
        max_replicas=3,
    )
    best = optimum([count / SLOT_S for count in requests], SLOT_S, pool, ready_at_start=ready)
    assert found.usd == pytest.approx(best.usd, abs=TOLERANCE_USD)
    assert found.bound_usd == pytest.approx(best.usd, abs=TOLERANCE_USD)
    assert found.unserved == 0


@settings(max_examples=8, deadline=None)
@given(requests=st.lists(st.integers(0, 8), min_size=1, max_size=9), least=st.integers(1, 4), ready=st.integers(0, 1))
def test_a_minimum_of_billing_may_release_the_oldest_first(requests: list[float], least: int, ready: int) -> None:
    """Never dearer than releasing the newest first, which the exact one is bound to."""
    replicas = kind(most=2, minimum_billing_s=(1 + least) * SLOT_S, ready_at_start=ready)
    found = optimum_mixed(mixed(workload("chat", requests, replicas, openai=0.5)), gap_ratio=0.0)
    pool = Economics(
        replica_usd_per_s=1 / SLOT_S,
        spill_usd_per_request=0.5,
        replica_requests_per_s=4 / SLOT_S,
        cold_start_s=SLOT_S,
        max_replicas=2,
    )
    rates = [count / SLOT_S for count in requests]
    best = optimum(rates, SLOT_S, pool, ready_at_start=ready, minimum_billing_s=(1 + least) * SLOT_S)
    free = optimum(rates, SLOT_S, pool, ready_at_start=ready)
    assert free.usd - TOLERANCE_USD <= found.usd <= best.usd + TOLERANCE_USD
    assert found.bound_usd == pytest.approx(found.usd, abs=TOLERANCE_USD)


def test_staggered_runs_keep_their_minimum_each() -> None:
    """One, two, two, one replica, each paid for three slots: six in all, where newest-first pays for seven."""
    replicas = kind(cold_slots=0.0, minimum_billing_s=3 * SLOT_S)
    found = optimum_mixed(mixed(workload("chat", [4, 8, 8, 4], replicas)))
    assert found.replicas["chat", "a100"].tolist() == [1, 2, 2, 1]
    assert found.usd == pytest.approx(6)


def test_what_the_end_cuts_is_paid() -> None:
    """A replica for the last slot alone costs its start and its minimum."""
    replicas = kind(minimum_billing_s=4 * SLOT_S)
    found = optimum_mixed(mixed(workload("chat", [0, 4], replicas)))
    assert found.usd == pytest.approx(1 + 3)


def brute_shared_usd(demands: list[list[int]], gpus: int, prices: list[float], limits: list[float]) -> float:
    """The least cost over all counts of two workloads that share GPUs: two each for the first, one for the second."""
    takes, slots = (2, 1), len(demands[0])
    best = math.inf
    for flat in itertools.product(range(3), repeat=2 * slots):
        counts = (flat[:slots], flat[slots:])
        starts = [[max(0, now - was) for was, now in zip((0, *run), run, strict=False)] for run in counts]
        held = [
            sum(takes[who] * (counts[who][slot] + sum(starts[who][slot + 1 : slot + 2])) for who in (0, 1))
            for slot in range(slots)
        ]
        if max(held) > gpus:
            continue
        usd = 0.0
        for who in (0, 1):
            missing = [max(0, demands[who][slot] - 4 * counts[who][slot]) for slot in range(slots)]
            if max(missing) > limits[who]:
                usd = math.inf
            usd += (takes[who] * (sum(counts[who]) + sum(starts[who]))) + prices[who] * sum(missing)
        best = min(best, usd)
    return best


@settings(max_examples=8, deadline=None)
@given(
    demands=st.integers(1, 3).flatmap(
        lambda slots: st.lists(st.lists(st.integers(0, 8), min_size=slots, max_size=slots), min_size=2, max_size=2)
    ),
    gpus=st.integers(0, 4),
    prices=st.lists(st.sampled_from([0.3, 0.9, 2.0]), min_size=2, max_size=2),
    limits=st.lists(st.sampled_from([3.0, 100.0]), min_size=2, max_size=2),
)
def test_two_workloads_on_one_node_have_the_optimum_of_brute_force(
    demands: list[list[int]], gpus: int, prices: list[float], limits: list[float]
) -> None:
    """GPUs are held from the order on, providers bear so much: the least over all counts; else work is left."""
    big = kind("70b", usd=2.0, node_pool="p4d", gpus=2, most=2)
    small = kind("mixtral", usd=1.0, node_pool="p4d", gpus=1, most=2)
    found = optimum_mixed(
        mixed(
            workload("one", list(map(float, demands[0])), big, x=prices[0]),
            workload("two", list(map(float, demands[1])), small, y=prices[1]),
            node_pool_gpus={"p4d": gpus},
            provider_limits_per_s={"x": limits[0] / SLOT_S, "y": limits[1] / SLOT_S},
        ),
        gap_ratio=0.0,
    )
    best = brute_shared_usd(demands, gpus, prices, limits)
    assert (found.unserved > 1e-6) == math.isinf(best)
    if found.unserved <= 1e-6:
        assert found.usd == pytest.approx(best, abs=TOLERANCE_USD)


def test_the_cheaper_kind_serves_the_base_and_the_quick_one_the_peak() -> None:
    """Two kinds for one workload: what is on all day is the one with the lower price per request."""
    cheap = kind("h100", usd=3.0, capacity=20.0, cold_slots=10.0)
    quick = kind("l4", usd=1.0, capacity=4.0, cold_slots=0.0)
    found = optimum_mixed(mixed(workload("chat", [20.0] * 40 + [24.0] * 2 + [20.0] * 40, cheap, quick)))
    assert found.replicas["chat", "h100"].tolist() == [1] * 82
    assert found.replicas["chat", "l4"].tolist() == [0] * 40 + [1] * 2 + [0] * 40


def test_a_provider_is_shared_and_the_dearer_workload_to_serve_at_home_gets_it() -> None:
    """Four requests per slot in all from one provider: they go where they save most."""
    dear = workload("dear", [4.0], kind("x", usd=5.0), openai=0.1)
    fair = workload("fair", [4.0], kind("y", usd=1.0), openai=0.1)
    found = optimum_mixed(mixed(dear, fair, provider_limits_per_s={"openai": 4.0 / SLOT_S}))
    assert found.spilled_per_s["dear", "openai"] * SLOT_S == pytest.approx([4.0])
    assert found.spilled_per_s["fair", "openai"] == pytest.approx([0.0])
    assert found.usd == pytest.approx(0.4 + 2.0)


def test_a_budget_bounds_what_is_spilled_in_a_day() -> None:
    """Spilling would be cheaper, but its money is out: the rest is served at home."""
    free = mixed(workload("chat", [4.0] * 10, kind(), openai=0.1))
    assert optimum_mixed(free).spill_usd == pytest.approx(4.0)
    daily = 2.0 * 86_400 / (10 * SLOT_S)
    found = optimum_mixed(mixed(workload("chat", [4.0] * 10, kind(), openai=0.1), budget_usd_per_day=daily))
    assert found.spill_usd <= 2.0 + 1e-6
    assert found.replicas["chat", "a100"].max() == 1


def test_what_fits_nowhere_is_told_as_unserved() -> None:
    """One GPU, no provider, work for two: half is left, and its price is not in the cost."""
    replicas = kind(node_pool="p4d", ready_at_start=1, cold_slots=0.0)
    found = optimum_mixed(mixed(workload("chat", [8.0] * 3, replicas), node_pool_gpus={"p4d": 1}))
    assert found.unserved == pytest.approx(12)
    assert found.usd == pytest.approx(3)


def test_windows_cost_little_more_than_the_whole() -> None:
    """Three days of waves in windows of a day: never better than at once, and by less than one in a hundred worse."""
    slots = np.arange(3 * 48)
    requests = np.rint(12 + 9 * np.sin(slots / 48 * 2 * np.pi) + 3 * np.sin(slots * 1.7)).tolist()
    replicas = kind(cold_slots=2.0, node_pool="p4d", minimum_billing_s=5 * SLOT_S)
    waves = mixed(workload("chat", requests, replicas, openai=0.5), node_pool_gpus={"p4d": 4})
    whole = optimum_mixed(waves, window_s=math.inf)
    parts = optimum_mixed(waves, window_s=48 * SLOT_S, overlap_s=12 * SLOT_S)
    assert whole.bound_usd is not None
    assert parts.bound_usd is None
    assert whole.bound_usd - 1e-6 <= parts.usd <= 1.01 * whole.usd
    counts = parts.replicas["chat", "a100"]
    starts = np.maximum(np.diff(counts, prepend=0, append=0)[:-1], 0)
    held = counts + np.append(starts[1:], 0) + np.append(starts[2:], [0, 0])
    assert held.max() <= 4


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (mixed, "the mix has no workloads"),
        (lambda: mixed(workload("a", [1.0]), workload("b", [1.0, 2.0])), r"the workloads have \[1, 2\] slots"),
        (lambda: mixed(workload("a", [math.nan])), "the demand of slot 0 is nan"),
        (lambda: mixed(workload("a", [1.0]), budget_usd_per_day=math.nan), "budget_usd_per_day is nan"),
        (lambda: mixed(workload("a", [1.0], openai=math.nan)), "price of openai is nan"),
        (lambda: mixed(workload("a", [1.0]), provider_limits_per_s={"x": -1.0}), "limit of x is -1"),
        (
            lambda: mixed(workload("a", [1.0], kind(node_pool="p5"))),
            "node_pool of a100 is 'p5'; it must be one of: none is given",
        ),
    ],
    ids=["none", "lengths", "nan-demand", "nan-budget", "nan-price", "limit", "node-pool"],
)
def test_mixes_that_cannot_be_are_refused(make: Any, said: str) -> None:
    """Named with value and what is allowed."""
    with pytest.raises(SimulationError, match=said):
        make()


def test_least_replicas_that_do_not_fit_are_refused() -> None:
    """Two replicas at least, one GPU."""
    replicas = kind(least=2, node_pool="p4d")
    with pytest.raises(SimulationError, match="min_replicas of all kinds together must fit their GPUs"):
        optimum_mixed(mixed(workload("chat", [1.0], replicas), node_pool_gpus={"p4d": 1}))


def test_windows_that_cannot_be_are_refused() -> None:
    """Shorter than a slot."""
    with pytest.raises(SimulationError, match="window_s is 1 "):
        optimum_mixed(mixed(workload("chat", [1.0], kind())), window_s=1.0)
