"""Pools that share GPUs, simulated together: beside the best schedule, and beside ways that do not decide together."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.core.errors import SimulationError
from controller.replay.fluid import FluidRun
from controller.replay.oracle_lp import optimum_mixed
from controller.replay.shared_nodes import OwnWishes, ProductionSharing, SharingPool, mix_of, simulate_shared
from controller.replay.simulation_types import Curve, Economics, Outcome

SLOT_S = 60.0
GPUS = 8
COLD_START_S = 300.0
SMOOTH = FluidRun(noise=False, scrape_s=SLOT_S)
HOUR = 60


def pool(name: str, demand: Sequence[float], *, spill_usd: float, ready: int = 2, gpus: int = 4) -> SharingPool:
    """A replica does one request a second for $11 an hour; `demand` in replicas, minute by minute."""
    economics = Economics(
        replica_usd_per_s=11.0 / 3600.0,
        spill_usd_per_request=spill_usd / 3600.0,
        replica_requests_per_s=1.0,
        cold_start_s=COLD_START_S,
        max_replicas=ready,
    )
    curve = Curve(name=name, slot_s=SLOT_S, rates_per_s=list(demand), kind="synthetic")
    return SharingPool(name=name, curve=curve, economics=economics, gpus=gpus)


def outcomes(pools: Sequence[SharingPool], sharing: OwnWishes) -> dict[str, Outcome]:
    """One run, a tick a minute."""
    return simulate_shared(pools, GPUS, sharing, seed=1, run=SMOOTH, period_s=SLOT_S)


def usd(pools: Sequence[SharingPool], sharing: OwnWishes) -> float:
    """What a run costs."""
    return sum(one.usd for one in outcomes(pools, sharing).values())


def best_usd(pools: Sequence[SharingPool]) -> float:
    """What it would have cost to know all demand."""
    return optimum_mixed(mix_of(pools, GPUS, slot_s=COLD_START_S), gap_ratio=1e-4).usd


def stretched(hours: Sequence[float]) -> list[float]:
    """So much in each hour."""
    return [value for value in hours for _ in range(HOUR)]


TURNS = (
    pool("cheap", stretched([0.9] * 2 + [1.9] * 6 + [0.2] * 4), spill_usd=25.0),
    pool("dear", stretched([0.9] * 6 + [1.9] * 6), spill_usd=60.0),
)


def test_pools_that_take_turns_cost_little_more_than_the_best_schedule() -> None:
    """And less than with fixed parts, or when whoever comes first has the GPUs."""
    ours = usd(TURNS, ProductionSharing(TURNS, GPUS))
    assert ours <= 1.08 * best_usd(TURNS)
    assert ours < usd(TURNS, OwnWishes(TURNS, {"cheap": 1, "dear": 1}))
    assert ours < usd(TURNS, OwnWishes(TURNS))


def test_bursts_do_not_make_them_swap() -> None:
    """A quarter of an hour up and down in turn: not more than a few changes in twelve hours."""
    up_down = ([1.9] * 15 + [1.0] * 15) * 24
    pools = (pool("a", up_down, spill_usd=40.0), pool("b", up_down[15:] + up_down[:15], spill_usd=42.0))
    found = outcomes(pools, ProductionSharing(pools, GPUS))
    assert sum(one.actions_per_hour for one in found.values()) <= 0.5
    assert usd(pools, ProductionSharing(pools, GPUS)) <= 1.1 * best_usd(pools)


@settings(max_examples=6, deadline=None)
@given(
    st.lists(st.floats(0.0, 2.5), min_size=4, max_size=4),
    st.lists(st.floats(0.0, 4.5), min_size=4, max_size=4),
    st.floats(15.0, 80.0),
    st.floats(15.0, 80.0),
)
def test_small_courses_stay_near_the_best_schedule(
    large: list[float], small: list[float], large_usd: float, small_usd: float
) -> None:
    """Four hours of any demand, replicas of four and of two GPUs; never more replicas than there are GPUs for."""
    pools = (
        pool("large", stretched(large), spill_usd=large_usd),
        pool("small", stretched(small), spill_usd=small_usd, ready=4, gpus=2),
    )
    found = outcomes(pools, ProductionSharing(pools, GPUS))
    assert sum(one.usd for one in found.values()) <= 1.3 * best_usd(pools) + 40.0  # of 80 drawn courses 1.41 at most
    assert all(one.attained >= 0.99 * one.offered for one in found.values())


def test_pools_on_other_slots_are_refused() -> None:
    """All are played slot by slot."""
    pools = (pool("a", [1.0, 1.0], spill_usd=20.0), pool("b", [1.0], spill_usd=20.0))
    with pytest.raises(SimulationError, match="the pools have 2 kinds of slots"):
        simulate_shared(pools, GPUS, OwnWishes(pools), seed=1)
