"""Which replica of a pool."""

from __future__ import annotations

from collections import Counter
from hashlib import blake2b

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.core.fleet import Replica, ReplicaState
from controller.routing.balance import LOAD_BOUND, LOAD_FREE, NEAR_S, Candidate, pick


def seed(name: str) -> int:
    """As the gateway makes them."""
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest())


def candidate(
    name: str, *, ttft_s: float = 1.0, in_flight: int = 0, ramp_ratio: float = 1.0, prefill_s: float = 0.0
) -> Candidate:
    """A replica that may be called."""
    replica = Replica(replica_id=name, pool="p", url="http://127.0.0.1:1", state=ReplicaState.READY, started_at_s=0.0)
    return Candidate(replica, in_flight, ttft_s, 0.0, prefill_s, 0, ramp_ratio, seed(name))


def picked(*candidates: Candidate, home: int = 0, stay: str | None = None, fine_s: float = 1.0) -> str:
    """The id of the replica chosen."""
    return pick(candidates, home=home, stay=stay, fine_s=fine_s).replica.replica_id


def test_the_soonest_answer_wins_then_the_idler_then_the_id() -> None:
    """Ties are broken the same way in every gateway."""
    assert picked(candidate("a", ttft_s=2.0), candidate("b", ttft_s=1.0)) == "b"
    assert picked(candidate("a", in_flight=2), candidate("b", in_flight=1)) == "b"
    assert picked(candidate("b"), candidate("a")) == "a"
    assert picked(candidate("a", ttft_s=9.0)) == "a"


@pytest.mark.parametrize(
    ("ramp_ratio", "in_flight", "expected"),
    [(0.0, 0, "fresh"), (0.0, 1, "settled"), (0.5, 5, "fresh"), (0.5, 6, "settled"), (0.99, 10, "fresh")],
)
def test_a_fresh_replica_takes_its_share_by_a_ramp(ramp_ratio: float, in_flight: int, expected: str) -> None:
    """Ten in flight on the settled one: the fresh one may hold its ratio of that, plus one."""
    fresh = candidate("fresh", ttft_s=0.1, in_flight=in_flight, ramp_ratio=ramp_ratio)
    assert picked(fresh, candidate("settled", in_flight=10)) == expected


def test_with_only_fresh_replicas_there_is_no_ramp() -> None:
    """After a cold start of the whole pool the best one is simply taken."""
    first = candidate("a", ttft_s=2.0, in_flight=50, ramp_ratio=0.1)
    assert picked(first, candidate("b", ttft_s=1.0, in_flight=50, ramp_ratio=0.1)) == "b"


def test_nobody_gets_much_more_than_the_average() -> None:
    """However warm it is: with 10 on each of three others, and 15 here, the limit is ceil(1.25 * 46 / 4) = 15."""
    others = [candidate(name, ttft_s=9.0, in_flight=10) for name in "bcd"]
    assert picked(candidate("a", ttft_s=0.1, in_flight=12), *others) == "a"
    assert picked(candidate("a", ttft_s=0.1, in_flight=15), *others) == "b"
    few = [candidate(name, ttft_s=9.0) for name in "bcd"]
    assert picked(candidate("a", ttft_s=0.1, in_flight=LOAD_FREE - 1), *few) == "a"
    assert picked(candidate("a", ttft_s=0.1, in_flight=LOAD_FREE), *few) == "b"


def test_equals_share_prompts_by_their_beginning() -> None:
    """A beginning has one home in all gateways; homes spread evenly; a home that goes moves nobody else's."""
    four = [candidate(name) for name in "abcd"]
    homes = {home: picked(*four, home=home) for home in (seed(f"prompt {number}") for number in range(2000))}
    assert homes == {home: picked(*reversed(four), home=home) for home in homes}
    assert all(400 <= count <= 600 for count in Counter(homes.values()).values())
    assert all(picked(*four[:3], home=home) == name for home, name in homes.items() if name != "d")


def test_a_home_is_worth_little_waiting() -> None:
    """Two milliseconds, or a tenth of the prompt's own time: not more."""
    home = next(number for number in range(100) if picked(candidate("a"), candidate("b"), home=number) == "b")
    assert picked(candidate("a"), candidate("b", ttft_s=1.0 + NEAR_S), home=home) == "b"
    assert picked(candidate("a"), candidate("b", ttft_s=1.01), home=home) == "a"
    assert picked(candidate("a", prefill_s=0.5), candidate("b", ttft_s=1.05), home=home) == "b"
    assert picked(candidate("a", prefill_s=0.5), candidate("b", ttft_s=1.06), home=home) == "a"


def test_a_conversation_stays_while_its_replica_is_fine() -> None:
    """Though another would be quicker; not when it would be late, over the bound, or gone."""
    quick = candidate("a", ttft_s=0.1)
    assert picked(quick, candidate("b", ttft_s=0.9), stay="b") == "b"
    assert picked(quick, candidate("b", ttft_s=1.1), stay="b") == "a"
    assert picked(quick, candidate("b", ttft_s=0.9, in_flight=50), stay="b") == "a"
    assert picked(quick, candidate("b"), stay="c") == "a"


@given(
    st.lists(
        st.builds(
            candidate,
            st.text(min_size=1, max_size=3),
            ttft_s=st.floats(0.0, 100.0),
            in_flight=st.integers(0, 100),
            ramp_ratio=st.floats(0.0, 1.0),
            prefill_s=st.floats(0.0, 10.0),
        ),
        min_size=1,
        max_size=8,
    ),
    st.integers(0, (1 << 64) - 1),
    st.none() | st.text(min_size=1, max_size=3),
)
def test_someone_is_picked_within_the_bound(candidates: list[Candidate], home: int, stay: str | None) -> None:
    """No ramp and no bound leaves a request without a replica, and the one picked is not far above the average."""
    found = pick(candidates, home=home, stay=stay, fine_s=1.0)
    assert found in candidates
    settled = [item for item in candidates if item.ramp_ratio >= 1.0]
    if len(settled) == len(candidates) > 1:
        average = (sum(item.in_flight for item in candidates) + 1) / len(candidates)
        assert found.in_flight < max(LOAD_FREE, LOAD_BOUND * average + 1)
