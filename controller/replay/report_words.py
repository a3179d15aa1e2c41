"""What a bench of policies found, as tables of words. Called by `spillway bench policy` and `report_verdict`."""

from __future__ import annotations

from collections.abc import Sequence

from controller.replay.contest_standings import Mean, Standing, closest, own_standing, standings
from controller.replay.contest_types import CourseResult, Kind, Point

COLUMNS = ("policy", "form", "knob", "x optimum", "$/1k", "SLO %", "spill %", "actions/h", "flips/h", "regret %",
           "dearer than ours")  # fmt: skip
FORMS = {"none": "plain", "naive": "+ naive spill", "valve": "valve", "mode": "valve and mode"}


def table_rows(result: CourseResult, ours: str) -> list[tuple[str, ...]]:
    """One row for each policy, the cheapest of those that attain enough first; as `COLUMNS`."""
    return [_row(one, is_ours=one.point.policy == ours) for one in standings(result, ours)]


def summary_rows(results: Sequence[CourseResult], ours: str) -> list[tuple[str, ...]]:
    """One row for each course: ours and the best others at equal or better attainment; as `SUMMARY_COLUMNS`."""
    return [_summary_row(result, ours) for result in results]


SUMMARY_COLUMNS = ("workload", "pool", "prices", "replicas", "ours x optimum", "SLO %", "spill %", "actions/h",
                   "flips/h", "regret %", "best plain or naive", "x optimum", "ours cheaper by",
                   "best other with valve", "x optimum", "ours cheaper by")  # fmt: skip


TERMS = (
    ("x optimum", "cost by that of the clairvoyant optimum, which knows all requests beforehand: 1 is the least there "
     "is; with half the width of its 95 % interval over the seeds"),
    ("form", "plain: the autoscaler alone; + naive spill: a fallback route that takes what a full pool refuses; valve: "
     "a gateway that sends away each request whose first token would be late; valve and mode: that, and a share while "
     "demand does not fit, as Spillway does in production"),
    ("knob", "the policy's main setting, at the value that did best on the stretch for tuning: an HPA's target, "
     "KEDA's queue length"),
    ("$/1k", "cost of 1,000 requests, replicas and providers together"),
    ("SLO %", "requests whose first token came within the pool's SLO, from a replica or a provider"),
    ("spill %", "requests answered by an external provider"),
    ("actions/h", "changes of the replica count per hour"),
    ("flips/h", "times per hour that spilling begins or ends; with a mode: that the mode changes"),
    ("regret %", "of the spilled requests, those for which a replica had room"),
    ("dearer than ours", "how much more it costs than Spillway, as part of the optimum's cost, seed by seed"),
    ("x20, x4", "replicas that the busy moments of the workload need"),
)  # fmt: skip

TRIED_COLUMNS = ("policy", "form", "knob", "x optimum", "SLO %", "spill %")


def tried_rows(result: CourseResult) -> list[tuple[str, ...]]:
    """Every point of the plot of cost against attainment; as `TRIED_COLUMNS`."""
    ordered = sorted(result.tried, key=lambda one: (one.point.policy, one.point.gateway, one.point.knob))
    return [
        (
            one.point.policy,
            FORMS[one.point.gateway],
            f"{one.point.knob:g}",
            f"{one.score.usd_ratio:.3f}",
            percent(one.score.attained_ratio),
            percent(one.score.spilled_ratio),
        )
        for one in ordered
    ]


def dropped_words(result: CourseResult) -> str:
    """Who was not judged with every seed, and why; nothing where all were."""
    if not result.dropped:
        return ""
    said = "; ".join(f"{point_text(one.point)} {one.reason}" for one in result.dropped)
    return f"Tuned, and not judged with every seed as they could no longer win: {said}."


def mean_text(mean: Mean, digits: int = 3) -> str:
    """Value and the half width of its interval."""
    value = f"{mean.value:.{digits}f}"
    return value if mean.half is None else f"{value} ± {mean.half:.{digits}f}"


def point_text(point: Point) -> str:
    """Policy and form."""
    return f"{point.policy} ({FORMS[point.gateway]}, {point.knob:g})"


def _row(one: Standing, *, is_ours: bool) -> tuple[str, ...]:
    return (
        one.point.policy,
        FORMS[one.point.gateway],
        f"{one.point.knob:g}",
        mean_text(one.usd_ratio),
        f"{one.usd_per_1k.value:.4g}",
        percent(one.attained_ratio.value),
        percent(one.spilled_ratio),
        f"{one.actions_per_hour:.1f}",
        f"{one.flips_per_hour:.1f}",
        percent(one.regret_ratio),
        "-" if is_ours else mean_text(one.behind_ours),
    )


def _summary_row(result: CourseResult, ours: str) -> tuple[str, ...]:
    own = own_standing(result, ours)
    return (
        result.workload,
        result.pool,
        result.prices,
        str(result.replicas),
        mean_text(own.usd_ratio),
        percent(own.attained_ratio.value),
        percent(own.spilled_ratio),
        f"{own.actions_per_hour:.1f}",
        f"{own.flips_per_hour:.1f}",
        percent(own.regret_ratio),
        *_rival_cells(closest(result, ours, Kind.PLAIN)),
        *_rival_cells(closest(result, ours, Kind.VALVE)),
    )


def _rival_cells(rival: Standing | None) -> tuple[str, str, str]:
    if rival is None:
        return "none", "-", "-"
    return point_text(rival.point), f"{rival.usd_ratio.value:.3f}", mean_text(rival.behind_ours)


def percent(ratio: float) -> str:
    """With two digits."""
    return f"{100 * ratio:.2f}"
