"""The contest: what is swept, who is chosen, what a run scores, and that a bench ends with every course whole."""

from __future__ import annotations

from dataclasses import replace

import pytest
from contest_world import ECONOMICS, Steady, course, curve, entrant, point, result, score

from controller.core.errors import SimulationError
from controller.replay import contest
from controller.replay.baselines.pool_facts import PoolFacts
from controller.replay.contest import TUNING_SEED, Heat, best_tried, heats, scores_of, swept_points
from controller.replay.contest_bench import Contest
from controller.replay.contest_types import Kind, Point, Stretch, Tried
from controller.replay.fluid import FluidRun, offered_requests, simulate
from controller.replay.oracle import optimum

BUSY = (10.0, 12.0, 20.0, 20.0, 15.0, 10.0) * 5


@pytest.mark.parametrize(
    ("values", "knobs"),
    [
        (1, (4.0,)),
        (2, (4.0, 7.0)),
        (3, (1.0, 4.0, 7.0)),
        (6, (1.0, 2.0, 4.0, 5.0, 6.0, 7.0)),
        (60, (1.0, 2.0, 4.0, 5.0, 6.0, 7.0)),
    ],
)
def test_a_sweep_has_as_many_values_as_asked_and_the_default(values: int, knobs: tuple[float, ...]) -> None:
    """The same in each form; the nearest to the default gives way to it."""
    points = swept_points(entrant(), values)
    assert [one.knob for one in points if one.gateway == "none"] == list(knobs)
    assert [one.knob for one in points if one.gateway == "valve"] == list(knobs)


def test_a_sweep_of_nothing_is_refused() -> None:
    """The message says what was asked for."""
    with pytest.raises(SimulationError, match="values is 0; it must be an integer >= 1"):
        swept_points(entrant(), 0)


def test_heats_hold_every_point_with_every_seed() -> None:
    """A few points at a time."""
    points = [point("a", knob) for knob in range(1, contest.HEAT_POINTS + 2)]
    made = heats(3, points, (1, 2), judged=True)
    assert [(heat.course, heat.seed, len(heat.points)) for heat in made] == [
        (3, 1, contest.HEAT_POINTS), (3, 1, 1), (3, 2, contest.HEAT_POINTS), (3, 2, 1),
    ]  # fmt: skip


def test_a_score_counted_from_the_start_is_that_of_the_simulation() -> None:
    """Cost by that of the optimum for the same requests; shares as the outcome has them."""
    told = course(*BUSY)
    ours = contest.score(point("steady", 3.0), told.tuned_on, told, entrant(), 7)
    run = FluidRun(gateway="valve")
    outcome = simulate(curve(*BUSY), ECONOMICS, Steady(3), seed=7, run=run)
    rates = [count / 10.0 for count in offered_requests(curve(*BUSY), 7)]
    assert ours.usd_ratio == pytest.approx(outcome.usd / optimum(rates, 10.0, ECONOMICS, ready_at_start=2).usd)
    assert ours.usd_per_1k == pytest.approx(outcome.usd_per_1k)
    assert ours.attained_ratio == pytest.approx(outcome.attained_ratio)
    assert ours.spilled_ratio == pytest.approx(outcome.spilled / outcome.offered)
    assert (ours.seed, ours.peak_replicas) == (7, outcome.peak_replicas)


def test_on_recorded_weeks_the_optimum_has_the_noise_of_a_minute_evened_out() -> None:
    """As a queue does: it costs less than that of every slot for itself."""
    lively = curve(*BUSY)
    even = contest.best_schedule(replace(lively, kind="diurnal"), 0, ECONOMICS, 7)
    assert even.offered == pytest.approx(contest.best_schedule(lively, 0, ECONOMICS, 7).offered)
    assert even.usd < contest.best_schedule(lively, 0, ECONOMICS, 7).usd


def test_what_happens_while_warming_up_is_not_counted() -> None:
    """A first half that drowns costs nothing when only the calm second half counts."""
    told = course(*(50.0,) * 10, *(5.0,) * 10, counted_from_s=100.0)
    half = contest.score(point("steady", 2.0, "valve"), told.judged_on, told, entrant(), 1)
    whole = contest.score(point("steady", 2.0, "valve"), told.tuned_on, told, entrant(), 1)
    assert half.spilled_ratio < 0.01
    assert whole.spilled_ratio > 0.5


