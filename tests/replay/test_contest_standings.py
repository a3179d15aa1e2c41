"""Who is ahead, with what certainty, and how the report says it."""

from __future__ import annotations

import math

import pytest
from contest_world import result, score

from controller.replay.contest_standings import Mean, ahead_of_ours, closest, mean_of, standings
from controller.replay.contest_types import CourseResult, Score
from controller.replay.report_words import COLUMNS, SUMMARY_COLUMNS, mean_text, summary_rows, table_rows, verdict


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
    found = ahead_of_ours(result(other=other, ours=ours), "ours")
    assert [one.standing.point.policy for one in found] == (["other"] if is_ahead else [])


def test_the_closest_is_the_cheapest_that_attains_as_much() -> None:
    """None where nobody does."""
    course = result(ours=seeds(1.0), near=seeds(1.1), far=seeds(1.3), poor=seeds(0.9, attained=0.5))
    rival = closest(course, "ours")
    assert rival is not None
    assert rival.point.policy == "near"
    assert closest(result(ours=seeds(1.0), poor=seeds(0.9, attained=0.5)), "ours") is None


BEATEN = result("week", ours=seeds(1.10, 1.12), other=seeds(1.00, 1.02), third=seeds(1.05, 1.07))
NOISY = result("burst", ours=seeds(1.10, 1.12), other=seeds(1.00, 1.21))
WON = result("step", ours=seeds(1.0, 1.0), other=seeds(1.2, 1.4))
HINDSIGHT = result("wave", **{"ours": seeds(2.0, 2.0), "static-best": seeds(1.0, 1.0)})
POOR = result("week", ours=seeds(2.0, attained=0.97), other=seeds(1.0, attained=0.98))
LEVEL = result("ramp", ours=seeds(1.0, 1.1), other=seeds(1.0, 1.1))
ALONE = result("wave", ours=seeds(1.0, 1.0), other=seeds(0.2, 0.2, attained=0.5))


@pytest.mark.parametrize(
    ("results", "said", "not_said"),
    [
        ((BEATEN, WON, HINDSIGHT), (
            "ours loses on 2 of 3 courses, on 1 of them to a policy that does not know the demand beforehand",
            "the worst first: wave 8b list x20 2.000 against 1.000 of static-best (valve, 1), 1.000 ± 0.000 more; "
            "week 8b list x20 1.110 against 1.010 of other (valve, 1), 0.100 ± 0.000 more.",
        ), ("noise", "against 100.00")),
        ((NOISY,), ("loses on 1 of 1", "within the noise"), ()),
        ((POOR,), ("more, 98.00 % within their SLO against 97.00 %", "Below 99 % of requests within their SLO"), ()),
        ((WON, ALONE), ("ours is ahead of all 1 others on all 2 courses",
                        "by 0.300 ± 1.271 of the optimum's cost at least (step 8b list x20, other (valve, 1))"),
                       ("ours loses", "Below")),
        ((WON, LEVEL), ("None of 1 others is ahead of ours on any of 2 courses",
                        "the closest is level with it (ramp 8b list x20, other (valve, 1))"), ("ours loses",)),
        ((ALONE,), ("none of them attains as much",), ()),
        ((result(ours=seeds(1.0, attained=0.98)),),
         ("Below 99 % of requests within their SLO: week 8b list x20 98.00 %.",), ()),
        ((), ("Nothing was run to its end",), ()),
    ],
    ids=["beaten", "beaten within the noise", "beaten where nobody attains enough", "ahead", "level", "alone",
         "short of the SLO", "nothing"],
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
    assert summary[0][-3:] == ("other (valve, 1)", "1.010", "-0.100 ± 0.000")
    assert summary[1][-3:] == ("none", "-", "-")
