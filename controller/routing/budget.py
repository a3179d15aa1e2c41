"""What each tenant may still buy in a day and in a month, and what may be bought in an hour for what a pool spills: a
sheet of sums, and the rule for one more reservation.

A reservation is refused when spent + reserved would pass a limit, so that sum passes it only if a purchase costs more
than was reserved for it; reserve the most a call can cost. A purchase belongs to the UTC hour, day and month in which
its request was accepted, however late it is settled. The sheet holds the rows of one transaction: callers read, lock
and write them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache

from controller.core.ledger import Verdict
from controller.core.money import nanousd
from controller.core.tenants import EVERYONE

DAY_S = 86_400
HOUR_S = 3_600
MOST_NANOUSD = 2**62  # sums stop here, far above any money: a database counts to 2**63


@dataclass(frozen=True, slots=True, kw_only=True)
class SpendLimits:
    """The limits of one tenant; None: none."""

    day_nanousd: int | None = None
    month_nanousd: int | None = None


LimitsOf = Callable[[str], SpendLimits]
"""Which limits a tenant has; asked at every reservation, so it must be quick."""


def limits_by_tenant(
    usd_per_day: Mapping[str, Decimal | None], usd_per_month: Mapping[str, Decimal | None]
) -> LimitsOf:
    """Per period the tenant's own limit, else that of `*`; None is no limit, whatever `*` has."""
    day, month = _nanousd(usd_per_day), _nanousd(usd_per_month)
    known = {
        tenant: SpendLimits(
            day_nanousd=day.get(tenant, day.get(EVERYONE)),
            month_nanousd=month.get(tenant, month.get(EVERYONE)),
        )
        for tenant in {*day, *month, EVERYONE}
    }
    default = known[EVERYONE]
    return lambda tenant: known.get(tenant, default)


def _nanousd(amounts: Mapping[str, Decimal | None]) -> dict[str, int | None]:
    return {tenant: None if amount is None else nanousd(amount) for tenant, amount in amounts.items()}


@lru_cache(maxsize=64)
def _periods(day: int) -> tuple[str, str]:
    text = datetime.fromtimestamp(day * DAY_S, UTC).strftime("%Y-%m-%d")
    return text, text[:7]


def periods(at_s: float) -> tuple[str, str]:
    """The names of the UTC day and month of an instant: ("2026-11-25", "2026-11")."""
    return _periods(int(at_s // DAY_S))


Key = tuple[str, str]
"""Tenant and day or month, or pool and hour: whose sums they are, and of which period."""

HourLimitOf = Callable[[str], int | None]
"""What may be bought in one hour for what a pool spills, in nanousd; None: no limit. As quick as `LimitsOf`."""


def hour_limits(usd_per_hour: Mapping[str, Decimal | None]) -> HourLimitOf:
    """By the names of pools; one that is not named has no limit."""
    return _nanousd(usd_per_hour).get


@lru_cache(maxsize=64)
def _hour(hour: int) -> str:
    return datetime.fromtimestamp(hour * HOUR_S, UTC).strftime("%Y-%m-%dT%H")


def hour_of(at_s: float) -> str:
    """The name of the UTC hour of an instant: "2026-11-25T14"."""
    return _hour(int(at_s // HOUR_S))


def keys_of(tenant: str, at_s: float, pool: str | None = None) -> tuple[Key, ...]:
    """The rows to which a purchase belongs; `pool` is the one that spilled it. No day is called as an hour is."""
    day, month = periods(at_s)
    if pool is None:
        return (tenant, day), (tenant, month)
    return (tenant, day), (tenant, month), (pool, hour_of(at_s))


@dataclass(slots=True)
class SpendRow:
    """Sums of one tenant or pool in one period."""

    spent_nanousd: int = 0
    reserved_nanousd: int = 0

    def fits(self, amount_nanousd: int, limit_nanousd: int | None) -> bool:
        """Whether so much more keeps spent + reserved within the limit."""
        return limit_nanousd is None or self.spent_nanousd + self.reserved_nanousd + amount_nanousd <= limit_nanousd


class SpendSheet:
    """The rows that one transaction has locked; rows it lacks are zero."""

    def __init__(self, rows: Mapping[Key, SpendRow]) -> None:
        self._rows = dict(rows)
        self._changed: set[Key] = set()

    def reserve(
        self,
        tenant: str,
        at_s: float,
        amount_nanousd: int,
        limits: SpendLimits,
        *,
        pool: str | None = None,
        hour_nanousd: int | None = None,
    ) -> Verdict:
        """Set the amount aside in day and month, and in the hour of the pool that spills it, if it fits all of them."""
        keys = keys_of(tenant, at_s, pool)
        if not self._row(keys[0]).fits(amount_nanousd, limits.day_nanousd):
            return Verdict.DAY_SPENT
        if not self._row(keys[1]).fits(amount_nanousd, limits.month_nanousd):
            return Verdict.MONTH_SPENT
        if pool is not None and not self._row(keys[2]).fits(amount_nanousd, hour_nanousd):
            return Verdict.POOL_HOUR_SPENT
        self._add(keys, reserved=amount_nanousd)
        return Verdict.GRANTED

    def release(self, tenant: str, at_s: float, amount_nanousd: int, *, pool: str | None = None) -> None:
        """What was set aside is free again."""
        self._add(keys_of(tenant, at_s, pool), reserved=-amount_nanousd)

    def spend(self, tenant: str, at_s: float, cost_nanousd: int, *, pool: str | None = None) -> None:
        """So much more was bought."""
        self._add(keys_of(tenant, at_s, pool), spent=cost_nanousd)

    def changed(self) -> tuple[tuple[str, str, SpendRow], ...]:
        """What must be written back: whose, period, sums; in the order in which rows are locked."""
        return tuple((*key, self._rows[key]) for key in sorted(self._changed))

    def _row(self, key: Key) -> SpendRow:
        found = self._rows.get(key)
        if found is None:
            found = self._rows[key] = SpendRow()
        return found

    def _add(self, keys: Iterable[Key], *, spent: int = 0, reserved: int = 0) -> None:
        for key in keys:
            row = self._row(key)
            row.spent_nanousd = min(row.spent_nanousd + spent, MOST_NANOUSD)
            row.reserved_nanousd = min(row.reserved_nanousd + reserved, MOST_NANOUSD)
            self._changed.add(key)
