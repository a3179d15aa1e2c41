"""What AWS said, as plain values: what `infra.preflight` and `infra.leftovers` decide on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Unanswered:
    """A call that was refused or got no answer; `why` in AWS's words."""

    call: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who asks."""

    account: str
    arn: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReservationFact:
    """A capacity reservation or block that the account holds."""

    instance_type: str
    zone: str
    state: str
    instances: int
    starts_at: datetime | None
    ends_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockOffer:
    """A capacity block that could be bought now; `upfront_usd` for all of it."""

    id: str
    instance_type: str
    zone: str
    instances: int
    hours: int
    starts_at: datetime
    ends_at: datetime
    upfront_usd: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Tagged:
    """A resource that carries a tag of the stack. `alive` False: it is deleted, the index of tags has not caught up."""

    arn: str
    tag: str
    alive: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountFacts:
    """All that preflight asked, by quota code, zone name, instance type, parameter, reservation or secret."""

    identity: Identity | Unanswered
    quotas: Mapping[str, float] | Unanswered
    vcpus_running: Mapping[str, int] | Unanswered  # by quota code
    zones: Mapping[str, str] | Unanswered  # name to id
    offerings: Mapping[str, frozenset[str]] | Unanswered
    images: Mapping[str, str | None] | Unanswered
    reservations: Mapping[str, ReservationFact] | Unanswered
    block_offers: Mapping[str, tuple[BlockOffer, ...]] | Unanswered  # by pool
    usd_per_hour: Mapping[str, float] | Unanswered
    spot_usd_per_hour: Mapping[str, tuple[float, float]] | Unanswered
    secrets: Mapping[str, bool] | Unanswered
