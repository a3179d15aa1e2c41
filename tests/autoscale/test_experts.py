"""Which patience leads, by what each would have spent."""

from __future__ import annotations

from dataclasses import replace
from math import exp

import pytest

from controller.autoscale.experts import MEMORY_S, PATIENCES, Experts, assembled, taught
from controller.autoscale.ledgers import Bounds, Spell
from controller.autoscale.prices import Prices
from controller.autoscale.scarcity import scarcity

TICK_S = 10.0
PRICES = Prices(replica_usd_per_s=1.0, spill_usd_per_replica_s=3.0, cold_start_s=300.0)
WIDE = Bounds(least=0, most=20)


def lived(experts: Experts, demands: list[float]) -> Experts:
    """The experts after these ticks."""
    for tick, demand in enumerate(demands, 1):
        spell = Spell(demand_replicas=demand, elapsed_s=TICK_S, now_s=tick * TICK_S, prices=PRICES, bounds=WIDE)
        experts = taught(experts, spell)
    return experts


def test_they_begin_quick_and_with_the_pool_as_it_is() -> None:
    """Nothing is learned yet: a late replica costs more than one that was not needed."""
    experts = assembled(3)
    assert (experts.patience.up, experts.patience.down, experts.patience.ahead) == (0.3, 0.3, 1.0)
    assert {(one.ready, one.ledgers.on, one.spent_usd) for one in experts.experts} == {(3, 3, 0.0)}


def test_an_imagined_replica_costs_from_its_start_and_serves_after_a_cold_start() -> None:
    """One tick of demand 1 costs $30 bought, $40 with a replica on its way, $10 once it is ready."""
    spent = [0.0]
    experts = assembled(0)
    for tick in range(1, 60):
        spell = Spell(demand_replicas=1.0, elapsed_s=TICK_S, now_s=tick * TICK_S, prices=PRICES, bounds=WIDE)
        kept = experts.experts[0].spent_usd * exp(-TICK_S / MEMORY_S)
        experts = taught(experts, spell)
        spent.append(round(experts.experts[0].spent_usd - kept, 6))
    assert spent[1:5] == [30.0] * 4  # $20 more a tick than a replica: $90 is lost in the fifth
    assert set(spent[6:35]) == {40.0}
    assert set(spent[36:]) == {10.0}


def test_work_that_has_no_place_counts_as_late() -> None:
    """Of four, providers take one, of which 0.9 are counted on: the rest counts as sixteen times its price."""
    prices = replace(PRICES, spill_limit_replicas=1.0)
    spell = Spell(
        demand_replicas=4.0,
        elapsed_s=TICK_S,
        now_s=TICK_S,
        prices=prices,
        bounds=WIDE,
        scarce=scarcity(prices, 4.0),
    )
    spent = [one.spent_usd for one in taught(assembled(0), spell).experts]
    assert spent == pytest.approx([TICK_S * 3.0 * (0.9 + 16.0 * 3.1)] * 5)


def test_a_replica_that_is_given_up_while_it_starts_never_serves() -> None:
    """What is on its way goes first, then what is ready."""
    experts = lived(assembled(1), [3.0] * 30 + [0.0] * 400)
    assert [(one.ledgers.on, one.ready, one.due_s) for one in experts.experts[:3]] == [(0, 0, ())] * 3
    assert max(one.ready for one in experts.experts) <= 3


@pytest.mark.parametrize(
    ("name", "demands"),
    [
        ("a square wave as long as a cold start", ([4.0] * 30 + [1.0] * 30) * 60),
        ("bursts shorter than a cold start", ([6.0] * 6 + [0.0] * 60) * 60),
        ("a slow tide", [5.0 + 4.0 * (1.0 - abs(tick % 4000 - 2000) / 1000.0) for tick in range(12_000)]),
    ],
)
def test_the_lead_goes_to_what_was_cheapest(name: str, demands: list[float]) -> None:
    """After hours of a pattern nobody is cheaper than the leader by more than a change of lead is worth."""
    experts = lived(assembled(1), demands)
    leader = experts.experts[experts.leader]
    margin_usd = 0.1 * PRICES.start_usd * max(1, leader.ready)
    assert leader.spent_usd <= min(one.spent_usd for one in experts.experts) + margin_usd, name


def test_on_a_square_wave_the_lead_goes_to_those_that_stay_up() -> None:
    """Replicas that come when they are no longer needed are the worst of both."""
    experts = lived(assembled(1), ([4.0] * 30 + [1.0] * 40) * 60)
    assert experts.patience.down == max(patience.down for patience in PATIENCES)
