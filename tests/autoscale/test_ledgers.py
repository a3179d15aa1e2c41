"""Levels of a pool and what each has lost by being on or off."""

from __future__ import annotations

from dataclasses import replace
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.autoscale.ledgers import Bounds, Ledgers, Patience, Spell, moved, stepped
from controller.autoscale.prices import Prices
from controller.autoscale.scarcity import scarcity

# A replica costs $1 a second, its work elsewhere $2, a start $10.
PRICES = Prices(replica_usd_per_s=1.0, spill_usd_per_replica_s=2.0, cold_start_s=10.0)
EVEN = Patience(up=1.0, down=1.0)
WIDE = Bounds(least=0, most=20)


def spell(demand: float, elapsed_s: float = 1.0, *, bounds: Bounds = WIDE, prices: Prices = PRICES) -> Spell:
    """So long of this demand."""
    scarce = scarcity(prices, demand)
    return Spell(demand_replicas=demand, elapsed_s=elapsed_s, now_s=0.0, prices=prices, bounds=bounds, scarce=scarce)


def after(ledgers: Ledgers, demand: float, seconds: int, patience: Patience = EVEN) -> Ledgers:
    """The ledgers after so many seconds, told one by one."""
    for _ in range(seconds):
        ledgers = stepped(ledgers, patience, spell(demand))
    return ledgers


def test_a_level_starts_once_buying_has_cost_a_start_more() -> None:
    """Whole levels lose $1 a second while they are off, half a level nothing: it does not pay."""
    ten = after(Ledgers(on=0), 2.5, 10)
    assert (ten.on, ten.lost_usd) == (0, (10.0, 10.0))
    eleven = stepped(ten, EVEN, spell(2.5))
    assert (eleven.on, eleven.lost_usd) == (2, (0.0, 0.0))
    assert after(eleven, 2.5, 100).on == 2


def test_a_level_goes_once_it_has_cost_a_start_more() -> None:
    """Idle it loses $1 a second; every level on its own, so a pool falls as fast as its demand did."""
    assert after(Ledgers(on=5), 1.6, 10).on == 5
    assert after(Ledgers(on=5), 1.6, 11).on == 2
    assert after(Ledgers(on=5), 0.0, 11).on == 0


def test_patience_is_counted_in_starts() -> None:
    """A third of a start to come, two to go."""
    quick = Patience(up=0.3, down=2.0)
    assert [after(Ledgers(on=0), 1.0, seconds, quick).on for seconds in (3, 4)] == [0, 1]
    assert [after(Ledgers(on=1), 0.0, seconds, quick).on for seconds in (20, 21)] == [1, 0]


def test_a_level_that_kept_work_from_being_late_stays() -> None:
    """For `kept_s`, one second of such work is enough; what it saved against buying does not count for that."""
    scarce = replace(PRICES, spill_limit_replicas=1.0)

    def left_after(busy: float, seconds: int) -> int:
        ledgers = Ledgers(on=3)
        for demand in (busy, *[0.0] * seconds):
            ledgers = stepped(ledgers, EVEN, replace(spell(demand, prices=scarce), kept_s=30.0))
        return ledgers.on

    assert [left_after(4.0, seconds) for seconds in (30, 31)] == [3, 0]  # of the third: 4 - 2 - 0.9 were late
    assert [left_after(2.9, seconds) for seconds in (10, 11, 30, 31)] == [3, 2, 2, 0]
    unlimited = stepped(Ledgers(on=1, lost_usd=(-20.0,)), EVEN, spell(1.0))
    assert unlimited.lost_usd == (0.0,)  # nothing is scarce any more


def test_work_without_a_place_is_looked_for_along_a_rising_trend() -> None:
    """In 10 s demand will be one more, of which providers take 0.9; a rule that knows no trend asks for a level too."""
    scarce = replace(PRICES, spill_limit_replicas=1.0)
    rising = replace(spell(0.5, prices=scarce), slope_per_s=0.1)
    assert stepped(Ledgers(on=0), EVEN, rising).on == 1
    assert stepped(Ledgers(on=0), EVEN, replace(rising, slope_per_s=-0.1)).on == 0


