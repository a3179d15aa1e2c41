"""The plan of a stack: what stands where, whether it fits, what it costs, and everything that is wrong with it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime

from controller.catalogue.document import Document
from controller.catalogue.refusals import problem_at
from controller.core.errors import Problem
from infra.checks import NOWHERE, check
from infra.plan.costs import cost_rows
from infra.plan.models import fit_problems, model_rows
from infra.plan.pools import most_usd_per_month, pool_rows
from infra.plan.values import Plan, PoolRow
from infra.regions import offering_zones, region_names
from infra.schema import StackSettings


def plan(
    settings: StackSettings,
    *,
    today: date | None = None,
    document: Document = NOWHERE,
    pool_names: frozenset[str] | None = None,
) -> Plan:
    """The plan on that day (default: now, UTC). `document`: where the settings stand, for the words of problems."""
    day = datetime.now(UTC).date() if today is None else today
    pools, rows, costs = pool_rows(settings), model_rows(settings), cost_rows(settings, day)
    others = sum(row.usd_per_month or 0.0 for row in costs)
    total = others + sum(row.usd_per_month or 0.0 for row in pools)
    most = others + sum(most_usd_per_month(row) or 0.0 for row in pools)
    unpriced = [f"pool {row.pool}" for row in pools if row.usd_per_hour is None]
    unpriced += [row.what for row in costs if row.usd_per_month is None]
    return Plan(
        name=settings.name,
        region=settings.region,
        pools=pools,
        rows=rows,
        costs=costs,
        total_usd_per_month=total,
        most_usd_per_month=most,
        unpriced=tuple(unpriced),
        budget_usd_per_month=settings.budget_usd_per_month,
        problems=(
            *check(settings, today=day, document=document, pool_names=pool_names),
            *fit_problems(settings, rows, document),
            *_price_problems(settings.region, pools, document),
            *_budget_problems(settings, total, most, document),
        ),
    )


def _price_problems(region: str, pools: tuple[PoolRow, ...], document: Document) -> Iterator[Problem]:
    """GPU nodes are most of the money: without their price no budget is kept. Types not offered are told elsewhere."""
    for row in pools:
        if row.usd_per_hour is None and region in region_names() and offering_zones(region, row.instance_type):
            message = f"is missing: no price of {row.instance_type}, {row.bought}, is known in this region"
            allowed = "USD for one node and hour; `spillway infra preflight` reads the list price"
            yield problem_at(document, ("gpu_pools", row.pool, "usd_per_hour"), message, allowed)


def _budget_problems(settings: StackSettings, total: float, most: float, document: Document) -> Iterator[Problem]:
    budget, acknowledged = settings.budget_usd_per_month, settings.over_budget_acknowledged_usd_per_month
    limit, key = max(budget, acknowledged or 0.0), ("budget_usd_per_month",)
    if total > limit:
        message = f"is exceeded: this costs {total:,.2f} USD a month"
        allowed = f"{total:,.0f} or more, or spillway:over_budget_acknowledged_usd_per_month of that much"
        yield problem_at(document, key, message, allowed, f"{budget:g}")
    elif most > limit:
        message = f"may be exceeded: with every pool at max_nodes this costs {most:,.2f} USD a month"
        yield problem_at(document, key, message, f"{most:,.0f} or more", f"{budget:g}", severity="warning")
