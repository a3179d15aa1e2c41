"""`routing.BudgetState` made safe for threads and for second posts; the ledger asks it before every purchase.

Check and set-aside are one step under a lock, so spent + reserved never passes a limit. Reservations outlive midnight;
what they end up costing is counted on the UTC day in which their request was accepted.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping

from controller.config.settings import BudgetSettings
from controller.core.money import nanousd
from controller.routing.budget import BudgetState

DAY_S = 86_400
REMEMBERED_IDS = 65_536  # a second post of the same id within this many purchases is not counted again


class TenantBudgets:
    """Budgets of every tenant for one UTC day at a time."""

    def __init__(self, budgets: BudgetSettings, spent_nanousd: Mapping[str, int], *, now_s: float) -> None:
        limits = {tenant: None if amount is None else nanousd(amount) for tenant, amount in budgets.usd_per_day.items()}
        self._state = BudgetState(limits, day=int(now_s // DAY_S), spent_nanousd=spent_nanousd)
        self._settled: dict[str, None] = {}
        self._lock = threading.Lock()

    def reserve(self, request_id: str, tenant: str, amount_nanousd: int, now_s: float) -> bool:
        """Set the amount aside if it still fits; a second reservation of the same id takes the place of the first."""
        with self._lock:
            self._state.roll(int(now_s // DAY_S))
            return self._state.reserve(request_id, tenant, amount_nanousd)

    def settle(self, request_id: str, tenant: str, cost_nanousd: int, at_s: float) -> None:
        """What was set aside is free, and the cost is spent; once per id."""
        with self._lock:
            day = int(at_s // DAY_S)
            self._state.roll(day)
            if not cost_nanousd or request_id in self._settled or day != self._state.day:
                self._state.void(request_id)
                return
            self._state.settle(request_id, tenant, cost_nanousd)
            self._settled[request_id] = None
            if len(self._settled) > REMEMBERED_IDS:
                del self._settled[next(iter(self._settled))]

    def void(self, request_id: str) -> None:
        """What was set aside is free again."""
        with self._lock:
            self._state.void(request_id)

    def spent_nanousd(self, tenant: str) -> int:
        """Bought today."""
        return self._state.spent_nanousd(tenant)

    def reserved_nanousd(self, tenant: str) -> int:
        """Set aside now."""
        return self._state.reserved_nanousd(tenant)
