"""What `spillway status` tells out of the database: today's spend, how near tenants and pools are to limits."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING

from controller.core.money import usd
from controller.routing.budget import DAY_S

if TYPE_CHECKING:
    from controller.adapters.ledger_reader import LedgerReader
    from controller.config.settings import Settings
    from controller.core.tenants import TenantPolicy


def books_of(settings: Settings, now_s: float) -> dict[str, object]:
    """`spend_today`, None when there is no ledger yet, `tenants` and `spill_limits`."""
    from controller.cli.wiring import open_ledger_reader

    reader = open_ledger_reader(settings)
    if reader is None:
        return {"spend_today": None, "tenants": [], "spill_limits": []}
    try:
        return books_by(reader, settings, now_s)
    finally:
        reader.close()


def books_by(reader: LedgerReader, settings: Settings, now_s: float) -> dict[str, object]:
    """The same out of a ledger that is open."""
    return {
        "spend_today": _spend_today(reader, now_s),
        "tenants": _tenants(settings, reader, now_s),
        "spill_limits": _spill_limits(settings, reader, now_s),
    }


def books_from(said: object) -> dict[str, object]:
    """The same as a gateway tells it; as if there were no ledger where that is none of it."""
    found = said if isinstance(said, Mapping) else {}
    today = found.get("spend_today")
    return {
        "spend_today": _exact(today) if isinstance(today, Mapping) else None,
        **{name: _rows(found.get(name)) for name in ("tenants", "spill_limits")},
    }


def _rows(said: object) -> list[dict[str, object]]:
    return [_exact(row) for row in said if isinstance(row, Mapping)] if isinstance(said, list) else []


def _exact(row: Mapping[str, object]) -> dict[str, object]:
    """With amounts as numbers again."""
    return {name: Decimal(value) if isinstance(value, str) and "usd" in name else value for name, value in row.items()}


def _spend_today(reader: LedgerReader, now_s: float) -> dict[str, object]:
    """Requests and money since midnight UTC."""
    today = reader.totals(by="day", since_s=now_s - now_s % DAY_S)
    return {
        "requests": sum(row.requests for row in today),
        "spilled": sum(row.spilled for row in today),
        "simulated": sum(row.simulated for row in today),
        "bought_usd": usd(sum(row.bought_nanousd for row in today)),
        "own_usd": usd(sum(row.own_nanousd for row in today)),
    }


def _spill_limits(settings: Settings, reader: LedgerReader, now_s: float) -> list[dict[str, object]]:
    """Pools that may spill for so much in an hour, and how much of it they have."""
    from controller.routing.budget import SpendRow

    limited = [pool for pool in settings.pools.values() if pool.spill.max_usd_per_hour is not None]
    spent = reader.spent_in_hour(now_s) if limited else {}
    return [
        {
            "pool": pool.name,
            "usd_per_hour": pool.spill.max_usd_per_hour,
            "bought_this_hour_usd": usd(spent.get(pool.name, SpendRow()).spent_nanousd),
        }
        for pool in limited
    ]


def _tenants(settings: Settings, reader: LedgerReader, now_s: float) -> list[dict[str, object]]:
    """Tenants with a limit that are named in the configuration or have used something of late, and how much of it."""
    from controller.core.rate_limits import Amounts, minute_of
    from controller.core.tenants import EVERYONE, policy_of
    from controller.routing.budget import SpendRow

    if not settings.tenants:
        return []
    granted, spent = reader.granted(minute_of(now_s)), reader.spend(now_s)
    rows: list[dict[str, object]] = []
    for name in sorted({*settings.tenants, *granted, *spent} - {EVERYONE}):
        policy = policy_of(settings.tenants, name)
        if not _is_limited(policy):
            continue
        minute = granted.get(name, Amounts())
        day, month = spent.get(name, (SpendRow(), SpendRow()))
        rows.append(
            {
                "tenant": name,
                "requests_per_min": policy.requests_per_min,
                "requests_this_minute": minute.requests,
                "tokens_per_min": policy.tokens_per_min,
                "tokens_this_minute": minute.tokens,
                "usd_per_day": policy.usd_per_day,
                "bought_today_usd": usd(day.spent_nanousd),
                "usd_per_month": policy.usd_per_month,
                "bought_this_month_usd": usd(month.spent_nanousd),
            }
        )
    return rows


def _is_limited(policy: TenantPolicy) -> bool:
    limits = (policy.requests_per_min, policy.tokens_per_min, policy.usd_per_day, policy.usd_per_month)
    return any(limit is not None for limit in limits)
