"""Budgets: reserve, release, spend; per tenant, day and month."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from controller.core.ledger import Verdict
from controller.routing.budget import (
    MOST_NANOUSD,
    SpendLimits,
    SpendRow,
    SpendSheet,
    hour_limits,
    limits_by_tenant,
    periods,
)

NOON_S = 1_794_960_000.0 + 43_200  # 2026-11-18
DAY, MONTH = "2026-11-18", "2026-11"


def _sums(sheet: SpendSheet) -> dict[tuple[str, str], tuple[int, int]]:
    return {(tenant, period): (row.spent_nanousd, row.reserved_nanousd) for tenant, period, row in sheet.changed()}


def test_a_purchase_that_does_not_fit_is_refused() -> None:
    """Spent and reserved count together, to the unit, in the day and in the month."""
    sheet = SpendSheet({("acme", DAY): SpendRow(40, 0), ("acme", MONTH): SpendRow(140, 0)})
    limits = SpendLimits(day_nanousd=100, month_nanousd=210)
    assert sheet.reserve("acme", NOON_S, 50, limits) is Verdict.GRANTED
    assert sheet.reserve("acme", NOON_S, 11, limits) is Verdict.DAY_SPENT
    assert sheet.reserve("acme", NOON_S, 10, limits) is Verdict.GRANTED
    assert sheet.reserve("acme", NOON_S + 86_400, 11, limits) is Verdict.MONTH_SPENT
    assert sheet.reserve("acme", NOON_S + 86_400, 10, limits) is Verdict.GRANTED
    assert _sums(sheet) == {
        ("acme", DAY): (40, 60), ("acme", "2026-11-19"): (0, 10), ("acme", MONTH): (140, 70),
    }  # fmt: skip


def test_settling_frees_what_was_reserved_and_counts_what_it_cost() -> None:
    """The rest of a reservation can be bought for again, and another tenant is not touched."""
    sheet = SpendSheet({})
    limits = SpendLimits(day_nanousd=100)
    assert sheet.reserve("acme", NOON_S, 100, limits) is Verdict.GRANTED
    sheet.release("acme", NOON_S, 100)
    sheet.spend("acme", NOON_S, 30)
    assert _sums(sheet) == {("acme", DAY): (30, 0), ("acme", MONTH): (30, 0)}
    assert sheet.reserve("other", NOON_S, 100, limits) is Verdict.GRANTED
    assert sheet.reserve("acme", NOON_S, 70, limits) is Verdict.GRANTED


def test_what_a_pool_spills_is_bought_in_its_hour() -> None:
    """To the unit, whoever asks; the next hour is empty, other pools and what has no pool are not touched."""
    sheet = SpendSheet({})
    limits = SpendLimits()

    def reserve(tenant: str, amount: int, pool: str | None, at_s: float = NOON_S, hour: int | None = 100) -> Verdict:
        return sheet.reserve(tenant, at_s, amount, limits, pool=pool, hour_nanousd=hour)

    assert reserve("acme", 60, "llama-8b") is Verdict.GRANTED
    assert reserve("other", 41, "llama-8b", NOON_S + 3599) is Verdict.POOL_HOUR_SPENT
    assert reserve("other", 40, "llama-8b") is Verdict.GRANTED
    assert reserve("acme", 41, "llama-8b", NOON_S + 3600) is Verdict.GRANTED
    assert reserve("acme", 41, "llama-8b", hour=None) is Verdict.GRANTED
    assert reserve("acme", 100, "mixtral-8x7b") is Verdict.GRANTED
    assert reserve("acme", 1000, None) is Verdict.GRANTED
    sheet.release("acme", NOON_S, 60, pool="llama-8b")
    sheet.spend("acme", NOON_S, 20, pool="llama-8b")
    sums = _sums(sheet)
    assert sums["llama-8b", f"{DAY}T12"] == (20, 81)
    assert sums["llama-8b", f"{DAY}T13"] == (0, 41)
    assert sums["acme", DAY] == (20, 41 + 41 + 100 + 1000)


def test_limits_of_pools_by_name() -> None:
    """In nanousd; a pool that is not named, or has none, may spill for what it takes."""
    limit_of = hour_limits({"llama-8b": Decimal("0.5"), "mixtral-8x7b": None, "closed": Decimal(0)})
    found = [limit_of(name) for name in ("llama-8b", "mixtral-8x7b", "closed", "unnamed")]
    assert found == [500_000_000, None, 0, None]


def test_a_refusal_changes_nothing() -> None:
    """Nothing is to be written back."""
    sheet = SpendSheet({})
    refused = sheet.reserve("acme", NOON_S, 1, SpendLimits(), pool="llama-8b", hour_nanousd=0)
    assert refused is Verdict.POOL_HOUR_SPENT
    assert sheet.reserve("acme", NOON_S, 1, SpendLimits(month_nanousd=0)) is Verdict.MONTH_SPENT
    assert sheet.changed() == ()


@pytest.mark.parametrize(
    ("day", "month", "tenant", "limits"),
    [
        ({"acme": 5, "*": 9}, {}, "acme", (5, None)),
        ({"*": 9}, {"acme": 70}, "acme", (9, 70)),
        ({"acme": 5}, {"*": 70}, "acme", (5, 70)),
        ({"other": 1}, {}, "acme", (None, None)),
        ({"acme": 0}, {}, "acme", (0, None)),
        ({}, {"*": 70}, "nobody named", (None, 70)),
        ({"acme": None, "*": 9}, {}, "acme", (None, None)),
    ],
)
def test_the_tenants_limit_else_the_default_else_none(
    day: dict[str, int | None], month: dict[str, int | None], tenant: str, limits: tuple[int | None, int | None]
) -> None:
    """`*` is for everyone without a limit of their own, in each period by itself."""
    decimals = [
        {name: None if amount is None else Decimal(amount) for name, amount in period.items()}
        for period in (day, month)
    ]
    found = limits_by_tenant(*decimals)(tenant)
    billions = [None if limit is None else limit * 10**9 for limit in limits]
    assert [found.day_nanousd, found.month_nanousd] == billions


@pytest.mark.parametrize(
    ("at_s", "names"),
    [
        (0.0, ("1970-01-01", "1970-01")),
        (NOON_S, (DAY, MONTH)),
        (NOON_S + 43_199.999, (DAY, MONTH)),
        (NOON_S + 43_200, ("2026-11-19", MONTH)),
        (NOON_S + 13 * 86_400, ("2026-12-01", "2026-12")),
    ],
)
def test_periods_begin_at_midnight_utc(at_s: float, names: tuple[str, str]) -> None:
    """A day and its month, by name."""
    assert periods(at_s) == names


def test_absurd_amounts_stop_at_what_a_database_can_count() -> None:
    """A provider that says 2**70 tokens spends the budget, and no more."""
    sheet = SpendSheet({})
    sheet.spend("acme", NOON_S, 2**80)
    sheet.spend("acme", NOON_S, 2**80)
    assert _sums(sheet) == {("acme", DAY): (MOST_NANOUSD, 0), ("acme", MONTH): (MOST_NANOUSD, 0)}
    assert sheet.reserve("acme", NOON_S, 1, SpendLimits(day_nanousd=10**12)) is Verdict.DAY_SPENT


class Purchases(RuleBasedStateMachine):
    """Any interleaving of purchases that cost no more than was reserved for them, over some days."""

    def __init__(self) -> None:
        """Two tenants with limits."""
        super().__init__()
        self.sheet = SpendSheet({})
        self.limits = {
            "acme": SpendLimits(day_nanousd=1000, month_nanousd=1500),
            "other": SpendLimits(month_nanousd=500),
        }
        self.open: dict[int, tuple[str, float, int]] = {}

    @rule(
        name=st.integers(0, 9),
        tenant=st.sampled_from(["acme", "other"]),
        amount=st.integers(0, 600),
        days=st.integers(0, 20),
    )
    def reserve(self, name: int, tenant: str, amount: int, days: int) -> None:
        """Start a purchase."""
        if name in self.open:
            return
        at_s = NOON_S + days * 86_400
        if self.sheet.reserve(tenant, at_s, amount, self.limits[tenant]) is Verdict.GRANTED:
            self.open[name] = (tenant, at_s, amount)

    @rule(name=st.integers(0, 9), share=st.floats(0.0, 1.0))
    def settle(self, name: int, share: float) -> None:
        """Finish one for a part of what was reserved."""
        if name in self.open:
            tenant, at_s, amount = self.open.pop(name)
            self.sheet.release(tenant, at_s, amount)
            self.sheet.spend(tenant, at_s, int(amount * share))

    @invariant()
    def never_over_a_limit(self) -> None:
        """spent + reserved <= limit in every period, always; reserved is the sum of what is open."""
        for tenant, period, row in self.sheet.changed():
            limits = self.limits[tenant]
            limit = limits.month_nanousd if len(period) == len(MONTH) else limits.day_nanousd
            mine = [amount for owner, at_s, amount in self.open.values() if owner == tenant and period in periods(at_s)]
            assert row.reserved_nanousd == sum(mine)
            assert limit is None or row.spent_nanousd + row.reserved_nanousd <= limit


TestPurchases = Purchases.TestCase
TestPurchases.settings = settings(max_examples=50, stateful_step_count=30)
