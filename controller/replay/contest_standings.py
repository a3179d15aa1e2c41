"""What the contest proves: means over seeds with 95 % confidence, differences paired by seed, who is ahead where.

Called by `report`. Two policies that both attain the least that counts are equally good; else more is better.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from controller.replay.contest_types import ATTAINMENT_LEAST, CourseResult, Final, Kind, Point, Score

# Student's t, two-sided 95 %, by degrees of freedom; beyond these the normal distribution is near enough.
T_95 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)
NORMAL_95 = 1.96
LEVEL = 0.0005  # of the optimum's cost: a smaller difference is not seen in three digits


@dataclass(frozen=True, slots=True, kw_only=True)
class Mean:
    """Of several seeds: the truth lies within `half` of it in 95 of 100 such benches. None: one seed tells nothing."""

    value: float
    half: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One policy on one course."""

    point: Point
    usd_ratio: Mean
    usd_per_1k: Mean
    attained_ratio: Mean
    spilled_ratio: float
    actions_per_hour: float
    flips_per_hour: float
    regret_ratio: float
    behind_ours: Mean  # its cost ratio minus ours, seed by seed: above 0, ours is cheaper


@dataclass(frozen=True, slots=True, kw_only=True)
class Ahead:
    """A policy that costs less than ours on a course, at an attainment that is equal or better."""

    course: str
    standing: Standing
    ours: Standing

    @property
    def gap(self) -> Mean:
        """How much more ours costs."""
        behind = self.standing.behind_ours
        return Mean(value=-behind.value, half=behind.half)

    @property
    def is_noise(self) -> bool:
        """Whether the seeds leave open who is cheaper."""
        return self.gap.half is not None and self.gap.value <= self.gap.half


def mean_of(values: Sequence[float]) -> Mean:
    """Mean and half the width of its 95 % confidence interval."""
    if len(values) < 2:
        return Mean(value=fmean(values), half=None)
    freedom = len(values) - 1
    t_95 = T_95[freedom - 1] if freedom <= len(T_95) else NORMAL_95
    return Mean(value=fmean(values), half=t_95 * stdev(values) / math.sqrt(len(values)))


def standings(result: CourseResult, ours: str) -> tuple[Standing, ...]:
    """All policies of a course: those that attain enough first, the cheapest first."""
    reference = next(final for final in result.finals if final.point.policy == ours)
    made = [_standing(final, reference.scores) for final in result.finals]
    return tuple(sorted(made, key=_place))


def own_standing(result: CourseResult, ours: str) -> Standing:
    """That of ours."""
    return next(one for one in standings(result, ours) if one.point.policy == ours)


def ahead_of_ours(result: CourseResult, ours: str, kind: Kind) -> tuple[Ahead, ...]:
    """Who of that kind beats ours there, the most first."""
    own = own_standing(result, ours)
    found = [one for one in _rivals(result, ours, kind) if one.behind_ours.value < -LEVEL]
    return tuple(Ahead(course=result.name, standing=one, ours=own) for one in found)


def closest(result: CourseResult, ours: str, kind: Kind) -> Standing | None:
    """Of those of that kind that attain as much as ours the cheapest; None when ours is alone in that."""
    return next(iter(_rivals(result, ours, kind)), None)


def _rivals(result: CourseResult, ours: str, kind: Kind) -> list[Standing]:
    """The others of that kind that attain as much, the cheapest first."""
    table = standings(result, ours)
    own = next(one for one in table if one.point.policy == ours)
    others = [one for one in table if one is not own and one.point.kind is kind and is_as_good(one, own)]
    return sorted(others, key=lambda one: one.behind_ours.value)


def is_as_good(one: Standing, other: Standing) -> bool:
    """Whether it attains as much, or both attain enough."""
    return one.attained_ratio.value >= min(ATTAINMENT_LEAST, other.attained_ratio.value)


def _standing(final: Final, ours: Sequence[Score]) -> Standing:
    scores = final.scores
    theirs = {score.seed: score.usd_ratio for score in scores}
    return Standing(
        point=final.point,
        usd_ratio=mean_of([score.usd_ratio for score in scores]),
        usd_per_1k=mean_of([score.usd_per_1k for score in scores]),
        attained_ratio=mean_of([score.attained_ratio for score in scores]),
        spilled_ratio=fmean(score.spilled_ratio for score in scores),
        actions_per_hour=fmean(score.actions_per_hour for score in scores),
        flips_per_hour=fmean(score.flips_per_hour for score in scores),
        regret_ratio=fmean(score.regret_ratio for score in scores),
        behind_ours=mean_of([theirs[score.seed] - score.usd_ratio for score in ours]),
    )


def _place(standing: Standing) -> tuple[bool, float]:
    return standing.attained_ratio.value < ATTAINMENT_LEAST, standing.usd_ratio.value
