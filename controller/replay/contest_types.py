"""What the contest of policies speaks: who enters, what is driven, and what a run scored.

Called by `contest`, `contest_standings` and `report`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from controller.core.errors import SimulationError
from controller.replay.baselines.pool_facts import PoolFacts
from controller.replay.fluid_pool import ReplicaShape
from controller.replay.simulation_types import Autoscaler, Curve

ATTAINMENT_LEAST = 0.99  # two policies above it are equally good, and the cheaper one is ahead

HINDSIGHT = frozenset({"static-peak", "static-best"})  # they are set up by the demand that is yet to come
EXTERNAL = frozenset({"all-external"})  # no autoscaler: everything is bought
VALVES = frozenset({"valve", "mode"})  # gateways that spill request by request, as ours does


class Kind(StrEnum):
    """Of a policy in one form: what a loss to it would say."""

    PLAIN = "plain"  # as people run it: without spilling, or with a fallback route for everything
    VALVE = "valve"  # behind the same per-request valve as ours
    EXTERNAL = "external"  # everything is bought from providers
    HINDSIGHT = "hindsight"  # set up by the demand that is yet to come


@dataclass(frozen=True, slots=True, kw_only=True)
class Entrant:
    """One policy that can be made anew for a run, with its main knob and the values a search tries."""

    name: str
    knob: str
    default: float
    sweep: tuple[float, ...]
    gateways: tuple[str, ...]  # none | naive | valve: the forms it is run in
    make: Callable[[PoolFacts, float], Autoscaler]
    scrape_s: float = 15.0  # how often its metrics are new


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """A piece of a workload. What happens before `counted_from_s` warms policies up and is not counted."""

    curve: Curve
    counted_from_s: float = 0.0

    def __post_init__(self) -> None:
        """Refuse a stretch of which nothing is counted."""
        if not 0 <= self.counted_from_s < self.curve.duration_s:
            allowed = f"at least 0 and below the {self.curve.duration_s:g} s of {self.curve.name}"
            raise SimulationError(f"counted_from_s is {self.counted_from_s:g}; it must be {allowed}")

    @property
    def first_slot(self) -> int:
        """The first that counts."""
        return round(self.counted_from_s / self.curve.slot_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """One workload on one pool of one size: policies are tuned on one stretch of it and judged on another."""

    workload: str
    kind: str  # diurnal | bursty | synthetic
    pool: str
    prices: str  # the set they are of
    replicas: int  # that the busiest moments need
    facts: PoolFacts
    shape: ReplicaShape
    tuned_on: Stretch
    judged_on: Stretch

    @property
    def name(self) -> str:
        """As tables call it."""
        return f"{self.workload} {self.pool} {self.prices} x{self.replicas}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One policy in one form with one value of its knob."""

    policy: str
    gateway: str
    knob: float

    @property
    def kind(self) -> Kind:
        """What a loss to it would say."""
        if self.policy in HINDSIGHT:
            return Kind.HINDSIGHT
        if self.policy in EXTERNAL:
            return Kind.EXTERNAL
        return Kind.VALVE if self.gateway in VALVES else Kind.PLAIN


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """What one run came to, beside the clairvoyant optimum for the same requests."""

    seed: int
    usd_ratio: float  # to the optimum with spilling
    usd_per_1k: float
    attained_ratio: float
    spilled_ratio: float
    actions_per_hour: float
    flips_per_hour: float
    regret_ratio: float
    peak_replicas: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """A point and its score while tuning."""

    point: Point
    score: Score


@dataclass(frozen=True, slots=True, kw_only=True)
class Final:
    """The best-tuned point of a policy and its scores, one for each seed."""

    point: Point
    scores: tuple[Score, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropped:
    """A policy's best-tuned point that was not judged, and why: it can no longer win."""

    point: Point
    score: Score  # of tuning
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CourseResult:
    """Everything that was run on one course."""

    workload: str
    kind: str
    pool: str
    prices: str
    replicas: int
    tried: tuple[Tried, ...]
    finals: tuple[Final, ...]
    dropped: tuple[Dropped, ...] = ()

    @property
    def name(self) -> str:
        """As tables call it."""
        return f"{self.workload} {self.pool} {self.prices} x{self.replicas}"
