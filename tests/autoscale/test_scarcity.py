"""What work counts as where providers take only so much."""

from __future__ import annotations

from dataclasses import replace
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.autoscale.prices import Prices
from controller.autoscale.scarcity import LATE_RATIO, SPARE_RATIO, Scarcity, scarcity

# A replica costs $1 a second, its work elsewhere 60 cents, as far as providers take it: ten replicas of it.
PRICES = Prices(replica_usd_per_s=1.0, spill_usd_per_replica_s=0.6, cold_start_s=100.0, spill_limit_replicas=10.0)


def found(demand_replicas: float, prices: Prices = PRICES) -> Scarcity:
    """There is one."""
    scarce = scarcity(prices, demand_replicas)
    assert scarce is not None
    return scarce


def test_without_a_limit_nothing_is_scarce() -> None:
    """The price is all."""
    assert scarcity(replace(PRICES, spill_limit_replicas=inf), 100.0) is None


@pytest.mark.parametrize(
    ("demand", "spare_from"),
    [(0.0, 8.0), (0.5, 8.0), (2.0, 7.0), (4.0, 4.0), (7.0, 0.0), (50.0, 0.0)],
)
def test_providers_keep_room_for_what_may_come(demand: float, spare_from: float) -> None:
    """For one and a half times the demand, and for two replicas at least; nine tenths are ever counted on."""
    assert found(demand).spare_from_replicas == spare_from
    assert found(demand).late_from_replicas == pytest.approx(9.0)


def test_few_replicas_of_room_are_all_kept() -> None:
    """Providers who take less than two."""
    small = found(0.5, replace(PRICES, spill_limit_replicas=1.5))
    assert (small.spare_from_replicas, small.late_from_replicas) == (0.0, pytest.approx(1.35))


def test_each_part_counts_as_its_multiple_of_the_price() -> None:
    """Bought at 60 cents; what takes the spare room as 1.1 replicas; what is late as sixteen."""
    scarce = found(2.0)
    whole = 12.0 * 0.6 + scarce.usd_per_s(12.0)
    assert whole == pytest.approx(7.0 * 0.6 + 2.0 * SPARE_RATIO + 3.0 * LATE_RATIO)
    dear = found(2.0, replace(PRICES, spill_usd_per_replica_s=4.0))
    assert (dear.spare_usd_per_s, dear.late_usd_per_s) == (0.0, 4.0 * LATE_RATIO - 4.0)


@given(st.floats(0.0, 30.0), st.floats(0.0, 30.0))
def test_levels_add_up_to_the_pool(demand: float, short: float) -> None:
    """What each replica more would take is together what is short."""
    scarce = found(demand)
    levels = [scarce.of_level_usd_per_s(short - level)[0] for level in range(31)]
    assert sum(levels) == pytest.approx(scarce.usd_per_s(short))
    assert levels == sorted(levels, reverse=True)


def test_what_is_late_is_looked_for_along_a_rise() -> None:
    """One replica more than 9 is late now, a half of it once demand has risen by half a replica from 9."""
    scarce = found(10.0)
    assert scarce.of_level_usd_per_s(10.0)[1] == scarce.late_usd_per_s
    assert scarce.of_level_usd_per_s(9.0)[1] == 0.0
    assert scarce.of_level_usd_per_s(9.0, 0.5)[1] == pytest.approx(0.5 * scarce.late_usd_per_s)
