"""Avoided replicas are measured again: which, how often, and by whom."""

from __future__ import annotations

import pytest

from controller.routing.remeasure import DEADLINE_SHARE, OLD_S, ONE_IN, SLO_SHARE, Sight, due, may_go

NOW_S = 100.0
WELL = Sight(is_out=False, in_flight=3, slowness=1.0, seen_at_s=NOW_S)
AVOIDED = Sight(is_out=False, in_flight=0, slowness=10.0, seen_at_s=NOW_S - OLD_S)
OLDER = Sight(is_out=False, in_flight=0, slowness=4.0, seen_at_s=NOW_S - 2 * OLD_S)


@pytest.mark.parametrize(
    ("pool", "asked", "index"),
    [
        ([WELL, AVOIDED, WELL], ONE_IN, 1),
        ([WELL, AVOIDED, WELL], ONE_IN - 1, None),
        ([WELL, AVOIDED, OLDER, WELL], ONE_IN, 2),
        ([WELL, Sight(is_out=True, in_flight=0, slowness=10.0, seen_at_s=0.0)], ONE_IN, None),
        ([WELL, Sight(is_out=False, in_flight=1, slowness=10.0, seen_at_s=0.0)], ONE_IN, None),
        ([WELL, Sight(is_out=False, in_flight=0, slowness=10.0, seen_at_s=NOW_S - 1.0)], ONE_IN, None),
        ([WELL, Sight(is_out=False, in_flight=0, slowness=1.1, seen_at_s=0.0)], ONE_IN, None),
        ([AVOIDED], ONE_IN, None),
        ([AVOIDED, Sight(is_out=True, in_flight=0, slowness=1.0, seen_at_s=0.0)], ONE_IN, None),
        ([], ONE_IN, None),
    ],
    ids=[
        "due",
        "too soon",
        "oldest first",
        "out",
        "under way",
        "fresh",
        "as the others",
        "alone",
        "others out",
        "none",
    ],
)
def test_which_is_due(pool: list[Sight], asked: float, index: int | None) -> None:
    """One that is avoided for what was measured a while ago, in rotation and idle; one request in so many."""
    assert due(pool, asked, NOW_S) == index


@pytest.mark.parametrize(
    ("predicted_s", "left_s", "goes"),
    [
        (SLO_SHARE * 2.0, None, True),
        (SLO_SHARE * 2.0 + 0.01, None, False),
        (1.0, 1.0 / DEADLINE_SHARE, True),
        (1.0, 3.0, False),
    ],
    ids=["well within the SLO", "not so", "well within the deadline", "too close to it"],
)
def test_who_may_go(predicted_s: float, left_s: float | None, goes: bool) -> None:
    """Only who is in time there even if it is as slow as it was."""
    assert may_go(predicted_s, 2.0, left_s) is goes
