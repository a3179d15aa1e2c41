"""What was wished and could not be had is not asked for again, and is had as soon as it can be."""

from __future__ import annotations

from dataclasses import replace

from pool_samples import sample

from controller.autoscale.decide import STUCK_S, ScaleDecision, ScaleState, decide
from controller.autoscale.owed import with_owed
from controller.autoscale.prices import Prices
from controller.core.pools import ScalePolicy
from controller.core.samples import PoolSample

POLICY = ScalePolicy(min_replicas=1, max_replicas=9)
PRICES = Prices(replica_usd_per_s=0.001, spill_usd_per_replica_s=0.005, cold_start_s=240.0)


def decided(
    seen: PoolSample | None, state: ScaleState, prices: Prices | None, now_s: float
) -> tuple[ScaleDecision, ScaleState]:
    """What is decided while there is one replica."""
    seen, count = with_owed(seen, state, 1)
    return decide(seen, state, POLICY, replicas_now=count, prices=prices, now_s=now_s)


def wishes(demand: float, seconds: int, *, prices: Prices | None, saturation: float = 0.5) -> list[int]:
    """What is wished every five seconds while there is one replica and no more can be had."""
    state, found = ScaleState(), []
    for at_s in range(0, seconds, 5):
        seen = sample(demand, at_s=at_s, saturation=saturation)
        decision, state = decided(seen, state, prices, float(at_s))
        found.append(decision.replicas)
    return found


def test_a_wish_stands_while_it_pays() -> None:
    """It neither flickers nor grows while it cannot be had."""
    found = wishes(2.9, 3600, prices=PRICES)
    assert found[-1] == 3
    assert found == sorted(found)


def test_a_full_pool_does_not_ask_for_ever_more() -> None:
    """Where nothing may be bought a full pool asks for one more than seems to be needed, once."""
    found = wishes(0.5, 10 * int(STUCK_S), prices=None, saturation=1.5)
    assert (found[0], found[-1]) == (1, 2)


def test_a_wish_ends_when_it_does_not_pay_any_more() -> None:
    """Demand has fallen: what is owed is given up as what is there would be."""
    state = replace(ScaleState(), replicas=3)
    for at_s in range(0, 7200, 20):
        decision, state = decided(sample(0.5, at_s=at_s, saturation=0.5), state, PRICES, float(at_s))
    assert decision.replicas == 1


def test_blind_keeps_the_wish() -> None:
    """No news is no reason to give up."""
    decision, _ = decided(None, ScaleState(replicas=3), PRICES, 0.0)
    assert decision.replicas == 3
