"""What each tenant may still buy today: reserve before a purchase, settle or void after it. In nano-USD.

A reservation is refused when spent + reserved would pass the limit, so that sum passes it only if a purchase costs
more than was reserved for it; reserve the most a call can cost. Plain arithmetic: callers bring the lock and the clock.
"""

from __future__ import annotations

from collections.abc import Mapping

DEFAULT_TENANT = "*"


class BudgetState:
    """Budgets of all tenants for one day at a time; a tenant without a limit, own or default, may buy anything."""

    __slots__ = ("_held", "_limits", "_reserved", "_spent", "day")

    def __init__(
        self, limits_nanousd: Mapping[str, int | None], *, day: int, spent_nanousd: Mapping[str, int] | None = None
    ) -> None:
        self._limits = dict(limits_nanousd)
        self._spent = dict(spent_nanousd or {})
        self._reserved: dict[str, int] = {}
        self._held: dict[str, tuple[str, int]] = {}
        self.day = day

    def limit_nanousd(self, tenant: str) -> int | None:
        """The tenant's own limit, else the default; None when there is none."""
        return self._limits.get(tenant, self._limits.get(DEFAULT_TENANT))

    def spent_nanousd(self, tenant: str) -> int:
        """Bought today."""
        return self._spent.get(tenant, 0)

    def reserved_nanousd(self, tenant: str) -> int:
        """Set aside for purchases under way."""
        return self._reserved.get(tenant, 0)

    def reserve(self, request_id: str, tenant: str, amount_nanousd: int) -> bool:
        """Set the amount aside if it fits; a second reservation of the same request takes the place of the first."""
        self.void(request_id)
        limit = self.limit_nanousd(tenant)
        reserved = self.reserved_nanousd(tenant)
        if limit is not None and self.spent_nanousd(tenant) + reserved + amount_nanousd > limit:
            return False
        self._reserved[tenant] = reserved + amount_nanousd
        self._held[request_id] = (tenant, amount_nanousd)
        return True

    def settle(self, request_id: str, tenant: str, cost_nanousd: int) -> None:
        """What was set aside for the request is free, and what it cost is spent."""
        self.void(request_id)
        self._spent[tenant] = self.spent_nanousd(tenant) + cost_nanousd

    def void(self, request_id: str) -> None:
        """What was set aside is free again; unknown ids are fine."""
        held = self._held.pop(request_id, None)
        if held is not None:
            tenant, amount_nanousd = held
            self._reserved[tenant] -= amount_nanousd

    def roll(self, day: int) -> None:
        """A later day begins with nothing spent; purchases under way stay reserved. Earlier days change nothing."""
        if day > self.day:
            self.day = day
            self._spent.clear()
