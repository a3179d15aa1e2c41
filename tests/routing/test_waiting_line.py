"""The line before a full pool: order, fairness, patience."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.core.requests import Priority
from controller.routing.waiting_line import RANKS, Waiter, WaitingLine

SLO_S = 2.0
INTERACTIVE, STANDARD, BATCH = (RANKS[priority] for priority in Priority)


def line(*waiters: Waiter) -> WaitingLine:
    """These wait, in this order."""
    made = WaitingLine(SLO_S)
    for waiter in waiters:
        made.add(waiter)
    return made


def waiter(rank: int = STANDARD, since_s: float = 0.0, patience_s: float = 10.0, *, held: bool = False) -> Waiter:
    """One that came then and can wait so long."""
    return Waiter(rank, since_s, since_s + patience_s, held=held)


def flowing(*waiters: Waiter, at_s: float) -> WaitingLine:
    """The same, where a place came free then."""
    made = line(*waiters)
    made.freed(at_s)
    return made


def test_in_a_standing_line_who_may_be_in_time_goes_first() -> None:
    """Those who came before it stood are late by now; they go in their order once nobody else waits."""
    late, too, new, newer = (waiter(since_s=since_s) for since_s in (0.0, 0.5, 1.0, 2.9))
    waiting, served = flowing(late, too, new, newer, at_s=3.0), []
    while (one := waiting.next(3.0)) is not None:
        served.append(one)
        waiting.remove(one, 3.0)
    assert served == [new, newer, late, too]


def test_who_gives_its_place_to_a_newcomer() -> None:
    """In a standing line the oldest late one of the lowest class, never of a higher one; in a burst nobody."""
    low, late, too = waiter(BATCH, 0.5), waiter(since_s=0.0), waiter(since_s=0.5)
    waiting = flowing(late, too, low, waiter(since_s=0.0, held=True), at_s=1.5)
    assert waiting.stale(INTERACTIVE, 1.9) is None
    assert waiting.stale(STANDARD, 3.0) is low
    waiting.remove(low, 3.0)
    assert waiting.stale(STANDARD, 3.0) is late
    assert waiting.stale(BATCH, 3.0) is None
    assert waiting.stale(INTERACTIVE, 2.1) is late


def test_nobody_passes_where_no_place_comes_free() -> None:
    """A pool whose engines hang: the late keep their places, and a newcomer has all of them ahead."""
    first, second = waiter(since_s=0.0), waiter(since_s=2.5)
    waiting = line(first, second)
    for _ in range(2):  # before any place came free, and an SLO after the last
        assert (waiting.ahead(STANDARD, 3.0), waiting.stale(STANDARD, 3.0), waiting.next(3.0)) == (2, None, first)
        waiting.freed(0.9)
    waiting.freed(1.0)
    assert (waiting.ahead(STANDARD, 3.0), waiting.stale(STANDARD, 3.0), waiting.next(3.0)) == (1, first, second)


def test_late_ones_are_not_ahead_of_a_newcomer() -> None:
    """They let it pass, but those of a higher class."""
    waiting = flowing(waiter(since_s=0.0), waiter(since_s=2.5), waiter(INTERACTIVE, 0.0), at_s=1.0)
    assert (waiting.ahead(STANDARD, 1.9), waiting.ahead(STANDARD, 3.0), waiting.ahead(BATCH, 3.0)) == (3, 2, 3)


def test_the_highest_class_goes_first_and_within_it_who_came_first() -> None:
    """Interactive, standard, batch; nobody when nobody waits."""
    first, second = waiter(STANDARD, 0.5), waiter(STANDARD, 1.0)
    late, top = waiter(BATCH, 0.0), waiter(INTERACTIVE, 2.0)
    waiting = line(late, first, second, top)
    served = []
    while (one := waiting.next(1.9)) is not None:
        served.append(one)
        waiting.remove(one, 1.9)
    assert served == [top, first, second, late]
    assert waiting.depth == 0


def test_the_newest_goes_first_once_the_oldest_is_past_its_share() -> None:
    """Half of its time is gone: what it waits for will most likely not come in time."""
    old, middle, new = (waiter(since_s=since_s, held=True) for since_s in (0.0, 2.0, 4.0))
    waiting = line(old, middle, new)
    assert waiting.next(5.0) is old
    assert waiting.next(5.1) is new
    waiting.remove(old, 5.1)
    assert waiting.next(5.1) is middle


def test_who_yields_when_the_line_is_full() -> None:
    """The newest of the lowest class, if that is below the newcomer's."""
    old, new = waiter(BATCH), waiter(BATCH, 1.0)
    waiting = line(waiter(STANDARD), old, new)
    assert waiting.last(INTERACTIVE) is new
    assert waiting.last(BATCH) is None
    waiting.remove(new, 2.0)
    waiting.remove(old, 2.0)
    assert waiting.last(STANDARD) is None
    assert waiting.last(INTERACTIVE) is not None


