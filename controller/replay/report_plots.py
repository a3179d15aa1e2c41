"""Plots of policies as PNG: cost against attainment, and what happened over time. Needs matplotlib (extra `report`).

Called by `spillway simulate`, `spillway bench policy` and `report_page`. No display is opened.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from io import BytesIO
from itertools import cycle

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from controller.replay.contest_types import ATTAINMENT_LEAST, CourseResult, Tried
from controller.replay.simulation_types import Economics, Series

OURS_COLOUR = "#d62728"
COLOURS = ("#1f77b4", "#2ca02c", "#9467bd", "#8c564b", "#e377c2", "#7f7f7f", "#bcbd22", "#17becf", "#ff7f0e", "#393b79")
LINES = {"none": ":", "naive": "--", "valve": "-", "mode": "-"}
MARKS = ("o", "s", "^", "D", "v", "P")
POINTS_MOST = 1500  # of a timeline: more than a screen has columns
RATIO_MOST = 3.0  # dearer points are drawn at the edge
MISS_LEAST, MISS_MOST = 1e-4, 1.0


def attainment_plot(result: CourseResult, ours: str) -> bytes:
    """Cost ratio to the optimum (x) against SLO attainment (y), one curve for each policy over its knob."""
    figure = Figure(figsize=(11, 6.5), layout="constrained")
    axes = figure.add_subplot()
    looks, named = _looks(result, ours), set[str]()
    for (policy, gateway), tried in _curves(result.tried).items():
        colour, mark = looks[policy]
        is_ours = policy == ours
        axes.plot(
            [min(one.score.usd_ratio, RATIO_MOST) for one in tried],
            [_missed(one.score.attained_ratio) for one in tried],
            color=colour,
            marker=mark,
            markersize=8 if is_ours else 5,
            linewidth=2.5 if is_ours else 0.9,
            linestyle=LINES[gateway],
            alpha=1.0 if is_ours else 0.6,
            zorder=3 if is_ours else 2,
            label=None if policy in named else policy,
        )
        named.add(policy)
    _attainment_axis(axes)
    axes.set_xlabel("cost, times the clairvoyant optimum with spilling (dearer than 3x: at the edge)")
    axes.set_xlim(0.8, RATIO_MOST + 0.05)
    axes.set_title(
        f"{result.name}: policies over their knobs (dotted: plain, dashed: naive spill, solid: valve)", loc="left"
    )
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
    upper.set_ylim(bottom=0)
    upper.legend(loc="upper right", fontsize=8, ncols=3, frameon=False)
    upper.set_title(title, loc="left")
    lower.plot(hours, _thinned(series.spilled_per_s, step), color=OURS_COLOUR, linewidth=1.0, label="spilled")
    if len(series.missed_per_s):
        lower.plot(hours, _thinned(series.missed_per_s, step), color="#525252", linewidth=1.0, label="late or lost")
    lower.set_ylabel("requests/s")
    lower.set_ylim(bottom=0)
    lower.legend(loc="upper right", fontsize=8, ncols=2, frameon=False)
    lower.set_xlabel("hours")
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
    others = sorted({one.point.policy for one in result.tried} - {ours})
    marks = (mark for mark in MARKS for _ in COLOURS)
    return {ours: (OURS_COLOUR, "*")} | dict(zip(others, zip(cycle(COLOURS), cycle(marks), strict=False), strict=False))


def _missed(attained_ratio: float) -> float:
    return min(max(1 - attained_ratio, MISS_LEAST), MISS_MOST)


def _thinned(values: Sequence[float], step: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """The greatest of every `step` values, so that no burst is lost."""
    array = np.asarray(values, dtype=np.float64)
    padded = np.pad(array, (0, -len(array) % step), mode="edge")
    highest: np.ndarray[tuple[int], np.dtype[np.float64]] = padded.reshape(-1, step).max(axis=1)
    return highest
