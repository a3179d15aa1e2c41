"""Hung, idle, saturated: told apart."""

from __future__ import annotations

import pytest

from controller.routing.progress import (
    SLACK_S,
    UnderWay,
    first_token_bound_s,
    is_hung,
    quiet_bound_s,
    whole_bound_s,
)

WAITS = UnderWay(waited_s=9.0, bound_s=3.0)
PATIENT = UnderWay(waited_s=9.0, bound_s=30.0)

CASES = {
    "idle": (100.0, [], False),
    "saturated: tokens of others flow": (0.1, [WAITS], False),
    "saturated: the wait was predicted": (9.0, [PATIENT], False),
    "hung: nothing comes and one waits too long": (9.0, [PATIENT, WAITS], True),
    "a pause": (SLACK_S - 0.1, [WAITS], False),
}


@pytest.mark.parametrize(("quiet_s", "under_way", "hung"), CASES.values(), ids=CASES.keys())
def test_hung_or_not(quiet_s: float, under_way: list[UnderWay], hung: bool) -> None:
    """It takes both: nothing at all comes, and somebody waits longer than can be explained."""
    assert is_hung(quiet_s, under_way) is hung


def test_bounds_follow_the_prediction() -> None:
    """Never fixed: a fast engine is suspected within seconds, one with a queue is not; no limit is ever passed."""
    assert first_token_bound_s(0.1, 60.0) == pytest.approx(2.3)
    assert first_token_bound_s(2.6, 60.0) < 10.0
    assert first_token_bound_s(50.0, 60.0) == 60.0
    assert whole_bound_s(0.1, 2.0, 600.0) == pytest.approx(8.3)
    assert whole_bound_s(0.1, float("inf"), 600.0) == 600.0
    assert quiet_bound_s(0.5) == pytest.approx(4.0)
