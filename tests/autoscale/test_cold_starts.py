"""How long a replica takes to come up, learned from those that came."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.autoscale.cold_starts import KEPT, LEAST_START_S, LONGEST_RATIO, ColdStarts, learned, remembered
from controller.core.fleet import Replica, ReplicaState

PRIOR_S = 240.0


def replica(name: str, took_s: float | None, state: ReplicaState = ReplicaState.READY) -> Replica:
    """One that was asked for at 1000 s."""
    ready_at_s = None if took_s is None else 1000.0 + took_s
    return Replica(replica_id=name, pool="p", url="", state=state, started_at_s=1000.0, ready_at_s=ready_at_s)


def after(*took_s: float) -> ColdStarts:
    """Starts that came one after the other, each beside those before."""
    starts = ColdStarts()
    for number, took in enumerate(took_s):
        starts = learned(starts, [replica(str(number), took)], PRIOR_S)
    return starts


@pytest.mark.parametrize(
    ("took_s", "expected_s", "slow_s"),
    [
        pytest.param((), 240.0, 240.0, id="none: the configuration"),
        pytest.param((80.0,), 240.0, 240.0, id="one may be a chance"),
        pytest.param((80.0, 100.0), 100.0, 240.0, id="two against it"),
        pytest.param((80.0, 100.0, 90.0), 90.0, 100.0, id="three tell"),
        pytest.param((80.0, 100.0, 90.0, 900.0), 95.0, 360.0, id="one that waited for a node moves the median little"),
        pytest.param((900.0, *[80.0] * KEPT), 80.0, 80.0, id="old ones are forgotten"),
    ],
)
def test_the_median_of_the_last_is_expected(took_s: tuple[float, ...], expected_s: float, slow_s: float) -> None:
    """What the configuration says fills up to three."""
    starts = after(*took_s)
    assert starts.expected_s(PRIOR_S) == expected_s
    assert starts.slow_s(PRIOR_S) == slow_s
    assert starts.are_known is (len(took_s) >= 3)


def test_only_first_readiness_counts_and_only_once() -> None:
    """What warms, is lost or was never ready tells nothing; what stays ready is not counted again."""
    fleet = [
        replica("a", 80.0),
        replica("w", 300.0, ReplicaState.WARMING),
        replica("l", 50.0, ReplicaState.LOST),
        replica("d", None, ReplicaState.DRAINING),
        replica("e", 120.0, ReplicaState.DRAINING),
    ]
    once = learned(ColdStarts(), fleet, PRIOR_S)
    assert once.took_s == (80.0, 120.0)
    assert learned(once, fleet, PRIOR_S) == once


def test_a_restart_goes_on_with_what_was_learned() -> None:
    """Replicas of the last view are counted; one that became ready in between is new."""
    starts = remembered((80.0, 90.0), [replica("a", 90.0), replica("b", None, ReplicaState.WARMING)])
    again = learned(starts, [replica("a", 90.0), replica("b", 100.0)], PRIOR_S)
    assert again.took_s == (80.0, 90.0, 100.0)


def test_a_start_is_never_weighed_as_nothing() -> None:
    """Engines that are there in three seconds are priced as half a minute, unless configured to be quick."""
    quick = after(3.0, 3.0, 3.0)
    assert quick.priced_s(PRIOR_S) == LEAST_START_S
    assert quick.priced_s(5.0) == 5.0
    assert after(80.0, 90.0, 85.0).priced_s(PRIOR_S) == 85.0


def test_cold_starts_that_have_grown_are_followed() -> None:
    """A single start counts as at most a few of what was expected, and still the new length is found."""
    starts = after(*[3.0] * 4)
    starts = learned(starts, [replica("x", 2000.0)], PRIOR_S)
    assert starts.took_s[-1] == LONGEST_RATIO * LEAST_START_S
    for number in range(2 * KEPT):
        starts = learned(starts, [replica(f"y{number}", 2000.0)], PRIOR_S)
    assert starts.expected_s(PRIOR_S) == 2000.0


@given(st.lists(st.floats(-1e6, 1e9), max_size=20))
def test_whatever_is_measured_is_a_time(took_s: list[float]) -> None:
    """Clocks that jump give no negative cold start, and memory does not grow."""
    starts = after(*took_s)
    assert len(starts.took_s) <= KEPT
    assert 0.0 <= starts.expected_s(PRIOR_S) <= starts.slow_s(PRIOR_S)
