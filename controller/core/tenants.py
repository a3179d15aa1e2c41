"""What each tenant may do: how much, how dear, on which models, and how urgently."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from controller.core.requests import ANYWHERE, Priority, Reach

EVERYONE = "*"  # the name whose settings hold for tenants that have none of their own


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantPolicy:
    """The limits of one tenant. None: no limit. `priority`: of requests that do not say, and the highest they get."""

    requests_per_min: int | None = None
    tokens_per_min: int | None = None
    usd_per_day: Decimal | None = None
    usd_per_month: Decimal | None = None
    priority: Priority | None = None
    reach: Reach = ANYWHERE


UNLIMITED = TenantPolicy()


def policy_of(tenants: Mapping[str, TenantPolicy], tenant: str) -> TenantPolicy:
    """The tenant's own policy, else everyone's, else none at all."""
    return tenants.get(tenant) or tenants.get(EVERYONE, UNLIMITED)
