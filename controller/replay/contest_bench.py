"""The whole bench as a machine: says which heats can run now, is told their scores, and has the results.

It starts nothing, so that whoever drives it may use one process or many, and may stop at any time: the courses that
are whole by then are results. Called by `spillway bench policy`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from controller.replay.contest import TUNING_SEED, Heat, best_tried, finer_points, heats, swept_points
from controller.replay.contest_race import raced
from controller.replay.contest_types import Course, CourseResult, Dropped, Entrant, Final, Point, Score, Tried
from controller.replay.simulation_types import DIURNAL

RACED_KIND = DIURNAL  # of courses: one run of a week takes as long as forty of an hour


class Contest:
    """Every policy over every course: a sweep of each knob, a finer one around the best, then that with every seed.

    On recorded weeks only who can still win is judged with every seed.
    """

    def __init__(
        self,
        courses: Sequence[Course],
        entrants: Mapping[str, Entrant],
        *,
        ours: str,
        values: int,
        seeds: Sequence[int],
        known: Mapping[str, CourseResult] | None = None,
    ) -> None:
        """`known`: results of an earlier bench of the same plan, by the names of courses; those are not run again."""
        self._ours = ours
        self._courses = courses
        self._known = [(known or {}).get(course.name) for course in courses]
        self._entrants = entrants
        self._seeds = tuple(seeds)
        swept = tuple(point for entrant in entrants.values() for point in swept_points(entrant, values))
        self._swept = [() if one else swept for one in self._known]  # what is to be tried while tuning
        self._is_fine = [False for _ in courses]
        self._tried: list[dict[Point, Score]] = [{} for _ in courses]
        self._judged: list[dict[Point, dict[int, Score]]] = [{} for _ in courses]
        self._dropped: list[tuple[Dropped, ...]] = [() for _ in courses]

    @property
    def runs(self) -> int:
        """So many there are in all, as far as is known: who is tried more finely and judged is known after tuning."""
        unknown = [at for at, one in enumerate(self._known) if one is None]
        judged = (len(self._judged[at] or self._entrants) for at in unknown)
        return sum(map(len, self._swept)) + sum(judged) * len(self._seeds)

    @property
    def courses(self) -> int:
        """How many there are."""
        return len(self._courses)

    @property
    def whole(self) -> int:
        """How many of them are done."""
        return sum(self._is_whole(at) for at in range(len(self._courses)))

    def opening(self) -> tuple[Heat, ...]:
        """All sweeps."""
        numbers = range(len(self._courses))
        return tuple(heat for at in numbers for heat in heats(at, self._swept[at], (TUNING_SEED,), judged=False))

    def take(self, heat: Heat, scores: Sequence[Score]) -> tuple[Heat, ...]:
        """The scores of a heat; once a sweep is whole, what comes after it on that course."""
        at = heat.course
        if heat.judged:
            for point, score in zip(heat.points, scores, strict=True):
                self._judged[at][point][heat.seed] = score
            return ()
        self._tried[at].update(zip(heat.points, scores, strict=True))
        if len(self._tried[at]) < len(self._swept[at]):
            return ()
        if not self._is_fine[at]:
            self._is_fine[at] = True
            finer = finer_points(self._in_order(at), self._entrants)
            self._swept[at] += finer
            if finer:
                return heats(at, finer, (TUNING_SEED,), judged=False)
        best = best_tried(self._in_order(at))
        points = tuple(one.point for one in best)
        if self._courses[at].kind == RACED_KIND:
            points, self._dropped[at] = raced(best, self._ours)
        self._judged[at] = {point: {} for point in points}
        return heats(at, points, self._seeds, judged=True)

    def results(self) -> tuple[CourseResult, ...]:
        """Of the courses that are whole."""
        return tuple(self._result(at) for at in range(len(self._courses)) if self._is_whole(at))

    def _in_order(self, at: int) -> tuple[Tried, ...]:
        scores = self._tried[at]
        return tuple(Tried(point=point, score=scores[point]) for point in self._swept[at])

    def _is_whole(self, at: int) -> bool:
        judged = self._judged[at]
        if self._known[at] is not None:
            return True
        return len(judged) > 0 and all(len(scores) == len(self._seeds) for scores in judged.values())

    def _result(self, at: int) -> CourseResult:
        course, judged, known = self._courses[at], self._judged[at], self._known[at]
        if known is not None:
            return known
        return CourseResult(
            workload=course.workload,
            kind=course.kind,
            pool=course.pool,
            prices=course.prices,
            replicas=course.replicas,
            tried=self._in_order(at),
            finals=tuple(
                Final(point=point, scores=tuple(scores[seed] for seed in self._seeds))
                for point, scores in judged.items()
            ),
            dropped=self._dropped[at],
        )
