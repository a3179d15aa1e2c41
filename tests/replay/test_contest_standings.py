"""Who is ahead, with what certainty, and how the report says it."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from contest_world import point, result, score

from controller.replay.contest_standings import Mean, ahead_of_ours, closest, mean_of, standings
from controller.replay.contest_types import CourseResult, Dropped, Final, Kind, Score
from controller.replay.report_verdict import bounds, verdict
from controller.replay.report_words import (
    COLUMNS,
    SUMMARY_COLUMNS,
    dropped_words,
    mean_text,
    summary_rows,
    table_rows,
)


def seeds(*ratios: float, attained: float = 1.0) -> tuple[Score, ...]:
    """One score for each seed."""
    return tuple(score(ratio, attained, seed) for seed, ratio in enumerate(ratios, start=1))


def test_a_mean_of_five_has_the_interval_of_student() -> None:
    """t = 2.776 at four degrees of freedom; the deviation of 1..5 is sqrt(2.5)."""
    mean = mean_of([1, 2, 3, 4, 5])
    assert mean.value == 3
    assert mean.half == pytest.approx(2.776 * math.sqrt(2.5 / 5))


def test_a_mean_of_many_has_the_interval_of_the_normal_distribution() -> None:
    """Beyond the table."""
    assert mean_of([0.0, 2.0] * 10).half == pytest.approx(1.96 * math.sqrt(20 / 19 / 20))


def test_one_seed_tells_no_interval() -> None:
    """Not zero, but unknown."""
    assert mean_of([1.5]) == Mean(value=1.5, half=None)
    assert mean_text(mean_of([1.5])) == "1.500"


def test_differences_are_paired_by_seed() -> None:
    """Seeds differ much, policies by the same in each: the interval is narrow."""
    table = standings(result(ours=seeds(1.0, 2.0, 3.0), other=seeds(1.1, 2.1, 3.1)), "ours")
    assert [one.point.policy for one in table] == ["ours", "other"]
    assert table[1].behind_ours.value == pytest.approx(0.1)
    assert table[1].behind_ours.half == pytest.approx(0.0, abs=1e-12)


def test_those_that_attain_too_little_stand_last() -> None:
    """However cheap."""
    table = standings(result(cheap=seeds(0.5, attained=0.9), ours=seeds(1.2)), "ours")
    assert [one.point.policy for one in table] == ["ours", "cheap"]


@pytest.mark.parametrize(
    ("other", "ours", "is_ahead"),
    [
        (seeds(1.0), seeds(1.1), True),
        (seeds(1.0, attained=0.991), seeds(1.1), True),
        (seeds(1.0, attained=0.989), seeds(1.1), False),
        (seeds(1.0, attained=0.97), seeds(1.1, attained=0.96), True),
        (seeds(1.2), seeds(1.1), False),
    ],
    ids=["cheaper", "both attain enough", "attains too little", "attains more", "dearer"],
)
def test_who_is_ahead_of_ours(other: tuple[Score, ...], ours: tuple[Score, ...], is_ahead: bool) -> None:
    """Cheaper, at equal or better attainment."""
    found = ahead_of_ours(result(other=other, ours=ours), "ours", Kind.VALVE)
    assert [one.standing.point.policy for one in found] == (["other"] if is_ahead else [])


def test_the_closest_is_the_cheapest_that_attains_as_much() -> None:
    """None where nobody does."""
    course = result(ours=seeds(1.0), near=seeds(1.1), far=seeds(1.3), poor=seeds(0.9, attained=0.5))
    rival = closest(course, "ours", Kind.VALVE)
    assert rival is not None
    assert rival.point.policy == "near"
    assert closest(course, "ours", Kind.PLAIN) is None
    assert closest(result(ours=seeds(1.0), poor=seeds(0.9, attained=0.5)), "ours", Kind.VALVE) is None


BEATEN = result("week", ours=seeds(1.10, 1.12), other=seeds(1.00, 1.02), third=seeds(1.05, 1.07))
NOISY = result("burst", ours=seeds(1.10, 1.12), other=seeds(1.00, 1.21))
WON = result("step", ours=seeds(1.0, 1.0), other=seeds(1.2, 1.4))
HINDSIGHT = result("wave", **{"ours": seeds(2.0, 2.0), "static-best": seeds(1.0, 1.0), "static-peak": seeds(1.5, 1.5)})
POOR = result("week", ours=seeds(2.0, attained=0.97), other=seeds(1.0, attained=0.98))
LEVEL = result("ramp", ours=seeds(1.0, 1.1), other=seeds(1.0, 1.1))
ALONE = result("wave", ours=seeds(1.0, 1.0), other=seeds(0.2, 0.2, attained=0.5))
PLAIN = result("spike", ours=seeds(1.0, 1.0), other=seeds(1.1, 1.1))
PLAIN = replace(PLAIN, finals=(*PLAIN.finals, Final(point=point("hpa", 0.7, "naive"), scores=seeds(1.5, 1.5))))


@pytest.mark.parametrize(
    ("results", "said", "not_said"),
    [
        ((BEATEN, WON), (
            "Against policies that borrow its per-request valve ours loses on 1 of 2 courses, on 1 of them beyond the "
            "noise. Cost by that of the optimum, the worst first: week 8b list x20 1.110 against 1.010 of other "
            "(valve, 1), 0.100 ± 0.000 more.",
        ), ("within the noise", "against 100.00", "Against autoscalers", "hindsight")),
        ((HINDSIGHT, WON), (
            "Against constants chosen in hindsight ours loses on 1 of 2 courses, on 1 of them beyond the noise. Cost "
            "by that of the optimum, the worst: wave 8b list x20 2.000 against 1.000 of static-best (valve, 1), "
            "1.000 ± 0.000 more. Against policies that borrow its per-request valve ours is ahead on all 2 courses",
        ), ("static-peak",)),
        ((NOISY,), ("loses on 1 of 1 courses, on 0 of them beyond the noise", "more, within the noise."), ()),
        ((POOR,), ("more, 98.00 % within their SLO against 97.00 %", "Below 99 % of requests within their SLO"), ()),
        ((WON, ALONE), ("ours is ahead on all 2 courses, at equal or better attainment",
                        "by 0.300 ± 1.271 of the cost of the optimum at least (step 8b list x20, other (valve, 1))"),
                       ("ours loses", "Below")),
        ((WON, LEVEL), ("ours is behind on none of 2 courses",
                        "the closest is level with it (ramp 8b list x20, other (valve, 1))"), ("ours loses",)),
        ((PLAIN,), ("Against autoscalers plain or with a naive fallback route ours is ahead on "
                    "all 1 courses, at equal or better attainment: by 0.500 ± 0.000 of the cost of the optimum at "
                    "least (spike 8b list x20, hpa (+ naive spill, 0.7)).",), ("ours loses",)),
        ((ALONE,), ("none of them attains as much",), ()),
        ((result(ours=seeds(1.0, attained=0.98)),),
         ("Below 99 % of requests within their SLO: week 8b list x20 98.00 %.",), ()),
        ((), ("Nothing was run to its end",), ()),
    ],
    ids=["beaten", "beaten in hindsight", "beaten within the noise", "beaten where nobody attains enough", "ahead",
         "level", "ahead of plain forms", "alone", "short of the SLO", "nothing"],
)  # fmt: skip
def test_the_verdict(results: tuple[CourseResult, ...], said: tuple[str, ...], not_said: tuple[str, ...]) -> None:
    """A loss comes first, with figures; a lead with how much it is at least."""
    text = verdict(results, "ours")
    assert all(words in text for words in said), text
    assert not any(words in text for words in not_said), text


def test_tables_have_a_cell_for_every_column() -> None:
    """Ours has no difference to itself; where nobody else attains as much, none is named."""
    rows = table_rows(BEATEN, "ours")
    assert all(len(row) == len(COLUMNS) for row in rows)
    assert rows[0][:4] == ("other", "valve", "1", "1.010 ± 0.127")
    assert [row[-1] for row in rows if row[0] == "ours"] == ["-"]
    summary = summary_rows((BEATEN, ALONE), "ours")
    assert all(len(row) == len(SUMMARY_COLUMNS) for row in summary)
    assert summary[0][-6:] == ("none", "-", "-", "other (valve, 1)", "1.010", "-0.100 ± 0.000")
    assert summary[1][-3:] == ("none", "-", "-")


def test_the_most_that_ours_does_is_told_with_the_course_it_does_it_on() -> None:
    """Of weeks and of short courses, each for itself; the least that it attains too."""
    busy = replace(score(1.0, 0.995), actions_per_hour=7.0, flips_per_hour=3.0, regret_ratio=0.0123)
    week, short = result("calm", ours=seeds(1.0)), result("busy", kind="bursty", ours=(busy,))
    assert bounds((short,), "ours") == (
        "On short courses ours comes to at most 7.0 replica changes an hour (busy 8b list x20), 3.0 changes of mode an "
        "hour (busy 8b list x20), 1.2 % of what it spills regretted (busy 8b list x20); and to at least 99.50 % of "
        "requests within their SLO (busy 8b list x20)."
    )
    text = bounds((week, short, result("quiet", ours=(replace(busy, flips_per_hour=0.0),))), "ours")
    assert text.startswith(
        "On recorded weeks ours comes to at most 7.0 replica changes an hour (quiet 8b list x20), 2.0 changes"
    )
    assert "On short courses" in text


def test_who_was_not_judged_is_named_with_the_reason() -> None:
    """Nothing is said where all were."""
    gone = Dropped(point=point("far"), score=score(2.0), reason="cost 2.000, more than 1.100")
    assert dropped_words(replace(WON, dropped=(gone,))) == (
        "Tuned, and not judged with every seed as they could no longer win: far (valve, 1) cost 2.000, more than 1.100."
    )
    assert dropped_words(WON) == ""
