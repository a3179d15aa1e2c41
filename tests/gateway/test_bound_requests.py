"""Requests that may not be bought are counted, so that the controller rents for them."""

from __future__ import annotations

import pytest

from controller.core.ledger import Reservation, Verdict
from controller.gateway.purchases import UNAVAILABLE_S, SpentBudgets
from controller.routing.budget import DAY_S, HOUR_S
from tests.adapters.ledger_values import wish
from tests.gateway.gateway_builders import MemoryLedger
from tests.gateway.gateway_world import BEARER, World, jumping, whole

NOON_S = 1_790_000_000.0 // DAY_S * DAY_S + DAY_S / 2


def asked(tenant: str, pool: str | None = None) -> Reservation:
    """A purchase at noon for what the pool spills."""
    return wish("r", tenant=tenant, home_pool=pool, at_s=NOON_S)


@pytest.mark.parametrize(
    ("verdict", "for_s"),
    [
        pytest.param(Verdict.DAY_SPENT, DAY_S / 2, id="until the day is over"),
        pytest.param(Verdict.MONTH_SPENT, DAY_S / 2, id="a month is asked again the next day"),
        pytest.param(Verdict.UNAVAILABLE, UNAVAILABLE_S, id="a silent ledger, for a while"),
    ],
)
def test_what_the_ledger_refuses_holds_for_a_while(verdict: Verdict, for_s: float) -> None:
    """For that tenant, until it is asked again; a purchase that is granted ends it at once."""
    spent = SpentBudgets()
    spent.told(asked("other"), Verdict.GRANTED)
    assert not spent.until_s
    spent.told(asked("acme"), verdict)
    assert spent.until_s
    assert spent.holds("acme", "any", NOON_S + for_s - 1.0)
    assert not spent.holds("other", "any", NOON_S)
    assert not spent.holds("acme", "any", NOON_S + for_s)
    assert not spent.until_s
    spent.told(asked("acme"), verdict)
    spent.told(asked("acme"), Verdict.GRANTED)
    assert not spent.until_s


def test_the_spent_hour_of_a_pool_holds_for_all_that_ask_it() -> None:
    """Whoever asks, until the next hour; other pools and what has no pool are not touched."""
    spent = SpentBudgets()
    spent.told(asked("acme", "llama-8b"), Verdict.POOL_HOUR_SPENT)
    assert spent.holds("acme", "llama-8b", NOON_S + HOUR_S - 1.0)
    assert spent.holds("other", "llama-8b", NOON_S)
    assert not spent.holds("acme", "mixtral-8x7b", NOON_S)
    spent.told(asked("acme"), Verdict.GRANTED)
    assert spent.holds("acme", "llama-8b", NOON_S)
    assert not spent.holds("acme", "llama-8b", NOON_S + HOUR_S)
    spent.told(asked("acme", "llama-8b"), Verdict.POOL_HOUR_SPENT)
    spent.told(asked("acme", "llama-8b"), Verdict.GRANTED)
    assert not spent.until_s


def bound(world: World) -> tuple[int, int]:
    """Arrivals of the pool, and how many of them may not be bought."""
    target = world.gateway.metrics.targets["llama-8b"]
    return target.arrivals, target.bound


def test_a_callers_word_and_a_spent_budget_are_told() -> None:
    """`x-spillway-spill: never` for that request; a refused purchase for all that the tenant asks afterwards."""
    world = World(ledger=MemoryLedger())

    async def story() -> None:
        world.own.script = [whole(), whole(), whole()]
        await world.ask()
        assert bound(world) == (1, 0)
        await world.ask(headers=[BEARER, (b"x-spillway-spill", b"never")])
        assert bound(world) == (2, 1)
        world.ledger.left_nanousd = 0
        refused = await world.ask({"model": "gpt-4o-mini"})
        assert refused.status == 429
        await world.ask()
        assert bound(world) == (3, 2)

    jumping(story())
