"""What `tenants` and the older `budgets` come to, per tenant."""

from __future__ import annotations

from decimal import Decimal

import pytest
from config_files import Load

from controller.core.requests import ANYWHERE, Priority, Reach
from controller.core.tenants import UNLIMITED, policy_of

TEXT = """\
tenants:
  "*": {requests_per_min: 60, usd_per_day: 20, usd_per_month: 300, residency: own}
  acme: {tokens_per_min: 1000, models: [auto, llama-8b, gpt-6-luna], residency: any}
  free: {requests_per_min: null, usd_per_day: null, priority: batch}
  7: {models: [llama-8b-self], usd_per_month: '0.5'}
"""


def test_what_a_tenant_does_not_say_is_as_for_everyone(settings_of: Load) -> None:
    """Limit by limit; null frees from everyone's; pools stand for their models."""
    tenants = settings_of(TEXT).tenants
    acme, free, seven = (policy_of(tenants, name) for name in ("acme", "free", "7"))
    assert (acme.requests_per_min, acme.tokens_per_min, acme.usd_per_day) == (60, 1000, Decimal(20))
    assert acme.reach == Reach(models=frozenset({"llama-8b-self", "gpt-6-luna"}), auto=True)
    assert (free.requests_per_min, free.tokens_per_min, free.usd_per_day) == (None, None, None)
    assert (free.priority, free.reach) == (Priority.BATCH, Reach(own_only=True))
    assert seven.reach == Reach(models=frozenset({"llama-8b-self"}), auto=False, own_only=True)
    assert (seven.requests_per_min, seven.usd_per_month) == (60, Decimal("0.5"))


def test_tenants_without_a_section_are_everyone(settings_of: Load) -> None:
    """And where there is no `*`, nothing holds."""
    tenants = settings_of(TEXT).tenants
    assert policy_of(tenants, "nobody") is tenants["*"]
    assert policy_of(settings_of("tenants: {acme: {requests_per_min: 5}}\n").tenants, "nobody") is UNLIMITED
    assert settings_of("").tenants == {}
    assert settings_of("tenants: {acme: {priority: batch}}\n").tenants["acme"].reach is ANYWHERE


@pytest.mark.parametrize(
    ("text", "day", "month"),
    [
        (TEXT, {"*": 20, "acme": 20, "free": None, "7": 20}, {"*": 300, "acme": 300, "free": 300, "7": Decimal("0.5")}),
        ("budgets: {usd_per_day: {acme: 3}}\ntenants: {acme: {usd_per_month: 9}}\n", {"acme": 3}, {"acme": 9}),
        ("budgets: {usd_per_day: {'*': 3}}\ntenants: {acme: {usd_per_day: 9}}\n", {"*": 3, "acme": 9}, {}),
        ("budgets: {usd_per_day: {'*': 3, acme: 4}}\ntenants: {'*': {priority: batch}}\n", {"*": 3, "acme": 4}, {}),
        ("tenants: {acme: {usd_per_day: 1}, zoo: {priority: batch}}\n", {"acme": 1}, {}),
    ],
    ids=["new", "both", "default in the old", "named in the old", "none for the others"],
)
def test_both_spellings_of_a_budget_come_to_one(
    text: str, day: dict[str, Decimal | None], month: dict[str, Decimal | None], settings_of: Load
) -> None:
    """The ledger and the policies say the same; None frees a tenant from everyone's."""
    settings = settings_of(text)
    assert (settings.budgets.usd_per_day, settings.budgets.usd_per_month) == (day, month)
    assert {name: settings.tenants[name].usd_per_day for name in day} == day
