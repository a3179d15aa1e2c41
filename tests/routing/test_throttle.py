"""How many calls a provider bears: shrinks when refused, grows while answered, begins with one after an outage."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.routing.throttle import BURST_S, CUT_RATIO, Quota, Throttle


def test_it_is_no_limit_until_it_is_refused() -> None:
    """Whoever bears everything gets everything."""
    throttle = Throttle()
    throttle.answered(500)
    assert throttle.limit is None
    assert throttle.allows(10**6)


def test_a_refusal_cuts_once_per_moment() -> None:
    """Many refusals of one moment are one: below what was under way; a later one cuts again."""
    throttle = Throttle()
    for _ in range(20):
        throttle.refused(100, 10.0)
    assert throttle.limit == pytest.approx(100 * CUT_RATIO)
    assert throttle.allows(89)
    assert not throttle.allows(90)
    throttle.refused(80, 11.0)
    assert throttle.limit == pytest.approx(80 * CUT_RATIO)
    for second in range(100):
        throttle.refused(1, 20.0 + second)
    assert throttle.allows(0)


def test_it_grows_by_a_fiftieth_while_it_is_used() -> None:
    """A limit that nobody reaches proves nothing."""
    throttle = Throttle()
    throttle.refused(100, 0.0)
    throttle.answered(3)
    assert throttle.limit == 90.0
    for _ in range(90):
        throttle.answered(90)
    assert throttle.limit == pytest.approx(90 * 1.02)


def test_after_an_outage_it_doubles_from_one_up_to_what_was_good() -> None:
    """Each answered call lets one more begin, until as many are under way as before."""
    throttle = Throttle()
    throttle.answered(40)
    throttle.restart()
    throttle.restart()
    rounds = []
    for _ in range(8):
        assert throttle.limit is not None
        running = int(throttle.limit)
        rounds.append(running)
        for _ in range(running):
            throttle.answered(running)
    assert rounds[:6] == [1, 2, 4, 8, 16, 32]
    assert rounds[-1] <= 42


def test_an_outage_of_one_that_was_limited() -> None:
    """What was good is the limit there was."""
    throttle = Throttle()
    throttle.answered(100)
    throttle.refused(100, 0.0)
    throttle.restart()
    for _ in range(400):
        throttle.answered(400)
    assert throttle.limit is not None
    assert 90.0 <= throttle.limit <= 98.0


@given(st.integers(1, 100_000), st.lists(st.tuples(st.floats(0.0, 5.0), st.integers(1, 500)), max_size=100))
def test_a_quota_is_never_passed(per_min: int, wishes: list[tuple[float, int]]) -> None:
    """In any time, no more than the rate and one burst; and after the wait it names there is room."""
    quota, now_s, taken = Quota(per_min, 0.0), 0.0, 0.0
    burst = max(1.0, per_min * BURST_S / 60)
    for gap_s, amount in wishes:
        now_s += gap_s
        wait_s = quota.wait_s(amount, now_s)
        if wait_s:
            assert quota.wait_s(amount, now_s + wait_s) == 0.0
            now_s += wait_s
        quota.take(amount)
        taken += min(amount, burst)
        assert taken <= per_min / 60 * now_s + burst + 1e-6
