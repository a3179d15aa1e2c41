"""The optimum with a forecast that ends: a whole one is the optimum, a short one is ski rental."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.core.errors import SimulationError
from controller.replay.oracle import optimum
from controller.replay.oracle_nearsighted import nearsighted
from controller.replay.simulation_types import Economics

SLOT_S = 10.0


def economics(*, spill_usd: float = 0.5, cold_slots: float = 2.0, least: int = 0, most: int = 1000) -> Economics:
    """A dollar per replica and slot, four requests in it."""
    return Economics(
        replica_usd_per_s=1 / SLOT_S,
        spill_usd_per_request=spill_usd,
        replica_requests_per_s=4 / SLOT_S,
        cold_start_s=cold_slots * SLOT_S,
        min_replicas=least,
        max_replicas=most,
    )


def rates(*requests: float) -> list[float]:
    """Requests per slot as rates."""
    return [count / SLOT_S for count in requests]


demands = st.lists(st.integers(0, 14), min_size=1, max_size=30)


@settings(max_examples=100, deadline=None)
@given(
    requests=demands,
    spill_usd=st.sampled_from([0.0, 0.2, 0.37, 1.3, math.inf]),
    cold_slots=st.sampled_from([0.0, 1.0, 2.5]),
    ready=st.integers(0, 3),
    least=st.integers(0, 2),
)
def test_with_the_whole_forecast_it_is_the_optimum(
    *, requests: list[int], spill_usd: float, cold_slots: float, ready: int, least: int
) -> None:
    """Two ways to the same cost: the shortest path, and the rule that looks ahead."""
    pool = economics(spill_usd=spill_usd, cold_slots=cold_slots, least=least, most=3)
    best = optimum(rates(*requests), SLOT_S, pool, ready_at_start=ready)
    found = nearsighted(rates(*requests), SLOT_S, pool, ahead_s=math.inf, ready_at_start=ready)
    assert found.usd == pytest.approx(best.usd, abs=1e-9)
    assert found.unserved == pytest.approx(best.unserved)


@settings(max_examples=100, deadline=None)
@given(requests=demands, spill_usd=st.sampled_from([0.2, 0.37, 1.3, math.inf]), known=st.integers(0, 5))
def test_what_is_not_known_costs_at_most_three_times(requests: list[int], spill_usd: float, known: int) -> None:
    """Never below the optimum; never above three times it, whatever comes (Lin 2011)."""
    pool = economics(spill_usd=spill_usd)
    best = optimum(rates(*requests), SLOT_S, pool)
    found = nearsighted(rates(*requests), SLOT_S, pool, ahead_s=pool.cold_start_s + known * SLOT_S)
    assert best.usd - 1e-9 <= found.usd <= 3 * best.usd + 1e-9


@settings(max_examples=60, deadline=None)
@given(head=demands, one=demands, other=demands, known=st.integers(0, 4))
def test_what_lies_beyond_the_forecast_changes_nothing_before(
    head: list[int], one: list[int], other: list[int], known: int
) -> None:
    """Two futures that are the same as far as is known have the same counts up to there."""
    pool = economics()
    ahead_s = pool.cold_start_s + known * SLOT_S
    tail = [5] * (known + 1)
    first = nearsighted(rates(*head, *tail, *one), SLOT_S, pool, ahead_s=ahead_s).replicas[: len(head)]
    second = nearsighted(rates(*head, *tail, *other), SLOT_S, pool, ahead_s=ahead_s).replicas[: len(head)]
    assert first.tolist() == second.tolist()


@pytest.mark.parametrize(
    ("known", "counts"),
    [(0, [0, 0, 1, 1, 1, 1, 0, 0]), (1, [0, 1, 1, 1, 1, 0, 0, 0]), (2, [1, 1, 1, 1, 0, 0, 0, 0])],
    ids=["ski-rental", "one-slot", "two-slots"],
)
def test_a_longer_forecast_rents_less_and_buys_sooner(known: int, counts: list[int]) -> None:
    """Two dollars of start are first lost by spilling, and by idling, unless so much is known beforehand."""
    pool = economics()
    found = nearsighted(rates(4, 4, 4, 4, 0, 0, 0, 0), SLOT_S, pool, ahead_s=pool.cold_start_s + known * SLOT_S)
    assert found.replicas.tolist() == counts


def test_no_demand_needs_nothing() -> None:
    """No replica, no cost."""
    assert nearsighted(rates(0, 0), SLOT_S, economics(), ahead_s=20.0).usd == 0


@pytest.mark.parametrize("ahead_s", [19.0, math.nan], ids=["too-short", "nan"])
def test_a_forecast_shorter_than_a_cold_start_is_refused(ahead_s: float) -> None:
    """What is ordered could not serve any slot that is known."""
    with pytest.raises(SimulationError, match=r"it must be at least the cold start \(20\)"):
        nearsighted(rates(1), SLOT_S, economics(), ahead_s=ahead_s)
