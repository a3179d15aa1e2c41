"""`spillway bench policy --requests`: the contest request by request, on stretches that are short enough for that."""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from controller.cli.output import SCHEMA, console, plain, say, table
from controller.replay.contest_field import course, entrants
from controller.replay.contest_requests import FORMS, ReplayResult, replay_of, replayed

WORKLOADS = ("az24-conv-week", "az24-code-week", "az23-conv", "az23-code-burst", "step5x")
QUICK_WORKLOADS = ("az23-conv", "step5x")
POOLS = ("8b-a100", "70b-4xa100")
PRICES = "frontier"
SIZES = (4, 20)
START_S = 3 * 86_400.0 + 6 * 3600.0  # of weeks: the fourth day, when it begins to grow
REQUESTS_MOST, QUICK_MOST = 300_000, 30_000
SEED = 1
COLUMNS = (
    "policy", "form", "cost by O_replay", "by the optimum", "$ per 1k", "within SLO", "spilled", "actions/h", "flips/h",
    "regret", "fluid: by the optimum", "fluid: within SLO",
)  # fmt: skip
FORM_WORDS = {"valve": "valve", "none": "plain", "naive": "naive spill"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """One run of all policies: plain data for a process."""

    workload: str
    pool: str
    replicas: int
    hours: float
    requests_most: int


def stretches(workloads: Sequence[str], *, hours: float, quick: bool) -> tuple[Stretch, ...]:
    """Those of the named workloads, or of the usual ones."""
    names = tuple(workloads) or (QUICK_WORKLOADS if quick else WORKLOADS)
    return tuple(
        Stretch(
            workload=name,
            pool=pool,
            replicas=size,
            hours=hours,
            requests_most=QUICK_MOST if quick else REQUESTS_MOST,
        )
        for name in names
        for pool in (POOLS[:1] if quick else POOLS)
        for size in (SIZES[:1] if quick else SIZES)
    )


def run(planned: Sequence[Stretch], processes: int) -> tuple[tuple[ReplayResult, ...], bool]:
    """The results in the order of the plan, and whether it was ended early; what is whole by then is there."""
    found: dict[Stretch, ReplayResult] = {}
    say("bench", f"{len(planned)} stretches in {processes} processes; Ctrl-C ends it and reports what is whole")
    workers = ProcessPoolExecutor(processes, mp_context=get_context("spawn"))
    interrupted = False
    try:
        waited_for = {workers.submit(run_one, stretch): stretch for stretch in planned}
        for future in as_completed(waited_for):
            found[waited_for[future]] = future.result()
            say("bench", f"{len(found)} of {len(planned)}: {future.result().name}")
    except KeyboardInterrupt:
        interrupted = True
    finally:
        workers.shutdown(wait=not interrupted, cancel_futures=True)
    return tuple(found[stretch] for stretch in planned if stretch in found), interrupted


def run_one(stretch: Stretch) -> ReplayResult:
    """One stretch, in a process of its own."""
    known = entrants()
    replay = replay_of(
        course(stretch.workload, stretch.pool, PRICES, stretch.replicas),
        start_s=START_S,
        duration_s=stretch.hours * 3600.0,
        requests_most=stretch.requests_most,
        seed=SEED,
    )
    return replayed(replay, [(known[name], gateway, knob) for name, gateway, knob in FORMS], seed=SEED)


def tell(results: Sequence[ReplayResult]) -> None:
    """One table for each stretch."""
    for result in results:
        console().print()
        table(f"{result.name}: {result.requests:,} requests in {result.hours:.1f} h", COLUMNS, _rows(result))


def write_json(file: Path, results: Sequence[ReplayResult]) -> None:
    """Everything that was run."""
    document = {"schema": SCHEMA, "kind": "bench_policy_requests", "data": plain({"stretches": results})}
    file.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    say("wrote", str(file))


def _rows(result: ReplayResult) -> list[tuple[str, ...]]:
    return [
        (
            f"{row.point.policy} {row.point.knob:g}",
            FORM_WORDS[row.point.gateway],
            f"{row.usd_ratio:.3f}",
            f"{row.optimum_ratio:.3f}",
            f"{row.usd_per_1k:.4f}",
            f"{row.attained_ratio:.2%}",
            f"{row.spilled_ratio:.2%}",
            f"{row.actions_per_hour:.1f}",
            f"{row.flips_per_hour:.1f}",
            f"{row.regret_ratio:.1%}",
            f"{row.fluid_optimum_ratio:.3f}",
            f"{row.fluid_attained_ratio:.2%}",
        )
        for row in result.rows
    ]
