"""What a bench of policies found, in words: the verdict first, and where ours loses that is the verdict.

Called by `spillway bench policy` and `report_page`.
"""

from __future__ import annotations

from collections.abc import Sequence

from controller.replay.contest_standings import LEVEL, Ahead, Mean, Standing, ahead_of_ours, closest, standings
from controller.replay.contest_types import ATTAINMENT_LEAST, HINDSIGHT, CourseResult, Point

COLUMNS = ("policy", "form", "knob", "x optimum", "$/1k", "SLO %", "spill %", "actions/h", "flips/h", "regret %",
           "dearer than ours")  # fmt: skip
FORMS = {"none": "plain", "naive": "+ naive spill", "valve": "valve", "mode": "valve and mode"}


def verdict(results: Sequence[CourseResult], ours: str) -> str:
    """The first paragraph: where ours is beaten, by whom and by how much; else by how much it leads at least."""
    if not results:
        return "Nothing was run to its end, so nothing can be said."
    beaten = [found for result in results if (found := ahead_of_ours(result, ours))]
    text = _beaten(beaten, len(results), ours) if beaten else _leads(results, ours)
    short = [name for result in results if (name := _attains_short(result, ours))]
    return (
        f"{text} Below {100 * ATTAINMENT_LEAST:g} % of requests within their SLO: {'; '.join(short)}."
        if short
        else text
    )


def table_rows(result: CourseResult, ours: str) -> list[tuple[str, ...]]:
    """One row for each policy, the cheapest of those that attain enough first; as `COLUMNS`."""
    return [_row(one, is_ours=one.point.policy == ours) for one in standings(result, ours)]


def summary_rows(results: Sequence[CourseResult], ours: str) -> list[tuple[str, ...]]:
    """One row for each course: ours and the best other at equal or better attainment; as `SUMMARY_COLUMNS`."""
    return [_summary_row(result, ours) for result in results]


SUMMARY_COLUMNS = ("workload", "pool", "prices", "replicas", "ours x optimum", "SLO %", "spill %", "actions/h",
                   "flips/h", "best other", "x optimum", "ours cheaper by")  # fmt: skip


def mean_text(mean: Mean, digits: int = 3) -> str:
    """Value and the half width of its interval."""
    value = f"{mean.value:.{digits}f}"
    return value if mean.half is None else f"{value} ± {mean.half:.{digits}f}"


def point_text(point: Point) -> str:
    """Policy and form."""
    return f"{point.policy} ({FORMS[point.gateway]}, {point.knob:g})"


def _beaten(beaten: Sequence[tuple[Ahead, ...]], courses: int, ours: str) -> str:
    fair = sum(any(one.standing.point.policy not in HINDSIGHT for one in found) for found in beaten)
    worst = sorted((found[0] for found in beaten), key=lambda one: one.standing.behind_ours.value)
    known = ", ".join(sorted(HINDSIGHT))
    return (
        f"{ours} loses on {len(beaten)} of {courses} courses, on {fair} of them to a policy that does not know the "
        f"demand beforehand ({known} do). Cost by that of the optimum, the worst first: "
        f"{'; '.join(_beaten_line(one, ours) for one in worst)}."
    )


def _beaten_line(one: Ahead, ours: str) -> str:
    gap = Mean(value=-one.standing.behind_ours.value, half=one.standing.behind_ours.half)
    noise = ", within the noise" if gap.half is not None and gap.value <= gap.half else ""
    attained = (
        ""
        if one.standing.attained_ratio.value >= ATTAINMENT_LEAST
        else f", {_percent(one.standing.attained_ratio.value)} % within their SLO against "
        f"{_percent(one.ours.attained_ratio.value)} %"
    )
    return (
        f"{one.course} {one.ours.usd_ratio.value:.3f} against {one.standing.usd_ratio.value:.3f} of "
        f"{point_text(one.standing.point)}, {mean_text(gap)} more{noise}{attained}"
    )


def _leads(results: Sequence[CourseResult], ours: str) -> str:
    others = len({final.point.policy for result in results for final in result.finals} - {ours})
    rivals = [(result.name, rival) for result in results if (rival := closest(result, ours))]
    text = f"{ours} is ahead of all {others} others on all {len(results)} courses, at equal or better attainment"
    if not rivals:
        return f"{text}: none of them attains as much."
    course, rival = min(rivals, key=lambda pair: pair[1].behind_ours.value)
    if rival.behind_ours.value < LEVEL:
        return (
            f"None of {others} others is ahead of {ours} on any of {len(results)} courses, at equal or better "
            f"attainment; the closest is level with it ({course}, {point_text(rival.point)})."
        )
    gap = mean_text(rival.behind_ours)
    return f"{text}: by {gap} of the optimum's cost at least ({course}, {point_text(rival.point)})."


def _attains_short(result: CourseResult, ours: str) -> str:
    own = next(one for one in standings(result, ours) if one.point.policy == ours)
    attained = own.attained_ratio.value
    return f"{result.name} {_percent(attained)} %" if attained < ATTAINMENT_LEAST else ""


def _row(one: Standing, *, is_ours: bool) -> tuple[str, ...]:
    return (
        one.point.policy,
        FORMS[one.point.gateway],
        f"{one.point.knob:g}",
        mean_text(one.usd_ratio),
        f"{one.usd_per_1k.value:.4g}",
        _percent(one.attained_ratio.value),
        _percent(one.spilled_ratio),
        f"{one.actions_per_hour:.1f}",
        f"{one.flips_per_hour:.1f}",
        _percent(one.regret_ratio),
        "-" if is_ours else mean_text(one.behind_ours),
    )


def _summary_row(result: CourseResult, ours: str) -> tuple[str, ...]:
    own = next(one for one in standings(result, ours) if one.point.policy == ours)
    rival = closest(result, ours)
    best = ("none", "-", "-") if rival is None else (
        point_text(rival.point), f"{rival.usd_ratio.value:.3f}", mean_text(rival.behind_ours)
    )  # fmt: skip
    return (
        result.workload,
        result.pool,
        result.prices,
        str(result.replicas),
        mean_text(own.usd_ratio),
        _percent(own.attained_ratio.value),
        _percent(own.spilled_ratio),
        f"{own.actions_per_hour:.1f}",
        f"{own.flips_per_hour:.1f}",
        *best,
    )


def _percent(ratio: float) -> str:
    return f"{100 * ratio:.2f}"
