"""The contest request by request: the same policies on the same courses, each request in the batches of real engines.

Its limit is O_replay: the schedule of the clairvoyant optimum, replayed with the same router and valve, so that it too
pays for queues, prompts beside answers and noise. Each policy also runs in the fluid simulation over these very
requests, counted by slots: what that leaves out is the difference. Called by `spillway bench policy --requests`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from controller.core.errors import SimulationError
from controller.replay.contest import best_schedule
from controller.replay.contest_types import HINDSIGHT, Course, CourseResult, Entrant, Final, Point, Score
from controller.replay.fleet_simulation import FleetRequests, FleetSetup, simulate_fleet
from controller.replay.fleet_simulation_providers import ExternalProvider
from controller.replay.fluid import FluidRun, replicas_for, simulate
from controller.replay.oracle_schedule import ScheduleAutoscaler
from controller.replay.simulation_types import Autoscaler, Curve, Outcome
from controller.replay.workloads import published_curve, workload_requests
from controller.replay.workloads_curves import SLOT_S
from controller.replay.workloads_economics import PRICE_SETS, list_price, pool_kind

O_REPLAY = Point(policy="O_replay", gateway="valve", knob=1.0)
FORMS: tuple[tuple[str, str, float | None], ...] = (  # who runs, in which form, with which knob; None: its default
    ("spillway", "valve", None),
    ("hpa-rate", "valve", 1.05),  # the best on most weeks of the fluid bench, as is the next
    ("mark", "valve", 0.95),
    ("static-best", "valve", None),
    ("hpa-rate", "none", None),
    ("hpa-rate", "naive", None),
    ("keda-queue", "naive", None),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """A stretch of a course as single requests, and the curve that they make."""

    course: Course
    requests: FleetRequests
    curve: Curve
    setup: FleetSetup


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """One policy on one stretch: beside O_replay and the optimum, and what the fluid simulation says of the same."""

    point: Point
    score: Score  # its cost by that of O_replay
    optimum_ratio: float  # to the fluid optimum with spilling
    fluid_optimum_ratio: float
    fluid_attained_ratio: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayResult:
    """All of one stretch with the requests of one seed, O_replay first."""

    workload: str
    kind: str
    pool: str
    prices: str
    replicas: int
    seed: int
    requests: int
    hours: float
    rows: tuple[Replayed, ...]


def as_course(results: Sequence[ReplayResult]) -> CourseResult:
    """The seeds of one stretch as the result of a course, to be judged alike. O_replay is the measure, no rival."""
    first = results[0]
    return CourseResult(
        workload=first.workload,
        kind=first.kind,
        pool=first.pool,
        prices=first.prices,
        replicas=first.replicas,
        tried=(),
        finals=tuple(
            Final(point=row.point, scores=tuple(result.rows[at].score for result in results))
            for at, row in enumerate(first.rows)
            if row.point != O_REPLAY
        ),
    )


def replay_of(course: Course, *, start_s: float, duration_s: float, requests_most: int, seed: int) -> Replay:
    """The requests of a course from `start_s` on: for `duration_s`, or until there are so many.

    A course that is shorter is taken whole.
    """
    if requests_most < 1:
        raise SimulationError(f"requests_most is {requests_most}; it must be an integer >= 1")
    kind, economics = pool_kind(course.pool), course.facts.economics
    longest_tokens = kind.engine.max_model_len_tokens
    whole_s = published_curve(
        course.workload, cold_start_s=economics.cold_start_s, longest_tokens=longest_tokens
    ).duration_s
    made = workload_requests(
        course.workload,
        np.random.default_rng(seed),
        replicas=course.replicas,
        replica_requests_per_s=economics.replica_requests_per_s,
        cold_start_s=economics.cold_start_s,
        start_s=start_s if start_s + duration_s <= whole_s else 0.0,
        duration_s=duration_s,
        longest_tokens=longest_tokens,
    )
    arrivals_s = made.arrivals_s[:requests_most]
    if not len(arrivals_s):
        raise SimulationError(f"there is no request of {course.name} in {duration_s:g} s from {start_s:g} s")
    counts = np.bincount((arrivals_s // SLOT_S).astype(np.int64))
    curve = Curve(name=course.workload, slot_s=SLOT_S, rates_per_s=tuple((counts / SLOT_S).tolist()), kind=course.kind)
    return Replay(
        course=course,
        requests=FleetRequests(
            arrival_s=arrivals_s.tolist(),
            input_tokens=made.input_tokens[:requests_most].tolist(),
            output_tokens=made.output_tokens[:requests_most].tolist(),
        ),
        curve=curve,
        setup=FleetSetup(
            steps=kind.steps,
            engine=kind.engine,
            slo=kind.slo,
            economics=economics,
            providers=(_provider(course),),
            replicas_at_start=replicas_for(_first_rate_per_s(curve), economics),
        ),
    )


def replayed(replay: Replay, entrants: Sequence[tuple[Entrant, str, float | None]], *, seed: int) -> ReplayResult:
    """Every policy in its form over the same requests, after the optimum's own schedule."""
    economics, curve = replay.setup.economics, replay.curve
    best = best_schedule(curve, 0, economics, seed, noise=False)
    schedule = ScheduleAutoscaler(best.replicas.tolist(), curve.slot_s, economics.cold_start_s)  # without state
    gateway, scrape_s = O_REPLAY.gateway, replay.setup.scrape_s
    limit = _run(replay, schedule, gateway, scrape_s, seed)
    rows = [_row(O_REPLAY, limit, _fluid(replay, schedule, gateway, scrape_s, seed), limit.usd, best.usd)]
    for entrant, gateway, knob in entrants:
        point = Point(policy=entrant.name, gateway=gateway, knob=entrant.default if knob is None else knob)
        facts = replay.course.facts
        known = replace(facts, curve=curve if entrant.name in HINDSIGHT else facts.curve)
        found = _run(replay, entrant.make(known, point.knob), gateway, entrant.scrape_s, seed)
        fluid = _fluid(replay, entrant.make(known, point.knob), gateway, entrant.scrape_s, seed)
        rows.append(_row(point, found, fluid, limit.usd, best.usd))
    course = replay.course
    return ReplayResult(
        workload=course.workload,
        kind=course.kind,
        pool=course.pool,
        prices=course.prices,
        replicas=course.replicas,
        seed=seed,
        requests=len(replay.requests.arrival_s),
        hours=curve.duration_s / 3600.0,
        rows=tuple(rows),
    )


