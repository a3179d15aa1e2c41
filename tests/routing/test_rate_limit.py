"""Limits per minute that several gateways keep together: slices, debts, pace, and never more than the limit."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.core.rate_limits import MINUTE_S, minute_of
from controller.routing.rate_limit import Allowance, granted


def held(limit: int = 100, *, leased: int = 0, used: int = 0, granted_to_all: int | None = None) -> Allowance:
    """An allowance in minute 10."""
    made = Allowance(limit, 10)
    made.lease(10, leased, leased if granted_to_all is None else granted_to_all)
    made.take(used)
    return made


@pytest.mark.parametrize(("now_s", "minute"), [(0.0, 0), (59.999, 0), (60.0, 1), (1_790_000_039.9, 29_833_333)])
def test_minutes_are_those_of_the_clock(now_s: float, minute: int) -> None:
    """From one full minute to the next."""
    assert minute_of(now_s) == minute


@pytest.mark.parametrize(
    ("limit", "so_far", "wish", "gives"),
    [(10, 0, 4, 4), (10, 8, 4, 2), (10, 10, 4, 0), (10, 12, 4, 0), (10, 8, -3, -3), (10, 8, 0, 0), (None, 0, 5, 5)],
    ids=["all", "the rest", "nothing", "limit lowered", "given back", "only asked", "no limit"],
)
def test_what_a_row_gives(limit: int | None, so_far: int, wish: int, gives: int) -> None:
    """As much as is left, and no more."""
    assert granted(limit, so_far, wish) == gives


@pytest.mark.parametrize(
    ("minute", "used", "leased"),
    [(10, 150, 100), (9, 150, 100), (11, 50, 7), (12, 0, 0), (99, 0, 0)],
    ids=["same", "clock set back", "next", "one between pays off", "long after"],
)
def test_a_new_minute(minute: int, used: int, leased: int) -> None:
    """Leases end but for the one made ahead; debts stay until minutes have paid them off."""
    allowance = held(leased=100, used=150)
    allowance.lease(11, 7, 7)
    allowance.roll(minute)
    assert (allowance.used, allowance.leased) == (used, leased)


def test_what_is_given_too_late_is_worth_nothing() -> None:
    """A row of a minute that is over changes nothing any more."""
    allowance = held()
    allowance.lease(9, 5, 5)
    allowance.lease(12, 5, 5)
    assert (allowance.unspent, allowance.ahead, allowance.remaining) == (0, 0, 100)


@pytest.mark.parametrize(
    ("minute", "estimate", "real", "unspent"),
    [(10, 10, 4, 46), (9, 10, 4, 40), (10, 10, 25, 25), (9, 10, 25, 25)],
    ids=["less", "less, but a minute ago", "more", "more, a minute ago"],
)
def test_what_was_really_used(minute: int, estimate: int, real: int, unspent: int) -> None:
    """Too much comes back in its own minute; too little is owed whenever it turns out."""
    allowance = held(leased=50, used=10)
    allowance.settle(minute, estimate, real)
    assert allowance.unspent == unspent


@pytest.mark.parametrize(
    ("leased", "used", "granted_to_all", "remaining"),
    [(0, 0, 0, 100), (20, 5, 20, 95), (20, 5, 60, 55), (20, 20, 100, 0), (20, 30, 95, 0)],
    ids=["nothing yet", "alone", "with others", "spent", "owed"],
)
def test_what_remains(leased: int, used: int, granted_to_all: int, remaining: int) -> None:
    """Of the row as last seen, and unspent here."""
    assert held(leased=leased, used=used, granted_to_all=granted_to_all).remaining == remaining


def paced(limit: int, per_s: int, *, unspent: int = 0) -> Allowance:
    """An allowance that is used at this pace."""
    allowance = held(limit, leased=per_s + max(0, unspent), used=per_s)
    allowance.settle(10, 0, max(0, -unspent))
    allowance.beat(1.0)
    return allowance


@pytest.mark.parametrize(
    ("limit", "per_s", "reserve"),
    [(1000, 0, 0), (1000, 3, 6), (1000, 300, 50), (19, 3, 0), (20, 3, 1)],
    ids=["idle", "two seconds of it", "a 20th", "too small to hold any", "small"],
)
def test_the_reserve(limit: int, per_s: int, reserve: int) -> None:
    """Two seconds of the pace, at most a 20th of the limit."""
    assert paced(limit, per_s).reserve == reserve


@pytest.mark.parametrize(
    ("unspent", "need", "wish"),
    [(6, 0, 0), (3, 0, 0), (2, 0, 4), (0, 0, 6), (0, 5, 11), (12, 0, 0), (13, 0, -7), (13, 8, 0), (-4, 0, 10)],
    ids=["full", "half", "low", "empty", "waiting", "double", "too much", "too much, but waited for", "owed"],
)
def test_what_to_ask_for(unspent: int, need: int, wish: int) -> None:
    """More below half of the reserve, less above double of it."""
    assert paced(1000, 3, unspent=unspent).wish(need) == wish


def test_the_next_minute_begins_with_a_reserve() -> None:
    """Asked for once."""
    allowance = paced(1000, 3)
    assert allowance.wish_ahead() == 6
    allowance.lease(11, 6, 6)
    assert allowance.wish_ahead() == 0
    assert paced(1000, 0).wish_ahead() == 0


def test_the_pace_fades() -> None:
    """Halved each second, and nothing in the end: all that is held goes back."""
    allowance = paced(1000, 8, unspent=16)
    paces = []
    for _ in range(6):
        allowance.beat(1.0)
        paces.append(allowance.pace_per_s)
    assert paces == [4, 2, 1, 0.5, 0.25, 0]
    assert allowance.wish(0) == -16
    allowance.give_back(16)
    assert allowance.unspent == 0


def test_blind_a_gateway_counts_alone() -> None:
    """Up to the whole limit, with what it had used before; the next minute begins anew, without a debt."""
    allowance = held(10, leased=4, used=4)
    assert [allowance.take_blind(2) for _ in range(4)] == [True, True, True, False]
    allowance.roll(11)
    assert (allowance.take_blind(10), allowance.unspent) == (True, 0)


@pytest.mark.parametrize(
    ("used", "amount", "after_s"),
    [(0, 1, 45.0), (100, 100, 45.0), (150, 50, 45.0), (150, 51, 105.0), (350, 1, 165.0)],
    ids=["one", "all of it", "what a debt leaves", "more than that", "a large debt"],
)
def test_when_there_is_enough_again(used: int, amount: int, after_s: float) -> None:
    """At the end of the minute, or of a later one when debts take all of the next."""
    allowance = held(leased=100, used=used)
    assert allowance.frees_after_s(amount, 10 * MINUTE_S + 15.0) == after_s


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    limit=st.sampled_from([1, 5, 19, 20, 60, 1000]),
    gateways=st.integers(1, 5),
    lost=st.sampled_from([0.0, 0.2]),
)
def test_no_minute_ever_grants_more_than_its_limit(seed: int, limit: int, gateways: int, lost: float) -> None:
    """Whatever comes when, with clocks apart, answers of the rows lost or late, and estimates that are wrong."""
    chance = random.Random(seed)
    rows: Counter[int] = Counter()
    taken: Counter[int] = Counter()
    skews_s = [chance.uniform(-2, 2) for _ in range(gateways)]
    held_by = [Allowance(limit, minute_of(1000 + skew_s)) for skew_s in skews_s]
    now_s = 1000.0
    for _ in range(400):
        now_s += chance.expovariate(2.0)
        index = chance.randrange(gateways)
        allowance, minute = held_by[index], minute_of(now_s + skews_s[index])
        allowance.roll(minute)
        amount = chance.randint(1, 3)
        if allowance.unspent >= amount:
            allowance.take(amount)
            taken[minute] += amount
            real = chance.randint(0, amount + 1)
            allowance.settle(minute, amount, real)
            taken[minute] -= max(0, amount - real)
        allowance.beat(chance.uniform(0.2, 1.5))
        wish = allowance.wish(chance.randint(0, 3))
        if wish < 0:
            allowance.give_back(-wish)
        got = granted(limit, rows[minute], wish)
        rows[minute] += got
        assert 0 <= rows[minute] <= limit
        if chance.random() >= lost:
            allowance.lease(minute, got, rows[minute])
        ahead = granted(limit, rows[minute + 1], allowance.wish_ahead())
        rows[minute + 1] += ahead
        allowance.lease(minute + 1, ahead, rows[minute + 1])
    assert all(amount <= limit for amount in taken.values())
