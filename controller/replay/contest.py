"""The contest of policies: each tuned with the same number of runs on one stretch of a workload, judged on another.

Nothing here starts a process: `heats` says what is to be run, `scores_of` runs one heat, `best_tried` chooses who
may be judged. `spillway bench policy` spreads the heats over processes. All runs of a seed meet the same requests.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from controller.core.errors import SimulationError
from controller.replay.contest_types import (
    ATTAINMENT_LEAST,
    HINDSIGHT,
    Course,
    Entrant,
    Kind,
    Point,
    Score,
    Stretch,
    Tried,
)
from controller.replay.fluid import FluidRun, offered_requests, replicas_for, simulate
from controller.replay.oracle import Optimum, averaged, optimum
from controller.replay.simulation_types import DIURNAL, Curve, Economics, Outcome

TUNING_SEED = 1000  # no seed that is judged
FINER_VALUES = 2  # on each side of the best of a sweep
HEAT_POINTS = 12  # runs of one heat: large enough to share its optimum, small enough to show that it goes on


@dataclass(frozen=True, slots=True, kw_only=True)
class Heat:
    """Some points on one course with the requests of one seed."""

    course: int
    judged: bool  # on the stretch that is judged, not the one for tuning
    seed: int
    points: tuple[Point, ...]


def swept_points(entrant: Entrant, values: int) -> tuple[Point, ...]:
    """So many values of the knob in each form: spread over those there are with both ends, the default among them."""
    if values < 1:
        raise SimulationError(f"values is {values}; it must be an integer >= 1")
    knobs = _spread(entrant, values)
    return tuple(
        Point(policy=entrant.name, gateway=gateway, knob=knob) for gateway in entrant.gateways for knob in knobs
    )


def finer_points(tried: Sequence[Tried], entrants: Mapping[str, Entrant]) -> tuple[Point, ...]:
    """Around the best of each form of each policy: the two nearest values on each side that a search would try."""
    done = {one.point for one in tried}
    forms = dict.fromkeys(one.point.gateway for one in tried)
    found = []
    for one in (one for form in forms for one in best_tried([one for one in tried if one.point.gateway == form])):
        best = one.point
        sweep = sorted({*entrants[best.policy].sweep, best.knob})
        place = sweep.index(best.knob)
        near = sweep[max(0, place - FINER_VALUES) : place + FINER_VALUES + 1]
        found += [replace(best, knob=knob) for knob in near]
    return tuple(point for point in found if point not in done)


def heats(course: int, points: Sequence[Point], seeds: Sequence[int], *, judged: bool) -> tuple[Heat, ...]:
    """Every point with every seed, a few at a time."""
    return tuple(
        Heat(course=course, judged=judged, seed=seed, points=tuple(points[first : first + HEAT_POINTS]))
        for seed in seeds
        for first in range(0, len(points), HEAT_POINTS)
    )


def scores_of(heat: Heat, course: Course, entrants: Mapping[str, Entrant]) -> tuple[Score, ...]:
    """What each point of the heat scores, in its order."""
    stretch = course.judged_on if heat.judged else course.tuned_on
    return tuple(score(point, stretch, course, entrants[point.policy], heat.seed) for point in heat.points)


def score(point: Point, stretch: Stretch, course: Course, entrant: Entrant, seed: int) -> Score:
    """One run of one policy, and what it comes to beside the optimum of the part that counts."""
    outcome = run(point, stretch.curve, course, entrant, seed)
    economics, slot_s = course.facts.economics, stretch.curve.slot_s
    return scored(outcome, economics, slot_s, stretch.first_slot, optimum_usd(stretch, economics, seed))


def run(point: Point, curve: Curve, course: Course, entrant: Entrant, seed: int) -> Outcome:
    """The whole run, with its series. Timetables are made from the days for tuning, constants in hindsight."""
    known = replace(course.facts, curve=curve if point.policy in HINDSIGHT else course.tuned_on.curve)
    made = entrant.make(known, point.knob)
    how = FluidRun(gateway=point.gateway, scrape_s=entrant.scrape_s, keep_series=True, shape=course.shape)
    return simulate(curve, course.facts.economics, made, seed=seed, run=how)


def scored(outcome: Outcome, economics: Economics, slot_s: float, first_slot: int, best_usd: float) -> Score:
    """A run counted from `first_slot` on; how often it acted and what it regrets is of the whole run."""
    series = outcome.series
    if series is None:
        raise SimulationError(f"the run of {outcome.policy} kept no series; keep_series must be true")
    offered = float(np.sum(series.demand_per_s[first_slot:])) * slot_s
    spilled = float(np.sum(series.spilled_per_s[first_slot:])) * slot_s
    missed = float(np.sum(series.missed_per_s[first_slot:])) * slot_s
    paid_s = (sum(series.ready[first_slot:]) + sum(series.starting[first_slot:])) * slot_s
    usd = paid_s * economics.replica_usd_per_s + (spilled and spilled * economics.spill_usd_per_request)
    return Score(
        seed=outcome.seed,
        usd_ratio=usd / best_usd if best_usd else 1.0,
        usd_per_1k=1000 * usd / offered if offered else 0.0,
        attained_ratio=1 - missed / offered if offered else 1.0,
        spilled_ratio=spilled / offered if offered else 0.0,
        actions_per_hour=outcome.actions_per_hour,
        flips_per_hour=outcome.flips_per_hour,
        regret_ratio=outcome.regret_ratio,
        peak_replicas=outcome.peak_replicas,
    )


@lru_cache(maxsize=8)
def optimum_usd(stretch: Stretch, economics: Economics, seed: int) -> float:
    """The least that these requests can cost with spilling, from as many ready replicas as the first slot needs.

    Remembered for the runs of one heat: the curve's rates must be a tuple.
    """
    return best_schedule(stretch.curve, stretch.first_slot, economics, seed).usd


def best_schedule(curve: Curve, first_slot: int, economics: Economics, seed: int, *, noise: bool = True) -> Optimum:
    """The optimum for the requests of this seed. On recorded weeks their noise is evened out over a minute.

    A gateway that lets requests wait a second or two evens it out as well, and would else cost less than the optimum.
    """
    rates = np.asarray(offered_requests(curve, seed, noise=noise)[first_slot:]) / curve.slot_s
    demand = averaged(rates, curve.slot_s) if curve.kind == DIURNAL else rates
    ready = replicas_for(curve.rates_per_s[first_slot], economics)
    return optimum(demand, curve.slot_s, economics, ready_at_start=ready)


def best_tried(tried: Sequence[Tried]) -> tuple[Tried, ...]:
    """Of each policy the cheapest point that attains enough; where none does, the one that attains most.

    A policy that runs both plain and behind the valve has one of each.
    """
    found: dict[tuple[str, Kind], Tried] = {}
    for one in tried:
        name = one.point.policy, one.point.kind
        found[name] = min(found.get(name, one), one, key=merit)
    return tuple(found.values())


def merit(one: Tried) -> tuple[float, float]:
    """Less is better."""
    short = max(0.0, ATTAINMENT_LEAST - one.score.attained_ratio)
    return short, one.score.usd_ratio


def _spread(entrant: Entrant, count: int) -> tuple[float, ...]:
    """`count` values of the sweep, or all where there are fewer; the one nearest to the default gives way to it."""
    sweep, last = entrant.sweep, len(entrant.sweep) - 1
    places = sorted({round(place * last / max(1, count - 1)) for place in range(count)})
    knobs = [sweep[place] for place in places]
    nearest = min(range(len(knobs)), key=lambda place: abs(knobs[place] - entrant.default))
    knobs[nearest] = entrant.default
    return tuple(sorted(knobs))
