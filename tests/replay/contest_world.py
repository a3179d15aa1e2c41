"""A tiny contest for tests: constants as policies, minutes as weeks."""

from __future__ import annotations

from typing import Any

from controller.replay.baselines.fluid_facts import fluid_facts
from controller.replay.baselines.pool_facts import PoolFacts
from controller.replay.contest_types import Course, CourseResult, Entrant, Final, Point, Score, Stretch, Tried
from controller.replay.fluid_pool import ReplicaShape
from controller.replay.simulation_types import Curve, Economics, Seen, Wish

ECONOMICS = Economics(
    replica_usd_per_s=0.01, spill_usd_per_request=0.01, replica_requests_per_s=5.0, cold_start_s=20.0, max_replicas=10
)


class Steady:
    """So many replicas, always."""

    name = "steady"
    period_s = 10.0

    def __init__(self, replicas: float) -> None:
        self._replicas = int(replicas)

    def step(self, seen: Seen, now_s: float) -> Wish:
        """Always the same."""
        return Wish(replicas=self._replicas, reason="steady")


def steady(_facts: PoolFacts, replicas: float) -> Steady:
    """As entrants make it."""
    return Steady(replicas)


def entrant(name: str = "steady", **changed: Any) -> Entrant:
    """One that tries 1 to 7 replicas, plain and with the valve."""
    values: dict[str, Any] = {
        "name": name,
        "knob": "replicas",
        "default": 4.0,
        "sweep": (1.0, 2.0, 3.0, 5.0, 6.0, 7.0),
        "gateways": ("none", "valve"),
        "make": steady,
    }
    return Entrant(**(values | changed))


def curve(*rates: float, name: str = "curve") -> Curve:
    """Slots of ten seconds."""
    return Curve(name=name, slot_s=10.0, rates_per_s=rates, kind="synthetic")


def course(*rates: float, counted_from_s: float = 0.0) -> Course:
    """Tuned on the whole, judged from then on."""
    whole = curve(*rates)
    return Course(
        workload="curve",
        kind="synthetic",
        pool="tiny",
        prices="list",
        replicas=4,
        facts=fluid_facts(ECONOMICS, ReplicaShape(), whole),
        shape=ReplicaShape(),
        tuned_on=Stretch(curve=whole),
        judged_on=Stretch(curve=whole, counted_from_s=counted_from_s),
    )


def score(usd_ratio: float, attained_ratio: float = 1.0, seed: int = 1) -> Score:
    """Only what it costs and attains matters."""
    return Score(
        seed=seed,
        usd_ratio=usd_ratio,
        usd_per_1k=usd_ratio,
        attained_ratio=attained_ratio,
        spilled_ratio=0.0,
        actions_per_hour=1.0,
        flips_per_hour=2.0,
        regret_ratio=0.0,
        peak_replicas=4,
    )


def point(policy: str, knob: float = 1.0, gateway: str = "valve") -> Point:
    """One of a policy."""
    return Point(policy=policy, gateway=gateway, knob=knob)


def result(workload: str = "week", *, kind: str = "diurnal", **policies: tuple[Score, ...]) -> CourseResult:
    """A course on which these policies had these scores."""
    return CourseResult(
        workload=workload,
        kind=kind,
        pool="8b",
        prices="list",
        replicas=20,
        tried=tuple(Tried(point=point(name), score=scores[0]) for name, scores in policies.items()),
        finals=tuple(Final(point=point(name), scores=scores) for name, scores in policies.items()),
    )
