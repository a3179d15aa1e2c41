"""Runs the contest of policies over a few processes, with a bar that says how far it is. Ctrl-C keeps what is whole."""

from __future__ import annotations

import signal
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from multiprocessing import get_context
from typing import TYPE_CHECKING

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from controller.cli.bench_kept import Kept
from controller.cli.output import say, told_while, words
from controller.replay.contest import Heat, scores_of
from controller.replay.contest_bench import Contest
from controller.replay.contest_field import OURS, course, entrants
from controller.replay.contest_types import CourseResult
from controller.replay.simulation_types import DIURNAL
from controller.replay.workloads import WORKLOADS

if TYPE_CHECKING:
    from pathlib import Path

    from controller.replay.contest_types import Course, Score

SEEDS, VALUES = 5, 3
QUICK_WORKLOADS = ("az24-conv-week", "az23-code-burst", "step5x")
QUICK_SEEDS, QUICK_VALUES = 2, 2
BENCH_POOLS = ("8b-a100", "70b-4xa100")
BENCH_PRICES = ("frontier",)
LINE_FIRST_S, LINE_EVERY_S = 10.0, 30.0
SIZES = (20, 4)  # replicas that the busy moments need


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is run: plain data, so that every process makes the same courses from it."""

    known: tuple[str, ...]
    workloads: tuple[str, ...]
    pools: tuple[str, ...]
    prices: tuple[str, ...]
    sizes: tuple[int, ...]
    values: int
    seeds: int

    @classmethod
    def whole(cls) -> Plan:
        """Everything; the long weeks last, so that an early end has many results."""
        names = tuple(sorted(WORKLOADS, key=lambda name: WORKLOADS[name].kind == DIURNAL))
        return cls(
            known=names,
            workloads=names,
            pools=BENCH_POOLS,
            prices=BENCH_PRICES,
            sizes=SIZES,
            values=VALUES,
            seeds=SEEDS,
        )

    @classmethod
    def quick_one(cls) -> Plan:
        """A week, a burst and a step on the small pool: enough to see that it works and where policies stand."""
        return replace(
            cls.whole(),
            workloads=QUICK_WORKLOADS,
            pools=BENCH_POOLS[:1],
            sizes=SIZES[:1],
            values=QUICK_VALUES,
            seeds=QUICK_SEEDS,
        )

    def narrowed(self, workloads: Sequence[str], seeds: int | None) -> Plan:
        """With these workloads only, where any is named, and so many seeds, where it is said."""
        return replace(self, workloads=tuple(workloads) or self.workloads, seeds=seeds or self.seeds)

    def courses(self) -> tuple[Course, ...]:
        """Made anew."""
        return tuple(
            course(name, pool, prices, size)
            for name in self.workloads
            for pool in self.pools
            for prices in self.prices
            for size in self.sizes
        )


def run(plan: Plan, processes: int, keep: Path | None = None) -> tuple[tuple[CourseResult, ...], bool]:
    """The results, and whether it was ended early. `keep`: a file of those that are whole, taken up and added to."""
    kept = None if keep is None else Kept(keep, plan, CourseResult)
    known = {one.name: one for one in kept.results() if isinstance(one, CourseResult)} if kept else {}
    seeds = range(1, plan.seeds + 1)
    contest = Contest(plan.courses(), entrants(), ours=OURS, values=plan.values, seeds=seeds, known=known)
    say("bench", f"{contest.runs} runs in {processes} processes; Ctrl-C ends it and reports what is whole")
    told = set(known)
    try:
        with _workers(plan, processes) as workers, _progress() as bar, _lines(bar):
            task = bar.add_task("runs", total=contest.runs)
            for heat in _driven(contest, workers, processes):
                bar.update(task, advance=len(heat.points), total=contest.runs)
                _tell_new(contest, told, kept)
    except KeyboardInterrupt:
        return contest.results(), True
    return contest.results(), False


def _tell_new(contest: Contest, told: set[str], kept: Kept | None) -> None:
    """Courses that have become whole are kept; where nobody sees a bar, there is a line for each."""
    if contest.whole == len(told):
        return
    for result in contest.results():
        if result.name not in told:
            told.add(result.name)
            if kept:
                kept.add(result)
            if not words().is_terminal:
                say("bench", f"{len(told)} of {contest.courses} courses done: {result.name}")


def _driven(contest: Contest, workers: ProcessPoolExecutor, processes: int) -> Iterator[Heat]:
    """Every heat, once it is done; one course is ended before the next is begun, so that an early end has results."""
    open_heats: dict[Future[tuple[Score, ...]], Heat] = {}
    ahead = deque(contest.opening())
    while ahead or open_heats:
        while ahead and len(open_heats) < 2 * processes:
            heat = ahead.popleft()
            open_heats[workers.submit(_scores, heat)] = heat
        done, _ = wait(open_heats, return_when=FIRST_COMPLETED)
        for future in done:
            heat = open_heats.pop(future)
            ahead.extendleft(reversed(contest.take(heat, future.result())))
            yield heat


@contextmanager
def _workers(plan: Plan, processes: int) -> Iterator[ProcessPoolExecutor]:
    """Processes that are gone afterwards, what they have not begun with them."""
    workers = ProcessPoolExecutor(processes, mp_context=get_context("spawn"), initializer=_prepare, initargs=(plan,))
    try:
        yield workers
    except KeyboardInterrupt:
        say("bench", "stopping: the runs under way are let finish, then what is whole is reported")
        raise
    finally:
        workers.shutdown(wait=True, cancel_futures=True)


def _progress() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=words(), transient=True, disable=not words().is_terminal)


def _lines(bar: Progress) -> AbstractContextManager[None]:
    """How far it is, now and then, where nobody sees a bar."""
    if words().is_terminal:
        return nullcontext()
    return told_while("bench", lambda: _done(bar), first_s=LINE_FIRST_S, every_s=LINE_EVERY_S)


def _done(bar: Progress) -> str:
    return "".join(f"{task.completed:.0f} of {task.total:.0f} runs" for task in bar.tasks if task.total is not None)


_courses: tuple[Course, ...] = ()  # of a worker, made once when it starts


def _prepare(plan: Plan) -> None:
    """In a worker: Ctrl-C is for the parent alone."""
    global _courses  # noqa: PLW0603  what a process pool's initialiser is for
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _courses = plan.courses()


def _scores(heat: Heat) -> tuple[Score, ...]:
    return scores_of(heat, _courses[heat.course], entrants())
