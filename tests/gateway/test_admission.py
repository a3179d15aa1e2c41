"""May this request go there now: late pools, resting providers, spent budgets, and the order of targets."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from controller.config.settings import Timeouts
from controller.core.errors import EngineUnavailable
from controller.core.fleet import FleetView, PoolView, RoutingMode
from controller.core.requests import Target
from controller.gateway.admission import Admission, Admitted
from controller.gateway.exchange import Exchange, Skip
from tests.gateway.gateway_builders import BOUGHT, OPENAI, OWN, POOL, MemoryLedger, destinations, exchange, replica
from tests.gateway.own_pools_world import NONE, World

NOW_S = 1000.0


class Door:
    """Admission to one replica of POOL, and to a provider."""

    def __init__(self) -> None:
        self.world, self.ledger = World(replica("r1")), MemoryLedger()
        self.admission = Admission(
            self.world.pools,
            loads=self.world.loads,
            breakers=self.world.breakers,
            ledger=self.ledger,
            timeouts=Timeouts(),
        )

    def own(self, asked: Exchange, others: tuple[Target, ...] = (BOUGHT,)) -> Admitted | Skip:
        """A place at the pool."""
        return self.admission.own(asked, POOL, NONE, NOW_S, others=others)

    def external(self, asked: Exchange) -> Admitted | Skip:
        """A place at the provider."""
        destination = destinations().of(BOUGHT, asked.operation)
        return asyncio.run(self.admission.external(asked, OPENAI, destination, NOW_S))

    def publish(self, mode: RoutingMode, spill_ratio: float = 0.0) -> None:
        """The controller's word on the pool."""
        pool = PoolView(name=POOL.name, replicas=(replica("r1"),), mode=mode, spill_ratio=spill_ratio)
        self.world.feed.now = FleetView(pools={POOL.name: pool})


def test_a_place_at_a_replica() -> None:
    """Its address, its load, and when the first token is due."""
    place = Door().own(exchange())
    assert isinstance(place, Admitted)
    assert (place.base_url, place.breaker, place.load is not None) == ("http://r1:8000", "r1", True)
    assert place.predicted_ttft_s is not None
    assert 0 < place.predicted_ttft_s < POOL.slo.ttft_p95_s


def test_a_pool_that_would_be_late() -> None:
    """Skipped while there are others; asked all the same when it is the last, unless the wait is hopeless."""
    door = Door()
    door.world.loads.of("r1").start(6_000, 1e9, stream=True)
    late = door.own(exchange())
    assert isinstance(late, Skip)
    assert late.code == "saturated"
    assert "first token predicted in" in late.reason
    assert late.retry_after_s is not None
    assert late.retry_after_s > 0
    assert isinstance(door.own(exchange(), others=()), Admitted)
    door.world.loads.of("r1").start(60_000, 1e9, stream=True)
    hopeless = door.own(exchange(), others=())
    assert isinstance(hopeless, Skip)
    assert hopeless.code == "saturated"


def test_a_pool_without_a_replica() -> None:
    """What own_pools says."""
    door = Door()
    door.world.feed.now = FleetView(pools={POOL.name: PoolView(name=POOL.name)})
    place = door.own(exchange())
    assert isinstance(place, Skip)
    assert place.code == "no_replica"


def test_a_place_at_a_provider() -> None:
    """The most it can cost is set aside first."""
    door = Door()
    place = door.external(exchange(max_tokens=5))
    assert isinstance(place, Admitted)
    assert (place.base_url, place.breaker, place.replica) == (OPENAI.base_url, "openai", None)
    wish = door.ledger.wishes[0]
    assert door.ledger.reserved["req-1"] == wish.amount_nanousd > wish.estimate_nanousd > 0
    assert (wish.tenant, wish.target, wish.model_key, wish.spilled) == ("acme", "openai", BOUGHT.model.key, True)
    assert wish.expires_at_s == wish.at_s + Timeouts().total_s + 60.0


def test_a_provider_that_rests() -> None:
    """Skipped with the time left, at least a second; no money is set aside."""
    door = Door()
    for _ in range(5):
        door.world.breakers.failed("openai", EngineUnavailable("gone"), NOW_S, is_own=False)
    place = door.external(exchange())
    assert isinstance(place, Skip)
    assert (place.code, place.retry_after_s) == ("breaker", 10.0)
    assert door.ledger.reserved == {}


def test_a_spent_budget() -> None:
    """Skipped, without a time: it will not be better in a minute."""
    door = Door()
    door.ledger.left_nanousd = 0
    place = door.external(exchange())
    assert isinstance(place, Skip)
    assert (place.code, place.retry_after_s) == ("budget", None)


def test_a_ledger_that_does_not_answer() -> None:
    """Nothing is bought; a second later it may be again."""
    door = Door()
    door.ledger.answers = False
    place = door.external(exchange())
    assert isinstance(place, Skip)
    assert (place.code, place.retry_after_s) == ("ledger_unavailable", 1.0)


ORDERS = {
    # what: mode, share to spill, may spill, names in order, reason for leaving
    "Local": (RoutingMode.LOCAL, 0.0, True, ["llama-8b", "openai"], None),
    "External": (RoutingMode.EXTERNAL, 0.0, True, ["openai", "llama-8b"], "external"),
    "Spilling all": (RoutingMode.SPILLING, 1.0, True, ["openai", "llama-8b"], "spilling"),
    "Spilling none": (RoutingMode.SPILLING, 0.0, True, ["llama-8b", "openai"], None),
    "never": (RoutingMode.EXTERNAL, 0.0, False, ["llama-8b"], None),
}


@pytest.mark.parametrize(("mode", "ratio", "may_spill", "order", "reason"), ORDERS.values(), ids=ORDERS.keys())
def test_the_order_of_this_moment(
    mode: RoutingMode, ratio: float, may_spill: bool, order: list[str], reason: str | None
) -> None:
    """The plan by the rules, turned by the pool's mode; a caller who forbids spilling stays at home."""
    door = Door()
    door.publish(mode, ratio)
    asked = exchange()
    asked.profile = replace(asked.profile, spill_allowed=may_spill)
    door.admission.order(asked)
    assert [target.name for target in asked.chain] == order
    assert asked.spill_reason == reason


def test_a_share_of_requests_spills() -> None:
    """At a ratio of a quarter every fourth one goes, evenly."""
    door = Door()
    door.publish(RoutingMode.SPILLING, 0.25)
    first = []
    for _ in range(16):
        asked = exchange(plan=(OWN, BOUGHT))
        door.admission.order(asked)
        first.append(asked.chain[0].name)
    assert first.count("openai") == 4
    assert [first[index : index + 4].count("openai") for index in range(0, 16, 4)] == [1, 1, 1, 1]
