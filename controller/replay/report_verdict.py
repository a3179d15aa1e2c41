"""The verdict of a bench of policies: where ours is beaten, by whom and by how much, comes first.

Called by `spillway bench policy` and `report_page`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from controller.replay.contest_standings import LEVEL, Ahead, Standing, ahead_of_ours, closest, own_standing
from controller.replay.contest_types import ATTAINMENT_LEAST, CourseResult, Kind
from controller.replay.report_words import mean_text, percent, point_text
from controller.replay.simulation_types import DIURNAL

RIVALS = {
    Kind.PLAIN: "autoscalers plain or with a naive fallback route",
    Kind.VALVE: "policies that borrow its per-request valve",
    Kind.EXTERNAL: "buying everything outside",
    Kind.HINDSIGHT: "constants chosen in hindsight",
}


def verdict(results: Sequence[CourseResult], ours: str, *, limit: str = "the optimum") -> str:
    """The first paragraph, for each kind of rival: losses first; else by how much ours leads at least.

    `limit`: whose cost all costs are divided by.
    """
    if not results:
        return "Nothing was run to its end, so nothing can be said."
    said = [_against(kind, results, ours, limit) for kind in Kind]
    short = [name for result in results if (name := _attains_short(result, ours))]
    if short:
        said.append((True, f"Below {100 * ATTAINMENT_LEAST:g} % of requests within their SLO: {'; '.join(short)}."))
    return " ".join(text for is_loss in (True, False) for loses, text in said if text and loses is is_loss)


def bounds(results: Sequence[CourseResult], ours: str, *, flips: str = "changes of mode") -> str:
    """How often ours acted and how much it regrets at most, on recorded weeks and elsewhere, and on which course.

    `flips`: what the flips of the results are.
    """
    parts = (
        ("On recorded weeks", [result for result in results if result.kind == DIURNAL]),
        ("On short courses", [result for result in results if result.kind != DIURNAL]),
    )
    return " ".join(_bounds(where, found, ours, flips) for where, found in parts if found)


def _bounds(where: str, results: Sequence[CourseResult], ours: str, flips: str) -> str:
    own = {result.name: own_standing(result, ours) for result in results}

    def most(figure: Callable[[Standing], float], text: str) -> str:
        name = max(own, key=lambda name: figure(own[name]))
        return f"{text.format(abs(figure(own[name])))} ({name})"

    figures = (
        most(lambda one: one.actions_per_hour, "{:.1f} replica changes an hour"),
        most(lambda one: one.flips_per_hour, f"{{:.1f}} {flips} an hour"),
        most(lambda one: 100 * one.regret_ratio, "{:.1f} % of what it spills regretted"),
    )
    least = most(lambda one: -100 * one.attained_ratio.value, "{:.2f} % of requests within their SLO")
    return f"{where} {ours} comes to at most {', '.join(figures)}; and to at least {least}."


def _against(kind: Kind, results: Sequence[CourseResult], ours: str, limit: str) -> tuple[bool, str]:
    """Whether ours loses to any of them, and what to say; nothing where none of them ran."""
    if not any(final.point.kind is kind and final.point.policy != ours for one in results for final in one.finals):
        return False, ""
    beaten = [found[0] for result in results if (found := ahead_of_ours(result, ours, kind))]
    if not beaten:
        return False, _leads(kind, results, ours, limit)
    beaten.sort(key=lambda one: (one.is_noise, one.standing.behind_ours.value))
    clear = sum(not one.is_noise for one in beaten)
    order, told = ("the worst", beaten[:1]) if kind is Kind.HINDSIGHT else ("the worst first", beaten)
    return True, (
        f"Against {RIVALS[kind]} {ours} loses on {len(beaten)} of {len(results)} courses, on {clear} of them beyond "
        f"the noise. Cost by that of {limit}, {order}: {'; '.join(_beaten_line(one) for one in told)}."
    )


def _beaten_line(one: Ahead) -> str:
    attained = (
        ""
        if one.standing.attained_ratio.value >= ATTAINMENT_LEAST
        else f", {percent(one.standing.attained_ratio.value)} % within their SLO against "
        f"{percent(one.ours.attained_ratio.value)} %"
    )
    return (
        f"{one.course} {one.ours.usd_ratio.value:.3f} against {one.standing.usd_ratio.value:.3f} of "
        f"{point_text(one.standing.point)}, {mean_text(one.gap)} more{', within the noise' if one.is_noise else ''}"
        f"{attained}"
    )


def _leads(kind: Kind, results: Sequence[CourseResult], ours: str, limit: str) -> str:
    text = f"Against {RIVALS[kind]} {ours} is ahead on all {len(results)} courses, at equal or better attainment"
    rivals = [(result.name, rival) for result in results if (rival := closest(result, ours, kind))]
    if not rivals:
        return f"{text}: none of them attains as much."
    course, rival = min(rivals, key=lambda pair: pair[1].behind_ours.value)
    if rival.behind_ours.value < LEVEL:
        return (
            f"Against {RIVALS[kind]} {ours} is behind on none of {len(results)} courses, at equal or better "
            f"attainment; the closest is level with it ({course}, {point_text(rival.point)})."
        )
    gap = mean_text(rival.behind_ours)
    return f"{text}: by {gap} of the cost of {limit} at least ({course}, {point_text(rival.point)})."


def _attains_short(result: CourseResult, ours: str) -> str:
    attained = own_standing(result, ours).attained_ratio.value
    return f"{result.name} {percent(attained)} %" if attained < ATTAINMENT_LEAST else ""
