"""A tenant's limits in words, for `config show` and `keys list`."""

from __future__ import annotations

from controller.config.settings import BudgetSettings
from controller.core.requests import Reach
from controller.core.tenants import TenantPolicy

TENANT_HEADS = ["TENANT", "REQUESTS/MIN", "TOKENS/MIN", "PRIORITY", "MODELS"]


def limits_of(policy: TenantPolicy) -> list[str]:
    """The cells of a tenant's row, after its name."""
    return [
        _limit(policy.requests_per_min),
        _limit(policy.tokens_per_min),
        policy.priority or "standard",
        _reach(policy.reach),
    ]


def limit_words(policy: TenantPolicy) -> str:
    """All limits on one line; `none` when there is none."""
    said = (
        (policy.requests_per_min, "requests/min"),
        (policy.tokens_per_min, "tokens/min"),
        (policy.usd_per_day, "USD/day"),
        (policy.usd_per_month, "USD/month"),
    )
    words = [f"{limit} {unit}" for limit, unit in said if limit is not None]
    if policy.reach.models is not None or policy.reach.own_only:
        words.append(_reach(policy.reach))
    return ", ".join(words) or "none"


def budget_words(budgets: BudgetSettings) -> str:
    """Every limit on spend; empty when there is none."""
    said = ((budgets.usd_per_day, "day"), (budgets.usd_per_month, "month"))
    return ", ".join(
        f"{tenant} no limit per {period}" if usd is None else f"{tenant} {usd} USD/{period}"
        for limits, period in said
        for tenant, usd in limits.items()
    )


def _limit(limit: int | None) -> str:
    return "no limit" if limit is None else str(limit)


def _reach(reach: Reach) -> str:
    names = [] if reach.models is None else sorted(reach.models)
    words = ", ".join(["auto", *names] if names and reach.auto else names) or "all"
    return f"{words}; own GPUs only" if reach.own_only else words
