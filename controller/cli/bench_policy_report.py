"""Where the results of a bench of policies go: tables on stdout, JSON, a page, PNG files."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from controller.cli.output import SCHEMA, console, plain, say, table
from controller.replay.contest import run
from controller.replay.contest_field import OURS, entrants
from controller.replay.report_page import Folded, Section, page
from controller.replay.report_plots import attainment_plot, timeline_plot
from controller.replay.report_run import TIMELINE_COLUMNS, timeline_rows
from controller.replay.report_verdict import bounds, verdict
from controller.replay.report_words import (
    COLUMNS,
    SUMMARY_COLUMNS,
    TERMS,
    TRIED_COLUMNS,
    dropped_words,
    summary_rows,
    table_rows,
    tried_rows,
)

if TYPE_CHECKING:
    from controller.cli.bench_policy import Plan
    from controller.replay.contest_types import Course, CourseResult

HOW = (
    "Fluid simulation, slots of 10 s with Poisson noise, monitoring as old as each policy's really is. Each knob is "
    "swept with the same number of values in each form on days 1 to 3, then more finely around its best; the "
    "cheapest point with 99 % of requests within their SLO is judged on days 4 to 7, with day 3 before them to warm "
    "up; there with every seed only who, tuned, attains as much for at most 1.1 times the cheapest, and the best of "
    "each kind. Workloads below five days are used whole for both, with other requests. Costs are divided by that of "
    "the clairvoyant optimum with spilling for the same requests, whose noise is evened out over a minute on recorded "
    "weeks. It knows no queue, so on short workloads a policy whose gateway lets requests wait a second can come "
    "out a little below 1. Intervals are of 95 %, and differences are paired by seed."
)


def tell(results: Sequence[CourseResult]) -> None:
    """The verdict, one line for each course, then one table for each."""
    console().print(verdict(results, OURS), markup=False)
    if not results:
        return
    console().print(bounds(results, OURS), markup=False)
    console().print()
    table("Summary", SUMMARY_COLUMNS, summary_rows(results, OURS))
    for result in results:
        console().print()
        table(result.name, COLUMNS, table_rows(result, OURS))
        if result.dropped:
            console().print(dropped_words(result), markup=False)


def write_json(file: Path, results: Sequence[CourseResult], plan: Plan) -> None:
    """Everything that was run, with the plan and the verdict."""
    data = {
        "verdict": verdict(results, OURS),
        "bounds": bounds(results, OURS),
        "plan": plain(plan),
        "courses": plain(results),
    }
    document = {"schema": SCHEMA, "kind": "bench_policy", "data": data}
    file.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    say("wrote", str(file))


def write_html(file: Path, results: Sequence[CourseResult], plan: Plan) -> None:
    """The whole report as one page."""
    sections = [
        Section(title="Summary", text=bounds(results, OURS), columns=SUMMARY_COLUMNS, rows=summary_rows(results, OURS)),
        Section(title="What the columns mean", terms=TERMS),
        Section(title="How it was measured", text=HOW),
    ]
    sections += [
        Section(
            title=result.name,
            text=dropped_words(result),
            columns=COLUMNS,
            rows=table_rows(result, OURS),
            plots=plots,
            folded=folded,
        )
        for result, course in _paired(results, plan)
        for plots, folded in [_shown(result, course)]
    ]
    title = "Autoscaling policies beside the optimum"
    file.write_text(page(title, verdict(results, OURS), sections, ours=OURS), encoding="utf-8")
    say("wrote", str(file))


def write_plots(folder: Path, results: Sequence[CourseResult], plan: Plan) -> None:
    """Two PNG files for each course."""
    folder.mkdir(parents=True, exist_ok=True)
    for result, course in _paired(results, plan):
        for (_, image), kind in zip(_shown(result, course)[0], ("attainment", "timeline"), strict=True):
            (folder / f"{result.name.replace(' ', '-')}-{kind}.png").write_bytes(image)
    say("wrote", str(folder))


def _paired(results: Sequence[CourseResult], plan: Plan) -> Iterator[tuple[CourseResult, Course]]:
    courses = {course.name: course for course in plan.courses()}
    for result in results:
        yield result, courses[result.name]


def _shown(result: CourseResult, course: Course) -> tuple[list[tuple[str, bytes]], list[Folded]]:
    """Cost against attainment, and what ours did with the first seed: as plots, and the figures of each."""
    point = next(final.point for final in result.finals if final.point.policy == OURS)
    outcome = run(point, course.judged_on.curve, course, entrants()[OURS], 1)
    plots = [
        (
            f"Cost against attainment on {result.name}, a curve for each policy; in figures in the first table below",
            attainment_plot(result, OURS),
        )
    ]
    folded = [Folded(title="Every point that was tried", columns=TRIED_COLUMNS, rows=tried_rows(result))]
    if outcome.series is not None:
        title = f"{result.name}: {OURS} over time"
        plots.append(
            (
                f"{title}: demand, replicas and what was spilled; in figures in the second table below",
                timeline_plot(outcome.series, course.facts.economics, title),
            )
        )
        rows = timeline_rows(outcome.series, course.facts.economics)
        folded.append(Folded(title="The timeline in figures", columns=TIMELINE_COLUMNS, rows=rows))
    return plots, folded