@pytest.mark.parametrize(("name", "knows"), [("static-best", 20.0), ("cron-hpa", 10.0)])
def test_only_constants_in_hindsight_know_the_demand_they_meet(name: str, knows: float) -> None:
    """Others know the days they were tuned on."""
    told, seen = course(10.0, 10.0), []

    def watch(facts: PoolFacts, _knob: float) -> Steady:
        seen.append(facts.hindsight.rates_per_s[0])
        return Steady(1)

    contest.run(point(name), curve(20.0, 20.0), told, entrant(name, make=watch), 1)
    assert seen == [knows]


def test_no_request_costs_nothing_and_misses_nothing() -> None:
    """No division by zero, in a pool that has nothing to do."""
    told = course(0.0, 0.0, 0.0)
    nothing = contest.score(point("steady", 0.0), told.tuned_on, told, entrant(), 1)
    assert (nothing.usd_ratio, nothing.usd_per_1k, nothing.attained_ratio, nothing.spilled_ratio) == (1, 0, 1, 0)


def test_a_run_without_series_cannot_be_scored() -> None:
    """Said in one line."""
    outcome = simulate(curve(1.0), ECONOMICS, Steady(1), seed=1)
    with pytest.raises(SimulationError, match="keep_series must be true"):
        contest.scored(outcome, ECONOMICS, 10.0, 0, 1.0)


@pytest.mark.parametrize("counted_from_s", [-1.0, 20.0, 30.0])
def test_a_stretch_must_count_something(counted_from_s: float) -> None:
    """The message says how long the curve is."""
    with pytest.raises(
        SimulationError, match=r"counted_from_s is .*; it must be at least 0 and below the 20 s of curve"
    ):
        Stretch(curve=curve(1.0, 1.0), counted_from_s=counted_from_s)


@pytest.mark.parametrize(
    ("scores", "best"),
    [
        ({1.0: (1.2, 0.995), 2.0: (1.1, 0.991), 3.0: (1.0, 0.98)}, 2.0),
        ({1.0: (1.2, 0.9), 2.0: (1.1, 0.8)}, 1.0),
        ({1.0: (1.3, 0.9), 2.0: (1.1, 0.9)}, 2.0),
    ],
    ids=["cheapest that attains enough", "else the most attained", "of these the cheapest"],
)
def test_the_best_point_of_a_policy(scores: dict[float, tuple[float, float]], best: float) -> None:
    """Attainment up to 99 % first, then cost."""
    tried = [Tried(point=point("a", knob), score=score(*values)) for knob, values in scores.items()]
    assert [one.point for one in best_tried(tried)] == [point("a", best)]


def test_a_policy_that_borrows_the_valve_is_chosen_once_with_it_and_once_without() -> None:
    """Else its plain form would never be judged."""
    points = [point("a", 1.0, "none"), point("a", 1.0, "naive"), point("a", 1.0, "valve"), point("a", 2.0, "valve")]
    tried = [Tried(point=one, score=score(cost)) for one, cost in zip(points, (1.4, 1.3, 1.1, 1.0), strict=True)]
    assert [one.point for one in best_tried(tried)] == [points[1], points[3]]


@pytest.mark.parametrize(
    ("best", "finer"),
    [(4.0, [2.0, 3.0, 5.0, 6.0]), (1.0, [2.0, 3.0]), (7.0, [5.0, 6.0])],
    ids=["between", "least", "greatest"],
)
def test_a_finer_sweep_goes_round_the_best(best: float, finer: list[float]) -> None:
    """Two values on each side, in each form; none is tried twice."""
    for form in ("valve", "none"):
        tried = [Tried(point=point("a", knob, form), score=score(1.0 + abs(knob - best))) for knob in (1.0, 4.0, 7.0)]
        other = Tried(point=point("a", 7.0, "naive"), score=score(1.0))
        points = contest.finer_points([*tried, other], {"a": entrant("a")})
        assert [one.knob for one in points if one.gateway == form] == finer
        assert [one.knob for one in points if one.gateway == "naive"] == [5.0, 6.0]


