"""Plots of policies as PNG: cost against attainment, and what happened over time. Needs matplotlib (extra `report`).

Called by `spillway simulate`, `spillway bench policy` and `report_page`. No display is opened.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from io import BytesIO
from itertools import chain, count

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator

from controller.replay.contest_types import ATTAINMENT_LEAST, CourseResult, Tried
from controller.replay.simulation_types import Economics, Series

OURS_COLOUR = "#d62728"
# Of the policies that come nearest; the others are grey, as nobody tells thirty colours apart.
COLOURS = ("#1f77b4", "#2ca02c", "#9467bd", "#8c564b", "#e377c2", "#bcbd22", "#17becf", "#ff7f0e")
GREYS = ("#6f6f6f", "#9c9c9c", "#c4c4c4")
LINES = {"none": ":", "naive": "--", "valve": "-", "mode": "-"}
FORMS = {"none": "plain", "naive": "+ naive spill", "valve": "valve"}
MARKS = ("o", "s", "^", "D", "v", "P", "X", "<", ">")
DAYS_FROM_H, TICKS_MOST = 48, 15  # from so many hours on ticks are days
POINTS_MOST = 1500  # of a timeline: more than a screen has columns
RATIO_LEAST, RATIO_MOST = 0.8, 3.0  # points beyond are drawn at the edge
HEADROOM, LOWER_HEADROOM = 1.18, 1.5  # over what is drawn, for the legend
MISS_LEAST, MISS_MOST = 1e-4, 1.0


def attainment_plot(result: CourseResult, ours: str) -> bytes:
    """Cost ratio to the optimum (x) against SLO attainment (y), one curve for each policy over its knob."""
    figure = Figure(figsize=(11, 6.5), layout="constrained")
    axes = figure.add_subplot()
    for form, words in FORMS.items():
        axes.plot([], [], color="#222222", linewidth=1, linestyle=LINES[form], label=words)
    looks, named, curves = _looks(result, ours), set[str](), _curves(result.tried)
    for policy, gateway in sorted(curves, key=lambda name: list(looks).index(name[0])):
        tried = curves[policy, gateway]
        colour, mark = looks[policy]
        is_ours = policy == ours
        axes.plot(
            [min(max(one.score.usd_ratio, RATIO_LEAST), RATIO_MOST) for one in tried],
            [_missed(one.score.attained_ratio) for one in tried],
            color=colour,
            marker=mark,
            markersize=8 if is_ours else 5,
            linewidth=2.5 if is_ours else 0.9,
            linestyle=LINES[gateway],
            alpha=1.0 if is_ours else 0.6,
            zorder=4 if is_ours else 2 if colour in GREYS else 3,
            label=None if policy in named else policy,
        )
        named.add(policy)
    _attainment_axis(axes)
    edges = f"below {RATIO_LEAST:g} and above {RATIO_MOST:g}: at the edge"
    axes.set_xlabel(f"cost, times the clairvoyant optimum with spilling ({edges})")
    axes.set_xlim(RATIO_LEAST - 0.03, RATIO_MOST + 0.05)
    axes.set_title(f"{result.name}: policies over their knobs", loc="left", pad=14)
    figure.legend(loc="outside right upper", fontsize=8, frameon=False)
    return png(figure)


def timeline_plot(series: Series, economics: Economics, title: str) -> bytes:
    """Replicas with demand in units of replicas, and what was spilled and missed, over time."""
    figure = Figure(figsize=(11, 6), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    step = max(1, len(series.times_s) // POINTS_MOST)
    hours = _thinned(series.times_s, step) / 3600
    ready, starting = _thinned(series.ready, step), _thinned(series.starting, step)
    demand = _thinned(series.demand_per_s, step) / economics.replica_requests_per_s
    upper.fill_between(hours, demand, color="#9ecae1", linewidth=0, label="demand, in replicas at their SLO")
    upper.plot(hours, ready + starting, color="#fdae6b", linewidth=1.2, drawstyle="steps-post", label="paid")
    upper.plot(hours, ready, color="#08306b", linewidth=1.5, drawstyle="steps-post", label="ready")
    upper.set_ylabel("replicas")
    upper.set_ylim(0, HEADROOM * max(1.0, float(demand.max()), float((ready + starting).max())))
    upper.legend(loc="upper right", fontsize=8, ncols=3, frameon=False)
    upper.set_title(title, loc="left")
    spilled = _thinned(series.spilled_per_s, step)
    lower.plot(hours, spilled, color=OURS_COLOUR, linewidth=1.0, label="spilled")
    highest = float(spilled.max())
    if len(series.missed_per_s):
        missed = _thinned(series.missed_per_s, step)
        highest = max(highest, float(missed.max()))
        lower.plot(hours, missed, color="#525252", linewidth=1.0, label="late or lost")
    lower.set_ylabel("requests/s")
    lower.set_ylim(0, max(0.1, LOWER_HEADROOM * highest))
    lower.legend(loc="upper right", fontsize=8, ncols=2, frameon=False)
    lower.set_xlabel("hours")
    if hours[-1] > DAYS_FROM_H:
        lower.xaxis.set_major_locator(MultipleLocator(24 * math.ceil(hours[-1] / 24 / TICKS_MOST)))
    for axes in (upper, lower):
        axes.spines[["top", "right"]].set_visible(False)
        axes.margins(x=0)
    return png(figure)


def png(figure: Figure) -> bytes:
    """The figure as a PNG file."""
    buffer = BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    return buffer.getvalue()


def _attainment_axis(axes: Axes) -> None:
    """Attainment in nines: the upper end is where policies differ."""
    axes.set_yscale("log")
    axes.set_ylim(MISS_MOST, MISS_LEAST * 0.8)
    ticks = (1.0, 0.5, 0.1, 0.05, 0.01, 1e-3, 1e-4)
    axes.set_yticks(ticks, [f"{100 * (1 - tick):g} %" for tick in ticks[:-1]] + ["99.99 % or more"])
    axes.minorticks_off()
    axes.axhline(1 - ATTAINMENT_LEAST, color="#bdbdbd", linewidth=1, zorder=1)
    axes.axvline(1.0, color="#bdbdbd", linewidth=1, zorder=1)
    axes.set_ylabel("requests within their SLO")
    axes.spines[["top", "right"]].set_visible(False)


def _curves(tried: Iterable[Tried]) -> dict[tuple[str, str], list[Tried]]:
    curves: dict[tuple[str, str], list[Tried]] = {}
    for one in tried:
        curves.setdefault((one.point.policy, one.point.gateway), []).append(one)
    return {name: sorted(points, key=lambda one: one.point.knob) for name, points in curves.items()}


def _looks(result: CourseResult, ours: str) -> Mapping[str, tuple[str, str]]:
    """Colour and mark of each policy: ours, those that come nearest to it in colours, the others in greys."""
    others = sorted({one.point.policy for one in result.tried} - {ours}, key=lambda name: _nearness(result, name))
    greys = ((GREYS[place % len(GREYS)], MARKS[place // len(GREYS) % len(MARKS)]) for place in count())
    looks = chain(zip(COLOURS, MARKS, strict=False), greys)
    return {ours: (OURS_COLOUR, "*")} | dict(zip(others, looks, strict=False))


def _nearness(result: CourseResult, policy: str) -> tuple[bool, float]:
    """First those that attain enough, the cheapest first; then by what they miss."""
    scores = [one.score for one in result.tried if one.point.policy == policy]
    enough = [score.usd_ratio for score in scores if score.attained_ratio >= ATTAINMENT_LEAST]
    return not enough, min(enough) if enough else 1 - max(score.attained_ratio for score in scores)


def _missed(attained_ratio: float) -> float:
    return min(max(1 - attained_ratio, MISS_LEAST), MISS_MOST)


def _thinned(values: Sequence[float], step: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """The greatest of every `step` values, so that no burst is lost."""
    array = np.asarray(values, dtype=np.float64)
    padded = np.pad(array, (0, -len(array) % step), mode="edge")
    highest: np.ndarray[tuple[int], np.dtype[np.float64]] = padded.reshape(-1, step).max(axis=1)
    return highest
