"""Which replica of a pool."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.core.fleet import Replica, ReplicaState
from controller.routing.balance import Candidate, pick
from controller.routing.predict import ReplicaLoad


def candidate(
    name: str,
    *,
    ttft_s: float = 1.0,
    in_flight: int = 0,
    state: ReplicaState = ReplicaState.READY,
    ready_at_s: float | None = 0.0,
) -> Candidate:
    """A replica that has been ready since `ready_at_s`."""
    replica = Replica(
        replica_id=name, pool="p", url="http://127.0.0.1:1", state=state, started_at_s=0.0, ready_at_s=ready_at_s
    )
    return Candidate(replica=replica, load=ReplicaLoad(in_flight=in_flight), predicted_ttft_s=ttft_s)


def picked(*candidates: Candidate, now_s: float = 1000.0) -> str | None:
    """The id of the replica chosen."""
    found = pick(candidates, now_s=now_s)
    return None if found is None else found.replica.replica_id


def test_the_soonest_answer_wins_then_the_idler_then_the_id() -> None:
    """Ties are broken the same way in every gateway."""
    assert picked(candidate("a", ttft_s=2.0), candidate("b", ttft_s=1.0)) == "b"
    assert picked(candidate("a", in_flight=2), candidate("b", in_flight=1)) == "b"
    assert picked(candidate("b"), candidate("a")) == "a"


@pytest.mark.parametrize("state", [state for state in ReplicaState if state is not ReplicaState.READY])
def test_only_ready_replicas_serve(state: ReplicaState) -> None:
    """Warming, draining and lost ones get nothing, even when nothing else is there."""
    assert picked(candidate("a", state=state, ttft_s=0.1), candidate("b")) == "b"
    assert picked(candidate("a", state=state)) is None
    assert picked() is None


@pytest.mark.parametrize(
    ("age_s", "in_flight", "expected"),
    [
        (0.0, 0, "fresh"),
        (0.0, 1, "settled"),
        (7.5, 5, "fresh"),
        (7.5, 6, "settled"),
        (14.9, 10, "fresh"),
        (15.0, 100, "fresh"),
        (-5.0, 1, "settled"),
    ],
)
def test_a_fresh_replica_takes_its_share_by_a_ramp(age_s: float, in_flight: int, expected: str) -> None:
    """Ten in flight on the settled one: the fresh one may hold age/15 of that, plus one."""
    fresh = candidate("fresh", ttft_s=0.1, in_flight=in_flight, ready_at_s=1000.0 - age_s)
    assert picked(fresh, candidate("settled", in_flight=10)) == expected


def test_with_only_fresh_replicas_there_is_no_ramp() -> None:
    """After a cold start of the whole pool the best one is simply taken."""
    first = candidate("a", ttft_s=2.0, in_flight=50, ready_at_s=999.0)
    assert picked(first, candidate("b", ttft_s=1.0, in_flight=90, ready_at_s=999.0)) == "b"


def test_an_unknown_start_and_a_ramp_of_zero_mean_settled() -> None:
    """No ramp without the figures for one."""
    unknown = candidate("a", ttft_s=0.1, in_flight=50, ready_at_s=None)
    assert picked(unknown, candidate("b")) == "a"
    fresh = candidate("a", ttft_s=0.1, in_flight=50, ready_at_s=1000.0)
    found = pick([fresh, candidate("b")], now_s=1000.0, ramp_s=0.0)
    assert found is fresh


@given(
    st.lists(
        st.builds(
            candidate,
            st.text(min_size=1, max_size=3),
            ttft_s=st.floats(0.0, 100.0),
            in_flight=st.integers(0, 100),
            state=st.sampled_from(list(ReplicaState)),
            ready_at_s=st.none() | st.floats(980.0, 1010.0),
        ),
        max_size=8,
    )
)
def test_someone_is_picked_whenever_someone_is_ready(candidates: list[Candidate]) -> None:
    """The ramp never leaves a request without a replica, and never picks one that is not ready."""
    found = pick(candidates, now_s=1000.0)
    ready = [item for item in candidates if item.replica.state is ReplicaState.READY]
    assert (found is None) == (not ready)
    assert found is None or found in ready
