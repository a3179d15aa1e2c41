"""Which replicas go out of rotation, for how long, and how they come back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.routing.ejection import PROBE_MAX_S, RELAPSE_S, RESTS, Conduct, Reason, Standing, outliers


def conduct(
    *, out: bool = False, calls: float = 20.0, failures: float = 0.0, prefill: float = 1.0, decode: float = 1.0,
    seen: float = 10.0,
) -> Conduct:  # fmt: skip
    """A replica that does well, unless told otherwise."""
    return Conduct(
        is_out=out,
        calls=calls,
        failures=failures,
        prefill_slowness=prefill,
        prefill_seen=seen,
        decode_slowness=decode,
        decode_seen=seen,
    )


GOOD = conduct()
POOLS = {
    "all well": ([GOOD] * 4, []),
    "one in five fails": ([GOOD, conduct(failures=4.0), GOOD, GOOD], [(1, Reason.ERRORS)]),
    "too few calls to tell": ([GOOD, conduct(calls=5.0, failures=3.0)], []),
    "two failures are nothing": ([GOOD, conduct(failures=2.0)], []),
    "rare failures": ([GOOD, conduct(calls=60.0, failures=4.0)], []),
    "all fail: not the replica": ([conduct(failures=4.0)] * 4, []),
    "prompts ten times slower": ([GOOD, GOOD, conduct(prefill=10.0), GOOD], [(2, Reason.SLOW)]),
    "writes ten times slower": ([GOOD, GOOD, conduct(decode=10.0), GOOD], [(2, Reason.SLOW)]),
    "twice as slow is for the prediction": ([GOOD, conduct(prefill=2.0, decode=2.0)], []),
    "all slow: the table is wrong": ([conduct(prefill=10.0)] * 4, []),
    "slow, but seldom seen": ([GOOD, conduct(prefill=10.0, seen=3.0)], []),
    "alone": ([conduct(prefill=10.0, failures=9.0)], []),
    "one of two": ([GOOD, conduct(prefill=10.0)], [(1, Reason.SLOW)]),
    "no second of two": ([conduct(out=True), conduct(prefill=10.0)], []),
    "no second of three": ([conduct(out=True), conduct(prefill=10.0), GOOD], []),
    "the worse one of three": (
        [conduct(prefill=5.0), conduct(prefill=50.0), GOOD],
        [(1, Reason.SLOW)],
    ),
    "two of four": (
        [conduct(prefill=9.0), conduct(failures=10.0), GOOD, GOOD],
        [(1, Reason.ERRORS), (0, Reason.SLOW)],
    ),
    "a second of four": ([conduct(out=True), conduct(prefill=10.0), GOOD, GOOD], [(1, Reason.SLOW)]),
    "of two and two out nobody": ([conduct(out=True), conduct(out=True), conduct(prefill=9.0), GOOD, GOOD], []),
    "without peers in rotation": ([conduct(out=True), GOOD, conduct(out=True), conduct(out=True)], []),
}


@pytest.mark.parametrize(("pool", "expected"), POOLS.values(), ids=POOLS.keys())
def test_who_stands_out(pool: list[Conduct], expected: list[tuple[int, Reason]]) -> None:
    """Judged against the others of the pool, worst first."""
    assert outliers(pool) == expected


conducts = st.builds(
    conduct,
    out=st.booleans(),
    calls=st.floats(0.0, 100.0),
    failures=st.floats(0.0, 50.0),
    prefill=st.floats(0.02, 64.0),
    decode=st.floats(0.02, 64.0),
    seen=st.floats(0.0, 20.0),
)


@given(st.lists(conducts, max_size=9))
def test_never_more_than_half(pool: list[Conduct]) -> None:
    """Those already out are counted, and nobody goes out twice."""
    found = outliers(pool)
    out = sum(one.is_out for one in pool)
    assert not found or out + len(found) <= len(pool) // 2
    assert not any(pool[index].is_out for index, _ in found)


def test_bad_ones_rest_and_come_back_by_slow_start() -> None:
    """After ten seconds, its counts new; soon bad again: twice as long each time, up to two minutes."""
    standing, now_s, rests = Standing(), 100.0, list[float]()
    for _ in range(6):
        standing.failed()
        assert standing.eject(Reason.SLOW, now_s)
        rests.append(standing.wait_s(now_s))
        assert not standing.may_call(now_s + rests[-1] - 0.1)
        now_s += rests[-1]
        assert standing.may_call(now_s)
        assert (standing.reason, standing.calls, standing.wait_s(now_s)) == (None, 0.0, 0.0)
        assert standing.ramp_ratio(now_s + 3.0, 15.0) == pytest.approx(0.2)
        now_s += 30.0
    assert rests == [10.0, 20.0, 40.0, 80.0, 120.0, 120.0]
    now_s += RELAPSE_S
    standing.eject(Reason.SLOW, now_s)
    assert standing.wait_s(now_s) == 10.0


def test_a_hung_one_is_probed_by_one_request_at_a_time() -> None:
    """Its rest over, one call may go there; only when that brings something is it back, by slow start."""
    standing = Standing()
    standing.eject(Reason.HUNG, 100.0)
    assert not standing.may_call(104.9)
    assert standing.may_call(105.0)
    standing.started(105.0)
    assert not standing.may_call(106.0)
    assert standing.wait_s(106.0) == pytest.approx(PROBE_MAX_S - 1.0)
    standing.lives(99.0, 106.0)
    assert standing.reason is Reason.HUNG
    standing.lives(105.0, 107.0)
    assert standing.reason is None
    assert standing.may_call(107.0)
    assert standing.ramp_ratio(107.0, 15.0) == 0.0


@pytest.mark.parametrize("end", ["failed", "left"])
def test_a_probe_that_proves_nothing_makes_room_for_the_next(end: str) -> None:
    """A failure of the work or a caller who left."""
    standing = Standing()
    standing.eject(Reason.GONE, 100.0)
    standing.started(101.0)
    getattr(standing, end)()
    assert standing.may_call(101.5)


def test_a_connection_that_fails_counts_once() -> None:
    """However many were waiting for it; the next probe that fails doubles the rest, up to four seconds."""
    standing = Standing()
    assert standing.eject(Reason.GONE, 100.0, started_s=99.5)
    assert [standing.eject(Reason.GONE, 100.1, started_s=99.6) for _ in range(50)] == [False] * 50
    assert standing.out_until_s == 101.0
    waits = []
    for now_s in (102.0, 105.0, 110.0):
        assert standing.eject(Reason.GONE, now_s, started_s=now_s)
        waits.append(standing.wait_s(now_s))
    assert waits == [2.0, 4.0, RESTS[Reason.GONE].max_s]
    standing.lives(120.0, 121.0)
    assert not standing.eject(Reason.GONE, 121.5, started_s=120.5)
    assert standing.reason is None


def test_connections_that_break_together_are_one_failure() -> None:
    """An engine that dies with all its streams is not one that errs often; one that breaks them one by one is."""
    standing = Standing()
    for _ in range(20):
        standing.broke(5.0)
    assert (standing.calls, standing.failures) == (1.0, 1.0)
    standing.broke(5.2)
    assert standing.failures == 2.0


def test_counts_fade() -> None:
    """Half of them in twenty seconds."""
    standing = Standing()
    standing.succeeded()
    standing.failed()
    standing.fade(20.0)
    assert (standing.calls, standing.failures) == (pytest.approx(1.0), pytest.approx(0.5))
    standing.started(1.0)
    standing.lives(1.0, 2.0)
    assert standing.may_call(2.0)


def test_the_ramp_of_a_fresh_replica() -> None:
    """From when it became ready; a later return starts it anew, an earlier one does not."""
    standing = Standing()
    assert standing.ramp_ratio(0.0, 15.0) == 1.0
    standing.ramps_from(100.0)
    standing.ramps_from(90.0)
    assert standing.ramp_ratio(99.0, 15.0) == 0.0
    assert standing.ramp_ratio(103.0, 15.0) == pytest.approx(0.2)
    assert standing.ramp_ratio(115.0, 15.0) == 1.0
    assert standing.ramp_from_s is None