def test_demand_is_looked_for_along_the_trend() -> None:
    """In 10 s it will be 1.5 more: off, level 2 is told of a demand of 2.5; on, of what will be when it may go."""
    rising = replace(spell(1.0), slope_per_s=0.15)
    quick = Patience(up=1.0, down=0.2, ahead=1.0)
    assert stepped(Ledgers(on=0), quick, rising).lost_usd == (1.0, 1.0)
    assert stepped(Ledgers(on=0), EVEN, rising).lost_usd == (1.0,)
    falling = replace(spell(2.0), slope_per_s=-0.5)
    assert stepped(Ledgers(on=2), quick, falling).lost_usd == (0.0, 1.0)
    assert stepped(Ledgers(on=0), replace(quick, ahead=9.0), falling).lost_usd == ()


def test_the_operator_may_be_more_patient_before_a_start() -> None:
    """And just as patient before a stop."""
    slow = [replace(spell(demand), start_patience_ratio=2.0) for demand in (1.0, 0.0)]
    ledgers = Ledgers(on=0)
    seen = []
    for _ in range(21):
        ledgers = stepped(ledgers, EVEN, slow[0])
        seen.append(ledgers.on)
    assert seen == [0] * 20 + [1]
    for _ in range(11):
        ledgers = stepped(ledgers, EVEN, slow[1])
    assert ledgers.on == 0


def test_what_was_lost_is_won_back() -> None:
    """A ledger falls with what its state saves, never below zero."""
    lost = after(Ledgers(on=1), 0.0, 5)
    assert lost.lost_usd == (5.0,)
    assert after(lost, 1.0, 3).lost_usd == (2.0,)
    assert after(lost, 1.0, 30).lost_usd == (0.0,)


def test_bounds_hold_whatever_pays() -> None:
    """The least are on at once, the most are never exceeded, and what is above them goes."""
    assert stepped(Ledgers(on=0), EVEN, spell(0.0, bounds=Bounds(least=2, most=4))).on == 2
    assert stepped(Ledgers(on=0), EVEN, spell(9.0, 1e6, bounds=Bounds(least=0, most=4))).on == 4
    assert stepped(Ledgers(on=7), EVEN, spell(9.0, bounds=Bounds(least=0, most=4))).on == 4
    assert stepped(Ledgers(on=3), EVEN, spell(0.0, 1e6, bounds=Bounds(least=2, most=4))).on == 2


def test_a_start_that_costs_nothing_waits_for_nothing() -> None:
    """Without a cold start the pool follows what pays now."""
    free = Prices(replica_usd_per_s=1.0, spill_usd_per_replica_s=2.0, cold_start_s=0.0)
    assert stepped(Ledgers(on=0), EVEN, spell(2.6, prices=free)).on == 3
    assert stepped(Ledgers(on=3), EVEN, spell(1.4, prices=free)).on == 1


@pytest.mark.parametrize(("on", "lost"), [(1, (4.0, 0.0, 6.0)), (3, (4.0, 5.0, 0.0)), (2, (4.0, 5.0, 6.0))])
def test_levels_that_somebody_else_switched_begin_anew(on: int, lost: tuple[float, ...]) -> None:
    """A pin, a drain, a death: the others keep their ledgers."""
    assert moved(Ledgers(on=2, lost_usd=(4.0, 5.0, 6.0)), on) == Ledgers(on=on, lost_usd=lost)


@given(st.lists(st.floats(0.0, 6.0), max_size=60), st.integers(0, 6), st.sampled_from([0.3, 1.0, 4.0]))
def test_ledgers_stay_small_and_within_bounds(demands: list[float], on: int, patience: float) -> None:
    """No level beyond what is on or was asked for is remembered; none has lost more than it may."""
    ledgers, most = Ledgers(on=on), max([on, *(int(demand) + 1 for demand in demands)], default=on)
    for demand in demands:
        ledgers = stepped(ledgers, Patience(up=patience, down=patience), spell(demand))
        assert 0 <= ledgers.on <= max(on, ceil(max(demands)))
        assert len(ledgers.lost_usd) <= most
        assert all(0.0 <= lost <= patience * PRICES.start_usd for lost in ledgers.lost_usd)
        assert ledgers.at(len(ledgers.lost_usd)) == 0.0
