"""Compares the prices the plan counts with what AWS asks today."""

from __future__ import annotations

from collections.abc import Iterator

from infra.aws.facts import AccountFacts, Unanswered
from infra.plan.pools import pool_rows
from infra.preflight.findings import Finding
from infra.schema import Spot, StackSettings

SAME_SHARE = 0.01  # below this a price counts as unchanged


def judge_prices(settings: StackSettings, facts: AccountFacts) -> Iterator[Finding]:
    """Pool by pool: what was planned beside the list price, and spot's range where spot is bought."""
    if isinstance(facts.usd_per_hour, Unanswered):
        yield Finding(state="unknown", subject="prices", words=f"{facts.usd_per_hour.call}: {facts.usd_per_hour.why}")
        return
    for row in pool_rows(settings):
        listed, subject = facts.usd_per_hour.get(row.instance_type), f"price {row.instance_type}"
        planned = row.on_demand_usd_per_hour
        if listed is None:
            yield Finding(state="unknown", subject=subject, words="the Price List has none for this region")
        elif planned is None:
            words = (
                f"{listed:.4f} USD an hour on demand, not known to the plan: spillway:gpu_pools.{row.pool}.usd_per_hour"
            )
            yield Finding(state="warning", subject=subject, words=words)
        elif abs(listed - planned) <= SAME_SHARE * planned:
            yield Finding(state="ok", subject=subject, words=f"{listed:.4f} USD an hour on demand, as planned")
        else:
            words = f"{listed:.4f} USD an hour on demand, the plan counts {planned:.4f} ({row.price_source})"
            yield Finding(state="warning", subject=subject, words=words)
        if isinstance(settings.gpu_pools[row.pool].capacity, Spot):
            yield _spot(row.instance_type, row.usd_per_hour, facts)


def _spot(kind: str, planned: float | None, facts: AccountFacts) -> Finding:
    subject, spot = f"spot price {kind}", facts.spot_usd_per_hour
    if isinstance(spot, Unanswered):
        return Finding(state="unknown", subject=subject, words=f"{spot.call}: {spot.why}")
    if kind not in spot:
        return Finding(state="warning", subject=subject, words="none now: no zone has any")
    low, high = spot[kind]
    counted = "no price" if planned is None else f"{planned:.4f}"
    return Finding(
        state="ok", subject=subject, words=f"{low:.4f} to {high:.4f} USD an hour by zone, the plan counts {counted}"
    )
