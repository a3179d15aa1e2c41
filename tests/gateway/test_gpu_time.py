"""The share of a replica's time: equal at each moment, and whole in sum."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.gateway.gpu_time import ReplicaTime


def test_one_alone_has_all_of_it() -> None:
    """From enter to leave; the idle time after it is nobody's."""
    time = ReplicaTime()
    mark_s = time.enter(10.0)
    assert time.leave(mark_s, 14.0) == 4.0
    mark_s = time.enter(20.0)
    assert time.leave(mark_s, 21.0) == 1.0


def test_two_share_the_moments_in_which_both_are_there() -> None:
    """A second alone, two together, a second alone."""
    time = ReplicaTime()
    first = time.enter(0.0)
    second = time.enter(1.0)
    assert time.leave(first, 3.0) == 2.0
    assert time.leave(second, 4.0) == 2.0


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 50)), min_size=1, max_size=20))
def test_the_shares_add_up_to_the_time_in_use(visits: list[tuple[float, float]]) -> None:
    """Whatever overlaps."""
    time, marks, shares = ReplicaTime(), {}, []
    events = sorted([(at, 0, number) for number, (at, _) in enumerate(visits)]
                    + [(at + stay, 1, number) for number, (at, stay) in enumerate(visits)])  # fmt: skip
    used_s, there, before_s = 0.0, 0, 0.0
    for at_s, leaves, number in events:
        used_s += at_s - before_s if there else 0.0
        before_s = at_s
        if leaves:
            shares.append(time.leave(marks[number], at_s))
            there -= 1
        else:
            marks[number] = time.enter(at_s)
            there += 1
    assert sum(shares) == pytest.approx(used_s)
    assert min(shares) >= 0