def test_removing_twice_is_harmless() -> None:
    """A caller leaves in the moment of its turn."""
    one = waiter()
    waiting = line(one, waiter())
    waiting.remove(one, 1.0)
    waiting.remove(one, 1.0)
    assert waiting.depth == 1


def test_the_wait_of_a_newcomer() -> None:
    """Until the pool takes anybody, and then one gap for each that is served before."""
    waiting = line(waiter(STANDARD), waiter(STANDARD), waiter(BATCH))
    assert waiting.wait_s(BATCH, 1.0, late_by_s=1.0, gap_s=0.5) == 1.0 + 3 * 0.5
    assert waiting.wait_s(STANDARD, 1.0, late_by_s=-1.0, gap_s=0.5) == 2 * 0.5
    assert waiting.wait_s(INTERACTIVE, 1.0, late_by_s=1.0, gap_s=0.5) == 1.0
    waiting.freed(1.0)
    waiting.freed(1.2)
    assert waiting.wait_s(STANDARD, 1.0, late_by_s=0.0, gap_s=0.5) == pytest.approx(0.4)
    waiting.freed(2.4)
    assert waiting.wait_s(STANDARD, 1.0, late_by_s=0.0, gap_s=0.5) == pytest.approx(2 * (0.2 + 0.1 * 1.0))


def test_gaps_without_a_line_say_nothing() -> None:
    """An idle pool is not a slow one."""
    waiting = WaitingLine(SLO_S)
    for second in range(5):
        waiting.freed(100.0 * second)
    waiting.add(waiter(since_s=500.0))
    waiting.freed(500.1)
    assert waiting.wait_s(STANDARD, 1.0, late_by_s=0.0, gap_s=0.3) == 0.3


def test_a_standing_line_is_kept_short_until_it_has_been_away_for_a_while() -> None:
    """A burst may wait its patience; from a line that stands for an SLO on only a quarter of the SLO."""
    one = waiter()
    waiting = line(one)
    assert waiting.longest_s(8.0, 1.9) == 8.0
    assert waiting.late_after_s(1.9) == SLO_S
    assert waiting.longest_s(8.0, 2.0) == 0.5
    assert waiting.longest_s(0.1, 2.0) == 0.1
    assert waiting.late_after_s(2.0) == 1.5
    waiting.remove(one, 3.0)
    assert waiting.pressed(10.9)
    assert not waiting.pressed(11.0)
    assert not waiting.pressed(12.0)


def test_a_line_that_stood_is_remembered_even_if_nobody_looked() -> None:
    """The last one leaves after a long while: that was overload."""
    one = waiter()
    waiting = line(one)
    waiting.remove(one, 50.0)
    assert waiting.pressed(50.1)
    assert not WaitingLine(SLO_S).pressed(1e9)


@given(st.lists(st.tuples(st.integers(0, 2), st.floats(0, 3)), max_size=60), st.data())
def test_whatever_happens_nobody_is_lost_and_no_class_is_passed_over(
    arrivals: list[tuple[int, float]], data: st.DataObject
) -> None:
    """The depth is right; whose turn it is has the highest class of all that wait."""
    waiting, here, now_s = WaitingLine(SLO_S), [], 0.0
    for rank, gap_s in arrivals:
        now_s += gap_s
        here.append(waiter(rank, now_s, data.draw(st.floats(0.1, 20))))
        waiting.add(here[-1])
        if data.draw(st.booleans()):
            chosen = waiting.next(now_s)
            assert chosen is not None
            assert chosen.rank == min(one.rank for one in here)
            waiting.remove(chosen, now_s)
            here.remove(chosen)
        assert waiting.depth == len(here)
        assert waiting.ahead(2, now_s) <= len(here)
