"""Budgets: reserve, settle, void, roll."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from controller.routing.budget import BudgetState


def test_a_purchase_that_does_not_fit_is_refused() -> None:
    """Spent and reserved count together, to the unit."""
    budget = BudgetState({"acme": 100}, day=1, spent_nanousd={"acme": 40})
    assert budget.reserve("a", "acme", 50)
    assert not budget.reserve("b", "acme", 11)
    assert budget.reserve("b", "acme", 10)
    assert (budget.spent_nanousd("acme"), budget.reserved_nanousd("acme")) == (40, 60)


def test_settling_frees_what_was_reserved_and_counts_what_it_cost() -> None:
    """The rest of a reservation can be bought for again."""
    budget = BudgetState({"acme": 100}, day=1)
    assert budget.reserve("a", "acme", 100)
    budget.settle("a", "acme", 30)
    assert (budget.spent_nanousd("acme"), budget.reserved_nanousd("acme")) == (30, 0)
    assert budget.reserve("b", "acme", 70)


def test_a_purchase_that_never_happened_costs_nothing() -> None:
    """Void frees it; a second void and unknown ids are harmless."""
    budget = BudgetState({"acme": 100}, day=1)
    assert budget.reserve("a", "acme", 100)
    budget.void("a")
    budget.void("a")
    budget.void("never")
    assert budget.reserved_nanousd("acme") == 0


def test_a_second_reservation_takes_the_place_of_the_first() -> None:
    """A request on its second provider holds one reservation, not two; refused, it holds none."""
    budget = BudgetState({"acme": 100}, day=1)
    assert budget.reserve("a", "acme", 90)
    assert budget.reserve("a", "acme", 80)
    assert budget.reserved_nanousd("acme") == 80
    assert not budget.reserve("a", "acme", 101)
    assert budget.reserved_nanousd("acme") == 0


@pytest.mark.parametrize(
    ("limits", "tenant", "limit"),
    [({"acme": 5, "*": 9}, "acme", 5), ({"*": 9}, "acme", 9), ({"other": 1}, "acme", None), ({"acme": 0}, "acme", 0)],
)
def test_the_tenants_limit_else_the_default_else_none(limits: dict[str, int], tenant: str, limit: int | None) -> None:
    """`*` is for everyone without a limit of their own."""
    budget = BudgetState(limits, day=1)
    assert budget.limit_nanousd(tenant) == limit
    assert budget.reserve("a", tenant, 10**12) is (limit is None)


def test_a_new_day_starts_at_zero_but_keeps_reservations() -> None:
    """Purchases under way at midnight still count; the clock going back changes nothing."""
    budget = BudgetState({"acme": 100}, day=5, spent_nanousd={"acme": 90})
    assert budget.reserve("a", "acme", 10)
    budget.roll(4)
    budget.roll(5)
    assert budget.spent_nanousd("acme") == 90
    budget.roll(6)
    assert (budget.day, budget.spent_nanousd("acme"), budget.reserved_nanousd("acme")) == (6, 0, 10)
    assert not budget.reserve("b", "acme", 91)


class Purchases(RuleBasedStateMachine):
    """Any interleaving of purchases that cost no more than was reserved for them."""

    def __init__(self) -> None:
        """Two tenants with limits."""
        super().__init__()
        self.budget = BudgetState({"acme": 1000, "*": 500}, day=0)
        self.open: dict[str, tuple[str, int]] = {}

    @rule(name=st.integers(0, 9), tenant=st.sampled_from(["acme", "other"]), amount=st.integers(0, 600))
    def reserve(self, name: int, tenant: str, amount: int) -> None:
        """Start a purchase."""
        self.open.pop(str(name), None)
        if self.budget.reserve(str(name), tenant, amount):
            self.open[str(name)] = (tenant, amount)

    @rule(name=st.integers(0, 9), share=st.floats(0.0, 1.0))
    def settle(self, name: int, share: float) -> None:
        """Finish one for a part of what was reserved."""
        held = self.open.pop(str(name), None)
        if held is not None:
            self.budget.settle(str(name), held[0], int(held[1] * share))

    @rule(name=st.integers(0, 9))
    def void(self, name: int) -> None:
        """Give one up."""
        self.open.pop(str(name), None)
        self.budget.void(str(name))

    @rule(days=st.integers(-1, 2))
    def roll(self, days: int) -> None:
        """Let midnight pass, or the clock go back."""
        self.budget.roll(self.budget.day + days)

    @invariant()
    def never_over_the_limit(self) -> None:
        """spent + reserved <= limit, always; reserved is the sum of what is open."""
        for tenant, limit in (("acme", 1000), ("other", 500)):
            reserved = self.budget.reserved_nanousd(tenant)
            assert reserved == sum(amount for owner, amount in self.open.values() if owner == tenant)
            assert self.budget.spent_nanousd(tenant) + reserved <= limit


TestPurchases = Purchases.TestCase
