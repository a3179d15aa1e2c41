"""What each tenant may still buy in a day and in a month: a sheet of sums, and the rule for one more reservation.

A reservation is refused when spent + reserved would pass a limit, so that sum passes it only if a purchase costs more
than was reserved for it; reserve the most a call can cost. A purchase belongs to the UTC day and month in which its
request was accepted, however late it is settled. The sheet holds the rows of one transaction: callers read, lock and
write them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache

from controller.core.ledger import Verdict
from controller.core.money import nanousd
from controller.core.tenants import EVERYONE

DAY_S = 86_400
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


@dataclass(slots=True)
class SpendRow:
    """Sums of one tenant in one period."""

    spent_nanousd: int = 0
    reserved_nanousd: int = 0

    def fits(self, amount_nanousd: int, limit_nanousd: int | None) -> bool:
        """Whether so much more keeps spent + reserved within the limit."""
        return limit_nanousd is None or self.spent_nanousd + self.reserved_nanousd + amount_nanousd <= limit_nanousd


class SpendSheet:
    """The rows that one transaction has locked; rows it lacks are zero."""

    def __init__(self, rows: Mapping[tuple[str, str], SpendRow]) -> None:
        self._rows = dict(rows)
        self._changed: set[tuple[str, str]] = set()

    def reserve(self, tenant: str, at_s: float, amount_nanousd: int, limits: SpendLimits) -> Verdict:
        """Set the amount aside in day and month if it fits both."""
        day, month = periods(at_s)
        if not self._row(tenant, day).fits(amount_nanousd, limits.day_nanousd):
            return Verdict.DAY_SPENT
        if not self._row(tenant, month).fits(amount_nanousd, limits.month_nanousd):
            return Verdict.MONTH_SPENT
        self._add(tenant, at_s, reserved=amount_nanousd)
        return Verdict.GRANTED

    def release(self, tenant: str, at_s: float, amount_nanousd: int) -> None:
        """What was set aside is free again."""
        self._add(tenant, at_s, reserved=-amount_nanousd)

    def spend(self, tenant: str, at_s: float, cost_nanousd: int) -> None:
        """So much more was bought."""
        self._add(tenant, at_s, spent=cost_nanousd)

    def changed(self) -> tuple[tuple[str, str, SpendRow], ...]:
        """What must be written back: tenant, period, sums; in the order in which rows are locked."""
        return tuple((tenant, period, self._rows[tenant, period]) for tenant, period in sorted(self._changed))

    def _row(self, tenant: str, period: str) -> SpendRow:
        found = self._rows.get((tenant, period))
        if found is None:
            found = self._rows[tenant, period] = SpendRow()
        return found

    def _add(self, tenant: str, at_s: float, *, spent: int = 0, reserved: int = 0) -> None:
        for period in periods(at_s):
            row = self._row(tenant, period)
            row.spent_nanousd = min(row.spent_nanousd + spent, MOST_NANOUSD)
            row.reserved_nanousd = min(row.reserved_nanousd + reserved, MOST_NANOUSD)
            self._changed.add((tenant, period))
