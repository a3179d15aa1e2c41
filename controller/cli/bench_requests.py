"""`spillway bench policy --requests`: the contest request by request, on stretches that are short enough for that."""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from statistics import fmean

from controller.cli.bench_kept import Kept
from controller.cli.output import SCHEMA, console, plain, say, table
from controller.replay.contest_field import OURS, course, entrants
from controller.replay.contest_requests import FORMS, O_REPLAY, Replayed, ReplayResult, as_course, replay_of, replayed
from controller.replay.contest_standings import Mean, mean_of, standings
from controller.replay.report_verdict import bounds, verdict
from controller.replay.report_words import FORMS as FORM_WORDS
from controller.replay.report_words import mean_text, percent

WORKLOADS = ("az23-code-burst", "az23-conv", "step5x", "az24-code-week", "az24-conv-week")
QUICK_WORKLOADS = ("az23-conv", "step5x")
POOLS = ("8b-a100", "70b-4xa100")
PRICES = "frontier"
SIZES = (4, 20)
# Over a hundred requests a second: as many as are played are less than half an hour of them.
TOO_BUSY = (("az23-conv", "8b-a100", 20), ("az24-conv-week", "8b-a100", 20))
START_S = 3 * 86_400.0 + 6 * 3600.0  # of weeks: the fourth day, when it begins to grow
REQUESTS_MOST, QUICK_MOST = 150_000, 30_000
SEEDS, QUICK_SEEDS = 5, 2
FLIPS = "begins and ends of spilling"  # the valve alone is played, without the mode of the pool
COLUMNS = (
    "policy", "form", "knob", "x O_replay", "x optimum", "$/1k", "SLO %", "spill %", "actions/h", "flips/h",
    "regret %", "dearer than ours", "fluid: x optimum", "fluid: SLO %",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """One run of all policies: plain data for a process."""

    workload: str
    pool: str
    replicas: int
    hours: float
    requests_most: int
    seed: int


def stretches(
    workloads: Sequence[str], *, hours: float, quick: bool, seeds: int | None = None
) -> tuple[tuple[Stretch, ...], ...]:
    """Those of the named workloads, or of the usual ones; each with every seed."""
    names = tuple(workloads) or (QUICK_WORKLOADS if quick else WORKLOADS)
    return tuple(
        tuple(
            Stretch(
                workload=name,
                pool=pool,
                replicas=size,
                hours=hours,
                requests_most=QUICK_MOST if quick else REQUESTS_MOST,
                seed=seed,
            )
            for seed in range(1, 1 + (seeds or (QUICK_SEEDS if quick else SEEDS)))
        )
        for name in names
        for pool in (POOLS[:1] if quick else POOLS)
        for size in (SIZES[:1] if quick else SIZES)
        if (name, pool, size) not in TOO_BUSY
    )


def run(
    planned: Sequence[Sequence[Stretch]], processes: int, keep: Path | None = None
) -> tuple[tuple[tuple[ReplayResult, ...], ...], bool]:
    """The results in the order of the plan, each stretch with all its seeds, and whether it was ended early.

    `keep`: a file of what is whole, taken up and added to.
    """
    runs = [one for seeds in planned for one in seeds]
    kept = None if keep is None else Kept(keep, runs, ReplayResult)
    known = {_name(one): one for one in kept.results() if isinstance(one, ReplayResult)} if kept else {}
    found = {one: known[_name(one)] for one in runs if _name(one) in known}
    say("bench", f"{len(runs)} runs of all policies in {processes} processes; Ctrl-C ends it and reports what is whole")
    workers = ProcessPoolExecutor(processes, mp_context=get_context("spawn"))
    interrupted = False
    try:
        waited_for = {workers.submit(run_one, one): one for one in runs if one not in found}
        for future in as_completed(waited_for):
            one, result = waited_for[future], future.result()
            found[one] = result
            if kept:
                kept.add(result)
            say("bench", f"{len(found)} of {len(runs)}: {as_course((result,)).name}, seed {one.seed}")
    except KeyboardInterrupt:
        interrupted = True
    finally:
        workers.shutdown(wait=not interrupted, cancel_futures=True)
    whole = (seeds for seeds in planned if all(one in found for one in seeds))
    return tuple(tuple(found[one] for one in seeds) for seeds in whole), interrupted


def _name(run: Stretch | ReplayResult) -> tuple[str, str, int, int]:
    """Which of the plan it is."""
    return run.workload, run.pool, run.replicas, run.seed


def run_one(stretch: Stretch) -> ReplayResult:
    """One stretch with one seed, in a process of its own."""
    known = entrants()
    replay = replay_of(
        course(stretch.workload, stretch.pool, PRICES, stretch.replicas),
        start_s=START_S,
        duration_s=stretch.hours * 3600.0,
        requests_most=stretch.requests_most,
        seed=stretch.seed,
    )
    return replayed(replay, [(known[name], gateway, knob) for name, gateway, knob in FORMS], seed=stretch.seed)


def tell(results: Sequence[Sequence[ReplayResult]]) -> None:
    """The verdict, then one table for each stretch."""
    courses = [as_course(seeds) for seeds in results]
    console().print(verdict(courses, OURS, limit=O_REPLAY.policy), markup=False)
    if results:
        console().print(bounds(courses, OURS, flips=FLIPS), markup=False)
    for seeds, found in zip(results, courses, strict=True):
        console().print()
        requests, hours = fmean(one.requests for one in seeds), fmean(one.hours for one in seeds)
        table(f"{found.name}: {requests:,.0f} requests in {hours:.1f} h", COLUMNS, rows(seeds))


def write_json(file: Path, results: Sequence[Sequence[ReplayResult]]) -> None:
    """Everything that was run, with the verdict."""
    courses = [as_course(seeds) for seeds in results]
    data = {
        "verdict": verdict(courses, OURS, limit=O_REPLAY.policy),
        "bounds": bounds(courses, OURS, flips=FLIPS),
        "stretches": plain([{"name": one.name, "seeds": seeds} for one, seeds in zip(courses, results, strict=True)]),
    }
    document = {"schema": SCHEMA, "kind": "bench_policy_requests", "data": data}
    file.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    say("wrote", str(file))


def rows(seeds: Sequence[ReplayResult]) -> list[tuple[str, ...]]:
    """O_replay first, then as they stand; as `COLUMNS`."""
    by_point = {one.point: [result.rows[at] for result in seeds] for at, one in enumerate(seeds[0].rows)}
    behind = {one.point: one.behind_ours for one in standings(as_course(seeds), OURS)}
    return [_row(by_point[O_REPLAY], None), *(_row(by_point[point], behind[point]) for point in behind)]


def _row(of_seeds: Sequence[Replayed], behind_ours: Mean | None) -> tuple[str, ...]:
    point, scores = of_seeds[0].point, [one.score for one in of_seeds]
    return (
        point.policy,
        FORM_WORDS[point.gateway],
        f"{point.knob:g}",
        mean_text(mean_of([one.usd_ratio for one in scores])),
        mean_text(mean_of([one.optimum_ratio for one in of_seeds])),
        f"{fmean(one.usd_per_1k for one in scores):.4g}",
        percent(fmean(one.attained_ratio for one in scores)),
        percent(fmean(one.spilled_ratio for one in scores)),
        f"{fmean(one.actions_per_hour for one in scores):.1f}",
        f"{fmean(one.flips_per_hour for one in scores):.1f}",
        percent(fmean(one.regret_ratio for one in scores)),
        "-" if behind_ours is None or point.policy == OURS else mean_text(behind_ours),
        f"{fmean(one.fluid_optimum_ratio for one in of_seeds):.3f}",
        percent(fmean(one.fluid_attained_ratio for one in of_seeds)),
    )
