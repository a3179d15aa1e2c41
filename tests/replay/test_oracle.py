"""The clairvoyant optimum: equal to brute force on tiny cases, right at the edges, clear where the input cannot be."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.core.errors import SimulationError
from controller.replay.oracle import averaged, constant, constant_best, optimum
from controller.replay.simulation_types import Economics

SLOT_S = 60.0


def economics(
    *,
    replica_usd: float = 1.0,  # per slot
    spill_usd: float = 0.5,
    capacity: float = 4.0,  # requests per slot
    cold_slots: float = 2.0,
    least: int = 0,
    most: int = 1000,
) -> Economics:
    """Economics told in slots, so that costs can be counted by hand."""
    return Economics(
        replica_usd_per_s=replica_usd / SLOT_S,
        spill_usd_per_request=spill_usd,
        replica_requests_per_s=capacity / SLOT_S,
        cold_start_s=cold_slots * SLOT_S,
        min_replicas=least,
        max_replicas=most,
    )


def rates(*requests: float) -> list[float]:
    """Requests per slot as rates."""
    return [count / SLOT_S for count in requests]


def brute_usd(requests: list[int], pool: Economics, ready: int) -> float:
    """The least cost over every sequence of replica counts; leaving work is infinitely dear where spilling is."""
    slot_usd, capacity = pool.replica_usd_per_s * SLOT_S, pool.replica_requests_per_s * SLOT_S
    start_usd = pool.replica_usd_per_s * pool.cold_start_s
    best = math.inf
    for counts in itertools.product(range(pool.min_replicas, pool.max_replicas + 1), repeat=len(requests)):
        usd = 0.0
        for before, count, offered in zip((ready, *counts), counts, requests, strict=False):
            missing = max(0.0, offered - count * capacity)
            usd += count * slot_usd + max(0, count - before) * start_usd
            usd += missing * pool.spill_usd_per_request if missing > 1e-9 else 0.0
        best = min(best, usd)
    return best


@settings(max_examples=120, deadline=None)
@given(
    requests=st.lists(st.integers(0, 12), min_size=1, max_size=5),
    replica_usd=st.sampled_from([0.0, 0.3, 1.0, 2.5]),
    spill_usd=st.sampled_from([0.0, 0.2, 0.5, 1.5, math.inf]),
    cold_slots=st.sampled_from([0.0, 0.5, 1.0, 3.0]),
    ready=st.integers(0, 3),
    least=st.integers(0, 1),
)
def test_the_optimum_is_that_of_brute_force(
    *, requests: list[int], replica_usd: float, spill_usd: float, cold_slots: float, ready: int, least: int
) -> None:
    """Over all sequences of counts none is cheaper, and the schedule that comes with it costs what it says."""
    pool = economics(replica_usd=replica_usd, spill_usd=spill_usd, cold_slots=cold_slots, least=least, most=3)
    found = optimum(rates(*requests), SLOT_S, pool, ready_at_start=ready)
    assert found.usd == pytest.approx(brute_usd(requests, pool, ready), abs=1e-9)
    assert found.unserved == 0
    assert found.replicas.min() >= least
    assert found.replicas.max() <= 3


def brute_billed_usd(requests: list[int], pool: Economics, ready: int, least: int) -> float:
    """The least cost over the on-and-off of each level, where what is started is paid for `least` slots."""
    slot_usd, capacity = pool.replica_usd_per_s * SLOT_S, pool.replica_requests_per_s * SLOT_S
    start_usd = pool.replica_usd_per_s * pool.cold_start_s
    total = 0.0
    for level in range(pool.max_replicas):
        best = math.inf
        for on in itertools.product((False, True), repeat=len(requests)):
            usd, run, old = 0.0, 0, level < ready
            for slot, (is_on, offered) in enumerate(zip(on, requests, strict=True)):
                if is_on and run == 0 and not old:
                    usd += start_usd
                    paid = least
                if not is_on and 0 < run < least and not old:
                    usd = math.inf  # released before its time
                run = run + 1 if is_on else 0
                old = old and is_on
                usd += (
                    slot_usd
                    if is_on
                    else min(max(0.0, offered - level * capacity), capacity) * pool.spill_usd_per_request
                )
                if slot == len(requests) - 1 and is_on and not old:
                    usd += max(0, paid - run) * slot_usd
            best = min(best, usd)
        total += best
    return total


@settings(max_examples=120, deadline=None)
@given(
    requests=st.lists(st.integers(0, 8), min_size=1, max_size=7),
    spill_usd=st.sampled_from([0.2, 0.5, 1.5]),
    least=st.integers(1, 5),
    ready=st.integers(0, 2),
)
def test_a_minimum_of_billing_is_that_of_brute_force(
    requests: list[int], spill_usd: float, least: int, ready: int
) -> None:
    """What is started runs its minimum; the end of the demand cuts the run, not the bill."""
    pool = economics(spill_usd=spill_usd, cold_slots=1.0, most=2)
    found = optimum(rates(*requests), SLOT_S, pool, ready_at_start=ready, minimum_billing_s=(least + 1) * SLOT_S)
    assert found.usd == pytest.approx(brute_billed_usd(requests, pool, ready, least), abs=1e-9)


@pytest.mark.parametrize(
    ("requests", "pool", "counts", "usd"),
    [
        ([4, 4, 4, 4], economics(), [1, 1, 1, 1], 2 + 4),
        ([4, 4, 4], economics(spill_usd=0.4), [0, 0, 0], 12 * 0.4),
        ([4, 0, 4], economics(cold_slots=0), [1, 0, 1], 2),
        ([0, 0], economics(), [0, 0], 0),
        ([0, 0], economics(least=2), [2, 2], 4 + 4),
        ([8, 8, 8, 8], economics(most=1), [1, 1, 1, 1], 2 + 4 + 16 * 0.5),
        ([8, 8], economics(most=0), [0, 0], 8),
        ([9, 0, 0], economics(spill_usd=math.inf, cold_slots=0.5), [3, 0, 0], 3 * 1.5),
        ([1, 0, 1], economics(spill_usd=math.inf), [1, 1, 1], 2 + 3),
        ([4, 4], economics(spill_usd=0.0), [0, 0], 0),
    ],
    ids=[
        "worth-it",
        "not-worth-it",
        "D=0-follows-demand",
        "no-demand",
        "minimum",
        "one-replica",
        "no-replica",
        "spill-forbidden",
        "stays-over-a-short-gap",
        "spill-is-free",
    ],
)
def test_schedules_told_by_hand(requests: list[int], pool: Economics, counts: list[int], usd: float) -> None:
    """The counts and the cost that follow from counting."""
    found = optimum(rates(*requests), SLOT_S, pool)
    assert found.replicas.tolist() == counts
    assert found.usd == pytest.approx(usd)


def test_what_no_replica_can_do_is_unserved_where_spilling_is_forbidden() -> None:
    """More than the most replicas bear: told as unserved, not priced."""
    found = optimum(rates(12, 4), SLOT_S, economics(spill_usd=math.inf, most=1))
    assert found.unserved == pytest.approx(8)
    assert (found.spilled, found.spill_usd) == (0, 0)
    assert found.usd == pytest.approx(2 + 2)


def test_the_cost_is_told_in_its_parts() -> None:
    """Running, starting, spilling; their sum; per thousand requests."""
    found = optimum(rates(4, 4, 4, 5), SLOT_S, economics())
    assert (found.running_usd, found.start_usd) == (pytest.approx(4), pytest.approx(2))
    assert (found.spill_usd, found.spilled) == (pytest.approx(0.5), pytest.approx(1))
    assert found.spilled_peak_per_s == pytest.approx(1 / SLOT_S)
    assert found.usd_per_1k == pytest.approx(1000 * 6.5 / 17)
    assert optimum(rates(0), SLOT_S, economics()).usd_per_1k == 0


def test_more_levels_than_fit_in_one_piece_are_one_answer() -> None:
    """A pool of two hundred replicas is solved in pieces, and no replica is lost between them."""
    found = optimum(rates(*[800] * 50), SLOT_S, economics())
    assert found.replicas.tolist() == [200] * 50
    assert found.starts == 200


def test_a_run_that_the_end_cuts_is_billed_for_its_minimum() -> None:
    """Work worth a replica in the last slot only, with three slots to pay: still better than spilling it."""
    found = optimum(rates(0, 4), SLOT_S, economics(spill_usd=2.0), minimum_billing_s=5 * SLOT_S)
    assert found.replicas.tolist() == [0, 1]
    assert found.usd == pytest.approx(2 + 3)


@pytest.mark.parametrize(
    ("pool", "count"),
    [(economics(), 1), (economics(spill_usd=math.inf), 3), (economics(least=2), 2), (economics(spill_usd=0.0), 0)],
    ids=["priced", "forbidden", "minimum", "free"],
)
def test_the_best_constant_is_the_best_of_all_constants(pool: Economics, count: int) -> None:
    """The levels that are used more than their break-even share of the time."""
    requests = rates(4, 4, 5, 10)
    best = constant_best(requests, SLOT_S, pool)
    assert best.replicas.tolist() == [count] * 4
    others = [constant(requests, SLOT_S, pool, other) for other in range(pool.min_replicas, 5)]
    assert best.usd == min(other.usd for other in others if other.unserved == 0)


@pytest.mark.parametrize(
    ("over_s", "means"),
    [
        (30.0, [2, 2, 2, 5, 5, 5, 1, 9]),
        (10.0, [1, 2, 3, 4, 5, 6, 1, 9]),
        (1.0, [1, 2, 3, 4, 5, 6, 1, 9]),
        (90.0, [1, 2, 3, 4, 5, 6, 1, 9]),
    ],
    ids=["three", "one", "less-than-a-slot", "more-than-all"],
)
def test_demand_is_evened_out_piece_by_piece(over_s: float, means: list[float]) -> None:
    """Each whole piece has its mean, the rest stays: nothing is lost."""
    assert averaged([1, 2, 3, 4, 5, 6, 1, 9], 10.0, over_s).tolist() == means


@pytest.mark.parametrize(
    ("demand", "slot_s", "said"),
    [
        ([1.0, math.nan], 60.0, "the demand of slot 1 is nan"),
        ([-1.0], 60.0, "the demand of slot 0 is -1"),
        ([], 60.0, "at least one slot"),
        (np.ones((2, 2)), 60.0, r"the shape \(2, 2\)"),
        ([1.0], 0.0, "slot_s is 0"),
        ([1.0], math.inf, "slot_s is inf"),
    ],
    ids=str,
)
def test_demand_that_cannot_be_is_refused(demand: list[float], slot_s: float, said: str) -> None:
    """Named by slot, value and what is allowed."""
    with pytest.raises(SimulationError, match=said):
        optimum(demand, slot_s, economics())
