"""The circuit breaker."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from controller.routing.breaker import BreakerPolicy, BreakerState, after, allows, hold, started

POLICY = BreakerPolicy()


def failed(state: BreakerState, times: int, now_s: float) -> BreakerState:
    """The state after so many failures."""
    for _ in range(times):
        state = after(state, POLICY, ok=False, now_s=now_s)
    return state


def test_five_failures_in_a_row_open_it_for_ten_seconds() -> None:
    """Four do not, and a success in between starts the count again."""
    four = failed(BreakerState(), 4, 0.0)
    assert allows(four, POLICY, 0.0)
    assert after(four, POLICY, ok=True, now_s=0.0) == BreakerState()
    five = failed(four, 1, 0.0)
    assert not allows(five, POLICY, 9.9)
    assert allows(five, POLICY, 10.0)


def test_half_open_lets_one_probe_through() -> None:
    """The second call waits for the probe, or until the probe is late."""
    opened = failed(BreakerState(), 5, 0.0)
    probing = started(opened, POLICY, 10.0)
    assert not allows(probing, POLICY, 10.0)
    assert allows(probing, POLICY, 10.0 + POLICY.probe_s)
    assert allows(after(probing, POLICY, ok=True, now_s=11.0), POLICY, 11.0)
    assert started(BreakerState(), POLICY, 0.0) == BreakerState()


def test_each_failed_probe_doubles_the_wait_up_to_a_minute() -> None:
    """10, 20, 40, 60, 60 seconds."""
    state = failed(BreakerState(), 5, 0.0)
    now_s, waits = 0.0, []
    for _ in range(5):
        waits.append(state.open_for_s)
        assert state.open_until_s is not None
        now_s = state.open_until_s
        state = after(started(state, POLICY, now_s), POLICY, ok=False, now_s=now_s)
    assert waits == [10.0, 20.0, 40.0, 60.0, 60.0]


def test_late_reports_of_older_calls_change_nothing_while_open() -> None:
    """A call begun before it opened neither closes it nor lengthens it."""
    opened = failed(BreakerState(), 5, 0.0)
    assert after(opened, POLICY, ok=True, now_s=1.0) == opened
    assert after(opened, POLICY, ok=False, now_s=1.0) == opened


def test_retry_after_is_obeyed_and_survives_a_success() -> None:
    """No call before the time named; a later, longer word wins, a shorter one does not."""
    held = hold(hold(BreakerState(), 30.0), 20.0)
    assert not allows(held, POLICY, 29.9)
    assert not allows(after(held, POLICY, ok=True, now_s=1.0), POLICY, 29.9)
    assert allows(held, POLICY, 30.0)


@given(st.lists(st.tuples(st.booleans(), st.floats(0.0, 30.0)), max_size=60))
def test_it_always_reopens_within_a_minute(events: list[tuple[bool, float]]) -> None:
    """Whatever happened, a call is allowed again after the longest wait, so nothing stays cut off for ever."""
    state, now_s = BreakerState(), 0.0
    for ok, gap_s in events:
        now_s += gap_s
        if allows(state, POLICY, now_s):
            state = started(state, POLICY, now_s)
        state = after(state, POLICY, ok=ok, now_s=now_s)
    assert allows(state, POLICY, now_s + POLICY.open_max_s)
