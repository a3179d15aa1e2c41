"""The live picture of the fleet: immutable snapshots, swapped whole. `None` means unknown, never zero."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class ReplicaState(StrEnum):
    """Life of a replica."""

    WARMING = "warming"
    READY = "ready"
    DRAINING = "draining"
    LOST = "lost"


class RoutingMode(StrEnum):
    """Where a pool's requests go by the controller's word."""

    LOCAL = "Local"
    SPILLING = "Spilling"
    EXTERNAL = "External"


@dataclass(frozen=True, slots=True, kw_only=True)
class Replica:
    """One engine. Times are unix seconds. `ready_at_s`: when it became ready, or is expected to while warming."""

    replica_id: str
    pool: str
    url: str  # http://host:port, no path
    state: ReplicaState
    started_at_s: float
    ready_at_s: float | None = None
    running: int | None = None
    waiting: int | None = None
    kv_cache_usage_ratio: float | None = None
    seen_at_s: float | None = None  # when its metrics were last read
    reason: str = ""
    simulated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """An operator's word, stronger than the controller's until it expires. `routing` None: only replicas pinned."""

    routing: RoutingMode | None
    replicas: int | None
    who: str
    reason: str
    until_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaleTerms:
    """The figures behind a scaling decision by what pays. `off_lost_usd`: what buying the work of the next replica has
    cost more than having it; `on_lost_usd`: what the last replica has cost more than buying its work; each switches at
    its patience times `start_usd`. `least_replicas` stay whatever they cost. `ahead_replicas`: what its trend adds to
    the demand in a cold start, where that is counted, as `patience_ahead` says. `experts`: of each patience (up, down,
    ahead) what it would have spent, fading.
    """

    demand_replicas: float
    replica_usd_per_s: float
    spill_usd_per_replica_s: float
    start_usd: float
    patience_up: float
    patience_down: float
    off_lost_usd: float
    on_lost_usd: float
    least_replicas: int
    experts: tuple[tuple[float, float, float, float], ...]
    patience_ahead: float = 0.0
    ahead_replicas: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolView:
    """One pool as the routers see it. `wanted_*`: before `constraints`; `desired_replicas`: after them."""

    name: str
    replicas: tuple[Replica, ...] = ()
    mode: RoutingMode = RoutingMode.LOCAL
    spill_ratio: float = 0.0
    mode_since_s: float = 0.0
    mode_reason: str = ""
    saturation_ratio: float | None = None
    desired_replicas: int | None = None
    decision_reason: str = ""  # with the constraints, and the news of prices
    wanted_replicas: int | None = None
    wanted_reason: str = ""
    constraints: tuple[str, ...] = ()
    terms: ScaleTerms | None = None
    pin: Pin | None = None
    cold_starts_s: tuple[float, ...] = ()  # the last ones, oldest first
    missing_replicas: int = 0  # that would pay and are not to be had now

    def count(self, state: ReplicaState) -> int:
        """Replicas in one state."""
        return sum(1 for replica in self.replicas if replica.state is state)


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetView:
    """All pools at one instant. `revision` grows with each publication. `gateways`: how many route by it."""

    revision: int = 0
    published_at_s: float = 0.0
    gateways: int = 1
    pools: Mapping[str, PoolView] = field(default_factory=dict)