def _run(replay: Replay, policy: Autoscaler, gateway: str, scrape_s: float, seed: int) -> Outcome:
    setup = replace(replay.setup, gateway=gateway, scrape_s=scrape_s)
    return simulate_fleet(replay.requests, policy, setup, workload=replay.course.workload, seed=seed)


def _fluid(replay: Replay, policy: Autoscaler, gateway: str, scrape_s: float, seed: int) -> Outcome:
    how = FluidRun(
        gateway=gateway,
        scrape_s=scrape_s,
        shape=replay.course.shape,
        noise=False,
        ready_at_start=replay.setup.replicas_at_start,
    )
    return simulate(replay.curve, replay.setup.economics, policy, seed=seed, run=how)


def _row(point: Point, found: Outcome, fluid: Outcome, limit_usd: float, best_usd: float) -> Replayed:
    return Replayed(
        point=point,
        score=Score(
            seed=found.seed,
            usd_ratio=found.usd / limit_usd,
            usd_per_1k=found.usd_per_1k,
            attained_ratio=found.attained_ratio,
            spilled_ratio=found.spilled / found.offered,
            actions_per_hour=found.actions_per_hour,
            flips_per_hour=found.flips_per_hour,
            regret_ratio=found.regret_ratio,
            peak_replicas=found.peak_replicas,
        ),
        optimum_ratio=found.usd / best_usd,
        fluid_optimum_ratio=fluid.usd / best_usd,
        fluid_attained_ratio=fluid.attained_ratio,
    )


def _first_rate_per_s(curve: Curve) -> float:
    """Of the first minute: a slot of a bursty trace says little."""
    slots = curve.rates_per_s[: max(1, round(60.0 / curve.slot_s))]
    return sum(slots) / len(slots)


def _provider(course: Course) -> ExternalProvider:
    """Whom the price set buys from."""
    price, bought, size = list_price(course.pool, course.prices), PRICE_SETS[course.prices], pool_kind(course.pool).size
    ttft_s, tokens_per_s = bought.latencies[size]
    return ExternalProvider(
        name=course.prices,
        input_usd_per_mtok=float(price.usd_per_mtok_in),
        output_usd_per_mtok=float(price.usd_per_mtok_out),
        ttft_s=ttft_s,
        tokens_per_s=tokens_per_s,
        requests_per_min=bought.requests_per_min,
    )
