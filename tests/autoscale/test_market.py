"""A pool whose work may be bought: how many replicas pay, and what is said about it."""

from __future__ import annotations

from dataclasses import replace
from math import inf

import pytest

from controller.autoscale.decide import ScaleDecision, ScaleState, decide
from controller.autoscale.experts import assembled
from controller.autoscale.ledgers import Ledgers
from controller.autoscale.market import MarketState
from controller.autoscale.prices import Prices
from controller.autoscale.trend import Trend
from controller.core.pools import ScalePolicy
from controller.core.samples import PoolSample

POLICY = ScalePolicy(min_replicas=0, max_replicas=6, target_utilization_ratio=0.9, scale_down_cooldown_s=0.0)
PRICES = Prices(replica_usd_per_s=1.0, spill_usd_per_replica_s=2.0, cold_start_s=100.0)
TICK_S = 10.0


def sample(demand: float, ready: int, **more: float) -> PoolSample:
    """A pool that has room, unless said otherwise."""
    made = PoolSample(
        at_s=0.0,
        replicas_ready=ready,
        replicas_warming=0,
        replicas_draining=0,
        running=1,
        waiting=0,
        kv_cache_usage_ratio=0.1,
        saturation_ratio=0.5,
        arrivals_per_s=10.0,
        spilled_per_s=0.0,
        demand_replicas=demand,
    )
    return replace(made, **more)  # type: ignore[arg-type]  # counts among them


class Pool:
    """One that has what was decided a tick later."""

    def __init__(self, replicas: int, *, policy: ScalePolicy = POLICY, prices: Prices = PRICES) -> None:
        self.replicas, self.policy, self.prices = replicas, policy, prices
        market = MarketState(since_s=0.0, at_s=0.0, ledgers=Ledgers(on=replicas), experts=assembled(replicas))
        self.state, self.now_s = ScaleState(market=market), 0.0

    def tick(self, demand: float, **more: float) -> ScaleDecision:
        """One decision."""
        seen = sample(demand, self.replicas, **more)
        decision, self.state = decide(
            seen, self.state, self.policy, replicas_now=self.replicas, prices=self.prices, now_s=self.now_s
        )
        self.replicas, self.now_s = decision.replicas, self.now_s + TICK_S
        return decision

    def ticks(self, demand: float, count: int, **more: float) -> list[int]:
        """What was decided by so many."""
        return [self.tick(demand, **more).replicas for _ in range(count)]


def test_it_grows_when_buying_has_cost_a_start_and_shrinks_when_replicas_have() -> None:
    """A start costs $100; three tenths of that are three ticks of a replica's work bought at twice its price."""
    pool = Pool(1)
    assert pool.ticks(2.4, 13) == [1] * 4 + [2] * 9
    assert pool.ticks(2.4, 40)[-1] == 2  # two fifths of a third replica's use do not pay for it
    assert pool.ticks(0.0, 30)[-1] == 0


def test_each_reason_names_its_ledger() -> None:
    """In dollars: who leads, by how much, and when it comes to something."""
    pool = Pool(1)
    assert pool.tick(1.5).reason == "demand 1.50: a replica pays from 50 % of use on"
    pool.tick(2.5)
    assert pool.tick(2.5).reason == "demand 2.50: buying has cost $20 more than replica 2, it starts at $30"
    said = [pool.tick(2.5).reason for _ in range(10)]
    assert "demand 2.50: buying has cost $30 more than replica 2" in said
    pool.tick(0.5)
    assert pool.tick(0.5).reason.startswith("demand 0.50: replica 2 has cost $")
    said = [pool.tick(0.5).reason for _ in range(12)]
    assert any(one.startswith("demand 0.50: replica 2 has cost $") and one.endswith("more than buying") for one in said)


@pytest.mark.parametrize("spill_usd_per_replica_s", [0.0, 0.5], ids=["free", "cheap"])
def test_a_replica_that_never_pays_is_said_to(spill_usd_per_replica_s: float) -> None:
    """No use in percent for what is dearer than buying at any use."""
    prices = replace(PRICES, spill_usd_per_replica_s=spill_usd_per_replica_s)
    said = "demand 2.50: a replica never pays, buying costs less than one that is always busy"
    assert Pool(0, prices=prices).tick(2.5).reason == said


def test_a_trend_is_told_in_the_reason() -> None:
    """What it adds to the demand by the time a replica serves."""
    pool = Pool(3)
    assert pool.state.market is not None
    pool.state = ScaleState(market=replace(pool.state.market, trend=Trend(slope_per_s=0.005)))
    decision = pool.tick(2.5)
    assert decision.reason == "demand 2.50, +0.50 by its trend: a replica pays from 50 % of use on"
    assert decision.terms is not None
    assert (decision.terms.patience_ahead, decision.terms.ahead_replicas) == (1.0, 0.5)


def test_a_restart_takes_nothing_away_for_a_cooldown() -> None:
    """A controller that has just started knows nothing of what was needed."""
    pool = Pool(4, policy=replace(POLICY, scale_down_cooldown_s=300.0))
    pool.state = ScaleState()
    decisions = [pool.tick(0.0) for _ in range(31)]
    assert {one.replicas for one in decisions[:30]} == {4}
    assert ("cooldown",) in {one.constraints for one in decisions}
    assert pool.ticks(0.0, 12)[-1] == 0


