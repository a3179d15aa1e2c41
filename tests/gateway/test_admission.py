"""May this request go there now: late pools, resting providers, spent budgets, and the order of targets."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from controller.config.settings import Timeouts
from controller.core.errors import UpstreamRejected
from controller.core.fleet import FleetView, PoolView, RoutingMode
from controller.core.money import Usage
from controller.core.requests import Priority, Target
from controller.core.secret import Secret
from controller.gateway.admission import Admission, Admitted
from controller.gateway.credentials import Credentials
from controller.gateway.exchange import Exchange, Late, Skip
from controller.gateway.purchases import SpentBudgets, reservation
from controller.gateway.waiting import Rooms
from controller.routing.spill_gate import gpu_seconds
from controller.routing.waiting_line import RANKS, Waiter
from controller.telemetry.gateway_metrics import GatewayMetrics
from tests.gateway.gateway_builders import (
    BOUGHT,
    OPENAI,
    OWN,
    POOL,
    MemoryLedger,
    destinations,
    exchange,
    fleet,
    replica,
)
from tests.gateway.own_pools_world import NONE, World
from tests.routing.builders import STEPS

NOW_S = 1000.0


class Door:
    """Admission to one replica of POOL, and to a provider."""

    def __init__(self) -> None:
        self.world, self.ledger = World(replica("r1")), MemoryLedger()
        self.credentials = Credentials({"openai": (Secret("sk-secret"),)})
        self.rooms = Rooms(GatewayMetrics(), self.world.clock, longest=10, ttft_timeout_s=60.0)
        self.spent = SpentBudgets()
        self.admission = Admission(
            self.world.pools,
            loads=self.world.loads,
            credentials=self.credentials,
            ledger=self.ledger,
            rooms=self.rooms,
            destinations=destinations(),
            spent=self.spent,
            step_times={POOL.name: STEPS},
            total_s=Timeouts().total_s,
            clock=self.world.clock,
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
    """Late, with how much and how fast places come free, whether there are others or not."""
    door = Door()
    door.world.loads.of("r1").start(6_000, 1e9, stream=True)
    for others in ((BOUGHT,), ()):
        late = door.own(exchange(), others=others)
        assert isinstance(late, Late)
        assert late.code == "saturated"
        assert "first token predicted in" in late.reason
        assert late.retry_after_s is not None
        assert late.retry_after_s == pytest.approx(late.late_by_s)
        assert late.gap_s == pytest.approx((late.late_by_s + 1.0) / 2)


def test_a_prompt_that_is_late_by_itself() -> None:
    """It goes elsewhere where that may be; else waiting would not help, and it has its place."""
    long = "x" * 4 * 5_000
    asked = exchange(messages=[{"role": "user", "content": long}])
    assert isinstance(Door().own(asked), Late)
    assert isinstance(Door().own(asked, others=()), Admitted)


def test_tokens_that_would_come_too_slowly() -> None:
    """Beside forty answers, each token of which brings one of a prompt, a request goes elsewhere where that may be."""
    door = Door()
    _answers(door, "r1", 40)
    assert isinstance(door.own(exchange()), Admitted)
    for _ in range(50):
        door.world.loads.of("r1").lengths.saw(100, 120)
    late = door.own(exchange())
    assert isinstance(late, Skip)
    assert not isinstance(late, Late)
    assert (late.code, late.reason) == ("saturated", "saturated: a token each 0.0491 s predicted, SLO 0.05 s")
    assert isinstance(door.own(exchange(), others=()), Admitted)


def test_an_engine_that_is_slow_by_itself_has_a_request_at_a_time() -> None:
    """Its tokens come too slowly even alone: an idle one is asked, so that it can be seen when that is over."""
    door = Door()
    assert isinstance(door.own(exchange()), Admitted)
    for second in range(50):
        door.world.loads.of("r1").fit.decode.observe(0.1, 1.0, float(second))
    assert isinstance(door.own(exchange()), Admitted)
    _answers(door, "r1", 1)
    assert isinstance(door.own(exchange()), Skip)


def test_the_next_replica_has_it_where_tokens_come_soon_enough() -> None:
    """Soonest to begin is not always soon enough to write: the second is tried before anybody else."""
    door = Door()
    door.world.feed.now = fleet(replica("r1"), replica("r2"))
    assert isinstance(door.own(exchange()), Admitted)
    for _ in range(50):
        door.world.loads.of("r1").lengths.saw(100, 120)
    _answers(door, "r1", 40)
    door.world.loads.of("r2").start(1_500, 1e9, stream=True)
    place = door.own(exchange())
    assert isinstance(place, Admitted)
    assert place.breaker == "r2"
    _answers(door, "r2", 40)
    assert isinstance(door.own(exchange()), Skip)


def _answers(door: Door, name: str, count: int) -> None:
    """So many answers under way there, over contexts of 400 tokens."""
    for _ in range(count):
        door.world.loads.of(name).start(400, 0.0, stream=True).counts_as_computed()


def test_nobody_overtakes_the_line() -> None:
    """While somebody of its class or a higher one waits, a newcomer finds no place; one that is called does."""
    door = Door()
    line = door.rooms.of(POOL).line
    line.add(Waiter(RANKS[Priority.STANDARD], NOW_S, NOW_S + 10.0))
    assert isinstance(door.own(exchange()), Late)
    assert isinstance(door.admission.own(exchange(), POOL, NONE, NOW_S, called=True), Admitted)
    top = exchange()
    top.profile = replace(top.profile, priority=Priority.INTERACTIVE)
    assert isinstance(door.own(top), Admitted)


def test_a_deadline_that_a_target_would_miss() -> None:
    """Nobody is asked who cannot begin in time: by the prediction, or by the planning figure of a provider."""
    door, asked = Door(), exchange(max_tokens=5)
    asked.first_token_by_s = NOW_S + 0.001
    for place in (door.own(asked), door.external(asked)):
        assert isinstance(place, Skip)
        assert place.code == "deadline"
        assert "the deadline 0.001 s" in place.reason
    assert door.ledger.reserved == {}
    asked.first_token_by_s = NOW_S + 10.0
    assert isinstance(door.own(asked), Admitted)
    assert isinstance(door.external(asked), Admitted)


def test_a_cost_that_the_caller_does_not_allow() -> None:
    """The worst case counts, before any money is set aside; exactly as much is allowed."""
    door, asked = Door(), exchange(max_tokens=5)
    most = reservation(
        asked, OPENAI.name, destinations().of(BOUGHT, asked.operation), deadline_s=Timeouts().total_s
    ).amount_nanousd
    asked.profile = replace(asked.profile, max_cost_nanousd=most - 1)
    place = door.external(asked)
    assert isinstance(place, Skip)
    assert place.code == "max_cost"
    assert door.ledger.reserved == {}
    asked.profile = replace(asked.profile, max_cost_nanousd=most)
    assert isinstance(door.external(asked), Admitted)


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
    assert (place.base_url, place.replica) == (OPENAI.base_url, None)
    assert place.credential is not None
    assert (place.credential.name, place.credential.secret.reveal()) == ("openai", "sk-secret")
    wish = door.ledger.wishes[0]
    assert door.ledger.reserved["req-1"] == wish.amount_nanousd > wish.estimate_nanousd > 0
    assert (wish.tenant, wish.target, wish.model_key, wish.spilled) == ("acme", "openai", BOUGHT.model.key, True)
    assert wish.expires_at_s == wish.at_s + Timeouts().total_s + 60.0


def test_a_provider_that_rests() -> None:
    """Skipped with the time left, at least a second; no money is set aside."""
    door = Door()
    for _ in range(5):
        door.credentials.of(OPENAI, NOW_S)[0].failed(UpstreamRejected(500, b""), NOW_S, NOW_S)
    place = door.external(exchange())
    assert isinstance(place, Skip)
    assert (place.code, place.retry_after_s) == ("breaker", 5.0)
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


def test_those_that_are_cheapest_to_buy_back_spill_first() -> None:
    """Long prompts with short answers are dear outside and quick here: they stay."""
    door = Door()
    door.publish(RoutingMode.SPILLING, 0.5)
    left: dict[int, int] = {10: 0, 2000: 0}
    for index in range(1000):
        max_tokens = 10 if index % 2 else 2000
        asked = exchange(max_tokens=max_tokens)
        door.admission.order(asked)
        left[max_tokens] += asked.chain[0] is not OWN
    assert sum(left.values()) == 500
    price = {
        tokens: destinations().of(BOUGHT, exchange().operation).price.cost(Usage(input_tokens=2, output_tokens=tokens))
        / gpu_seconds(STEPS, POOL.engine, input_tokens=2, output_tokens=tokens)
        for tokens in left
    }
    assert left[min(price, key=lambda tokens: price[tokens])] > 480
