"""How often a pool may change its size."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from controller.autoscale.limits import HOUR_S, ONE_ACTION_S, Actions, limited


def played(wishes: list[int], per_hour: int, every_s: float) -> tuple[list[int], list[str]]:
    """What is allowed of these wishes, one every so many seconds."""
    actions, found, said = Actions(), [], []
    for at, wish in enumerate(wishes):
        allowed, actions, words = limited(actions, wish, per_hour, at * every_s)
        found.append(allowed)
        said.append(words)
    return found, said


def test_the_first_size_and_an_unchanged_one_are_no_action() -> None:
    """A controller begins with what there is."""
    found, said = played([3] * 100, 2, 60.0)
    assert (found, set(said)) == ([3] * 100, {""})


def test_a_pool_that_goes_up_and_down_is_held_where_it_is() -> None:
    """Of six an hour three may shrink it, and when the next is allowed it is."""
    found, said = played([1, 2] * 60, 6, 120.0)
    changes = sum(before != after for before, after in pairwise(found))
    assert changes <= 4 * 6
    assert "3 changes in an hour, at most 3 may be before it shrinks" in said
    assert found[29] == found[15] == 2


def test_growth_in_one_go_is_one_action() -> None:
    """A level each second for a minute, and then again: two."""
    found, said = played(list(range(1, 121)), 2, 1.0)
    assert found == list(range(1, 121))
    assert set(said) == {""}
    _, words = played(list(range(1, 200)), 2, 1.0)
    assert words[-1] == "2 changes in an hour, at most 2 may be before it grows"


@given(st.lists(st.tuples(st.integers(0, 9), st.floats(0.1, 900.0)), min_size=2, max_size=60), st.integers(2, 8))
def test_no_hour_has_more_actions_than_are_allowed(steps: list[tuple[int, float]], per_hour: int) -> None:
    """Whatever is wished: changes a minute apart or against each other, in any hour; and what is allowed was wished."""
    actions, now_s, before, begun = Actions(), 0.0, None, list[tuple[float, bool]]()
    for wish, passed_s in steps:
        now_s += passed_s
        allowed, actions, words = limited(actions, wish, per_hour, now_s)
        assert allowed in {wish, before}
        assert (allowed != wish) <= bool(words)
        if before is not None and allowed != before:
            grows = allowed > before
            if not begun or begun[-1][1] is not grows or now_s - begun[-1][0] >= ONE_ACTION_S:
                begun.append((now_s, grows))
        before = allowed
        assert sum(now_s - at_s < HOUR_S for at_s, _ in begun) <= per_hour