def test_no_shrink_while_a_replica_says_nothing() -> None:
    """The sums are too small then."""
    pool = Pool(3)
    assert set(pool.ticks(0.0, 30, replicas_unknown=1)) == {3}
    silent = [pool.tick(0.0, replicas_unknown=1).reason for _ in range(12)]
    assert "no word from 1 of 3 replicas" in silent


CHEAP = replace(PRICES, spill_usd_per_replica_s=0.7)  # than a replica, so that none pays by the market alone


def test_what_providers_cannot_take_has_replicas() -> None:
    """Of a demand of 4.5 they take two, of which 1.8 are counted on: a tick later three are there, for a cooldown."""
    policy = replace(POLICY, scale_down_cooldown_s=200.0)
    pool = Pool(1, prices=replace(CHEAP, spill_limit_replicas=2.0), policy=policy)
    assert pool.ticks(4.5, 2) == [1, 3]
    assert pool.ticks(4.5, 3) == [3] * 3
    pool.state = replace(pool.state, market=replace(pool.state.market, since_s=-1000.0))  # type: ignore[type-var]
    said = [pool.tick(0.0) for _ in range(30)]
    assert [one.replicas for one in said[:19]] == [3] * 19
    assert said[-1].replicas == 0
    assert said[0].reason == (
        "demand 0.00, providers take at most 2.00: replica 3 stays for now, what it served would have been late"
    )
    assert said[-1].reason.endswith("a replica pays only for what providers have no room for")


def test_providers_keep_room_for_what_may_come() -> None:
    """They could take all four, but six more may come where there are four: two busy replicas stay for that."""
    pool = Pool(4, prices=replace(CHEAP, spill_limit_replicas=8.0))
    assert pool.ticks(4.0, 40)[-1] == 2
    assert Pool(4, prices=CHEAP).ticks(4.0, 40)[-1] == 0


def test_a_rising_demand_is_met_when_it_has_come() -> None:
    """A replica takes 100 s, in which demand rises by one: what providers will not take then is started now."""
    pool = Pool(4, prices=replace(PRICES, spill_limit_replicas=0.0), policy=replace(POLICY, max_replicas=20))
    for tick in range(60):
        decision = pool.tick(3.0 + tick * TICK_S / 100.0)
    assert decision.replicas == pytest.approx(9.0 + 1.0, abs=1.0)


@pytest.mark.parametrize("prices", [None, replace(PRICES, spill_usd_per_replica_s=inf)], ids=["unknown", "nobody"])
def test_without_a_market_the_target_decides(prices: Prices | None) -> None:
    """No price, or nobody to ask: demand over target utilisation."""
    decision, _ = decide(sample(2.0, 1), ScaleState(), POLICY, replicas_now=1, prices=prices, now_s=0.0)
    assert (decision.replicas, decision.reason) == (3, "demand 2.00 at target 0.90")


def test_when_the_market_goes_away_the_cooldown_begins() -> None:
    """Prices that are not known any more take no replica away at once."""
    pool = Pool(3, policy=replace(POLICY, scale_down_cooldown_s=60.0))
    pool.ticks(2.6, 10)
    kept = decide(sample(0.5, 3), pool.state, pool.policy, replicas_now=3, prices=None, now_s=pool.now_s)[0]
    assert (kept.replicas, kept.constraints) == (3, ("cooldown",))


def test_a_full_pool_does_not_believe_a_demand_that_fits() -> None:
    """Two are full and a third of the requests is bought: the demand is three, and a third replica pays."""
    pool = Pool(2)
    assert pool.ticks(1.9, 5, saturation_ratio=1.0, spilled_per_s=3.4) == [2] * 4 + [3]
    assert set(Pool(2).ticks(1.9, 13, saturation_ratio=1.0, spilled_per_s=10.0)) == {2}  # nothing to tell it by
    assert set(Pool(2).ticks(1.9, 13, saturation_ratio=1.0, spilled_per_s=3.4, replicas_warming=1)) == {2}


def test_a_long_gap_between_ticks_is_not_taken_for_demand() -> None:
    """Of what was between them half a minute counts."""
    pool = Pool(1)
    pool.tick(3.0)
    pool.now_s += 3600.0
    assert pool.tick(3.0).replicas == 1
    assert pool.state.market is not None
    assert pool.state.market.ledgers.at(1) == pytest.approx(30.0)


def test_a_replica_that_stays_in_any_case_is_not_said_to_go() -> None:
    """The least there are cost what they cost; only those above them are weighed against buying."""
    pool = Pool(1, policy=replace(POLICY, min_replicas=1))
    pool.tick(0.0)
    decision = pool.tick(0.0)
    assert decision.reason == "demand 0.00: a replica pays from 50 % of use on"
    assert decision.terms is not None
    assert (decision.terms.on_lost_usd, decision.terms.least_replicas) == (0.0, 1)