def drive(bench: Contest) -> list[Heat]:
    """Runs it to its end, and says what was run."""
    done, ahead = [], list(bench.opening())
    while ahead:
        heat = ahead.pop(0)
        told = course(*BUSY)
        made = scores_of(heat, told, {"a": entrant("a"), "b": entrant("b", gateways=("valve",))})
        ahead += bench.take(heat, made)
        done.append(heat)
    return done


def test_a_bench_tunes_every_policy_and_judges_the_best_of_each_with_every_seed() -> None:
    """As many runs as it says; the seed of tuning judges nobody."""
    entrants = {"a": entrant("a"), "b": entrant("b", gateways=("valve",))}
    courses = [course(*BUSY), replace(course(*BUSY), replicas=8)]
    bench = Contest(courses, entrants, ours="a", values=3, seeds=(1, 2))
    assert bench.results() == ()
    done = drive(bench)
    runs = sum(len(heat.points) for heat in done)
    assert runs == bench.runs
    assert 2 * (9 + 3 * 2) < runs <= 2 * (9 + 3 * 4 + 3 * 2)
    assert {heat.seed for heat in done if not heat.judged} == {TUNING_SEED}
    results = bench.results()
    assert (
        [one.name for one in results] == [one.name for one in courses] == ["curve tiny list x4", "curve tiny list x8"]
    )
    for one in results:
        assert [(final.point.policy, final.point.kind) for final in one.finals] == [
            ("a", Kind.PLAIN), ("a", Kind.VALVE), ("b", Kind.VALVE),
        ]  # fmt: skip
        assert [[score.seed for score in final.scores] for final in one.finals] == [[1, 2]] * 3
        assert len(one.tried) > 9
        assert one.dropped == ()


def test_on_a_recorded_week_only_who_can_still_win_is_judged() -> None:
    """The rest is named with its reason; a bench of it is whole without them."""
    week = replace(course(*BUSY), kind="diurnal")
    entrants = {name: entrant(name, gateways=("valve",), sweep=(4.0,)) for name in ("a", "b", "c")}
    bench = Contest([week], entrants, ours="a", values=1, seeds=(1, 2))
    (tuning,) = bench.opening()
    judging = bench.take(tuning, [score(2.0), score(1.0), score(1.2)])
    assert [(heat.seed, [one.policy for one in heat.points]) for heat in judging] == [(1, ["a", "b"]), (2, ["a", "b"])]
    assert bench.runs == 3 + 2 * 2
    for heat in judging:
        bench.take(heat, [score(1.0), score(1.0)])
    (told,) = bench.results()
    assert [(one.point.policy, one.reason) for one in told.dropped] == [("c", "cost 1.200, more than 1.100")]


def test_a_bench_that_ends_early_has_the_courses_that_are_whole() -> None:
    """One of two."""
    only = entrant("a", sweep=(4.0,))  # nothing finer to try
    bench = Contest([course(*BUSY), course(*BUSY)], {"a": only}, ours="a", values=1, seeds=(1,))
    first, second = bench.opening()
    (judging,) = bench.take(first, [score(1.0), score(2.0)])
    assert judging.points == tuple(Point(policy="a", gateway=form, knob=4.0) for form in ("none", "valve"))
    assert bench.take(judging, [score(1.5), score(1.5)]) == ()
    bench.take(second, [score(1.0), score(2.0)])
    assert len(bench.results()) == bench.whole == 1
    assert bench.courses == 2


def test_a_course_whose_result_is_known_is_not_run_again() -> None:
    """It is whole from the start, and its result is as it was."""
    courses = [course(*BUSY), replace(course(*BUSY), replicas=8)]
    known = replace(result("curve", kind="synthetic", a=(score(1.0),)), pool="tiny", replicas=4)
    bench = Contest(courses, {"a": entrant("a")}, ours="a", values=1, seeds=(1,), known={courses[0].name: known})
    assert {heat.course for heat in bench.opening()} == {1}
    assert (bench.whole, bench.results(), bench.runs) == (1, (known,), 2 + 1)


def test_a_bench_waits_for_all_of_a_sweep() -> None:
    """Half a sweep chooses nobody."""
    many = entrant("a", sweep=tuple(float(knob) for knob in range(1, 20)))
    bench = Contest([course(*BUSY)], {"a": many}, ours="a", values=19, seeds=(1,))
    heat = bench.opening()[0]
    assert bench.take(heat, [score(1.0)] * len(heat.points)) == ()
