"""What one tick hands from step to step. Called by `tick` alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from controller.core.fleet import Pin, PoolView, Replica
from controller.core.samples import EngineMetrics, PoolSample
from controller.loop.plan import PoolPlan, PoolWish
from controller.loop.views import Seen

Listing = tuple[tuple[Replica, ...], Mapping[str, EngineMetrics]]  # a pool's replicas, and what engines say, by id


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """What operators have said, as read in this tick."""

    pins: Mapping[str, Pin]
    ordered: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One pool as observed in this tick, and what it wishes."""

    seen: Seen
    wish: PoolWish


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """What is to be done with one pool, and how it then looks."""

    plan: PoolPlan
    view: PoolView
    sample: PoolSample | None
