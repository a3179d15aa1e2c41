"""Pools that share GPUs: who gets them, when they change hands, and what always holds."""

from __future__ import annotations

from dataclasses import replace
from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.autoscale.prices import Prices
from controller.autoscale.shared_nodes import Claim, Given, SharedState, share

GPUS = 8
TICK_S = 10.0


def prices(spill_usd_per_h: float, *, cold_start_s: float = 240.0) -> Prices:
    """A replica on four GPUs of a p4d, and what its work costs elsewhere."""
    return Prices(
        replica_usd_per_s=11.0 / 3600.0, spill_usd_per_replica_s=spill_usd_per_h / 3600.0, cold_start_s=cold_start_s
    )


CHEAP, DEAR = prices(20.0), prices(60.0)


def claim(name: str, wish: int, have: int, demand: float | None, **changes: object) -> Claim:
    """A pool of replicas on four GPUs each."""
    made = Claim(
        name=name,
        gpus=4,
        wish=wish,
        have=have,
        held=have,
        least=0,
        demand_replicas=demand,
        prices=CHEAP,
        cold_start_s=240.0,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


class Pair:
    """Two pools on eight GPUs whose replicas come and go as they are given."""

    def __init__(self, *claims: Claim) -> None:
        self.claims = list(claims)
        self.state = SharedState()
        self.now_s = 0.0
        self.splits: list[tuple[int, ...]] = []
        self.given: dict[str, Given] = {}

    def run(self, seconds: float, **demands: tuple[float | None, int]) -> dict[str, Given]:
        """So long with these demands and wishes."""
        for at, one in enumerate(self.claims):
            if one.name in demands:
                demand, wish = demands[one.name]
                self.claims[at] = replace(one, demand_replicas=demand, wish=wish)
        end_s = self.now_s + seconds
        while self.now_s < end_s:
            self.given, self.state = share(self.claims, GPUS, self.state, self.now_s)
            self.splits.append(tuple(self.given[one.name].replicas for one in self.claims))
            self.claims = [
                replace(one, have=self.given[one.name].replicas, held=self.given[one.name].replicas)
                for one in self.claims
            ]
            self.now_s += TICK_S
        return self.given


def test_who_has_room_has_its_wish() -> None:
    """Nobody is asked to give way while there are GPUs for all."""
    pair = Pair(claim("a", 1, 1, 0.9), claim("b", 1, 0, 0.8, prices=DEAR))
    assert pair.run(TICK_S) == {"a": Given(replicas=1, start=0), "b": Given(replicas=1, start=1)}
    assert pair.state.regret_usd == 0.0


def test_free_gpus_go_at_once_to_whom_they_are_worth_most() -> None:
    """Both want one more, one more fits: the dearer work is kept at home, and the other hears why it waits."""
    pair = Pair(claim("a", 2, 1, 1.9), claim("b", 1, 0, 0.9, prices=DEAR))
    found = pair.run(TICK_S)
    assert (found["a"].replicas, found["b"]) == (1, Given(replicas=1, start=1))
    assert found["a"].reason == (
        "2 would pay, but the 8 GPUs are shared: one more saves $4.5 per GPU and hour, b $13.5 with its last"
    )


def test_the_cheaper_move_wins_once_it_has_paid_for_itself() -> None:
    """The pool whose replica saves more takes the other's, after the difference has come to the price of the move."""
    pair = Pair(claim("a", 1, 1, 0.9), claim("b", 1, 1, 0.9, prices=DEAR))
    pair.run(3600.0)
    at_s = pair.now_s
    found = pair.run(3600.0, b=(1.9, 2))
    assert (found["a"].replicas, found["b"].replicas) == (0, 2)
    first = pair.splits.index((0, 2))
    ahead_usd_per_s = (0.9 * 60.0 - 0.9 * 20.0) / 3600.0
    price_usd = DEAR.start_usd + 0.9 * CHEAP.spill_usd_per_replica_s * 240.0
    assert first * TICK_S - at_s == pytest.approx(price_usd / ahead_usd_per_s, abs=2 * TICK_S)
    assert "1 would pay, but the 8 GPUs are shared: one more saves $4.5 per GPU and hour" in found["a"].reason


def test_a_wave_shorter_than_a_move_moves_nothing() -> None:
    """Two pools that rise and fall in turn do not swap back and forth."""
    pair = Pair(claim("a", 2, 1, 1.5), claim("b", 2, 1, 1.5))
    for _ in range(50):
        pair.run(60.0, a=(1.9, 2), b=(1.1, 2))
        pair.run(60.0, a=(1.1, 2), b=(1.9, 2))
    assert len(set(pair.splits)) == 1


def test_a_move_back_waits_again() -> None:
    """After a move the regret of the other way begins at nothing."""
    pair = Pair(claim("a", 1, 1, 0.9), claim("b", 2, 1, 1.9, prices=DEAR))
    pair.run(7200.0)
    pair.run(7200.0, b=(0.1, 2))
    changes = sum(before != after for before, after in zip(pair.splits, pair.splits[1:], strict=False))
    assert (changes, pair.splits[-1]) == (2, (1, 1))


def test_gpus_that_drain_are_not_free() -> None:
    """Who takes over starts when the last request of the other is done."""
    leaving = claim("a", 0, 0, 0.0, held=1)
    found, _ = share([leaving, claim("b", 2, 1, 1.9)], GPUS, SharedState(), 0.0)
    assert found["b"] == Given(replicas=2, start=0, reason="waits for GPUs: 0 of 8 are free")


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"demand_replicas": None}, id="blind"),
        pytest.param({"cooldown_s": 1e9}, id="a controller in its first cooldown"),
        pytest.param({"least": 1}, id="a minimum"),
    ],
)
def test_what_holds_is_not_taken(changes: dict[str, object]) -> None:
    """However much dearer the other's work is."""
    pair = Pair(claim("a", 1, 1, 0.0, **changes), claim("b", 2, 1, 2.0, prices=prices(9000.0)))
    pair.run(7200.0)
    assert set(pair.splits) == {(1, 1)}


def test_an_operators_pin_takes_at_once() -> None:
    """Its replicas are a minimum, and the other pool gives way without a bill."""
    pair = Pair(claim("a", 1, 1, 0.9, prices=DEAR), claim("b", 1, 1, 0.9))
    pair.run(600.0)
    pair.claims[1] = replace(pair.claims[1], least=2, wish=2)
    found = pair.run(TICK_S)
    assert (found["a"].replicas, found["b"].replicas) == (0, 2)


def test_more_than_there_is_stands_and_nothing_starts() -> None:
    """A restart on nodes that are fewer than before shrinks nobody."""
    pair = Pair(claim("a", 2, 2, 1.9, cooldown_s=300.0), claim("b", 2, 1, 1.9, cooldown_s=300.0))
    found = pair.run(TICK_S)
    assert found["a"].replicas == 2
    assert (found["b"].replicas, found["b"].start) == (1, 0)


@pytest.mark.parametrize("unknown", [None, prices(inf)], ids=["no prices", "nobody may be asked"])
def test_work_that_cannot_be_bought_goes_before_all_that_can(unknown: Prices | None) -> None:
    """A pool that may not spill takes GPUs from one that may."""
    pair = Pair(claim("a", 1, 1, 0.9, prices=DEAR), claim("b", 2, 1, 1.9, prices=unknown))
    pair.run(900.0)
    assert pair.splits[-1] == (0, 2)


CLAIMS = st.builds(
    lambda gpus, wish, have, draining, least, demand, spill_usd, cooldown_s: Claim(
        name="",
        gpus=gpus,
        wish=max(wish, least),
        have=have,
        held=have + draining,
        least=least,
        demand_replicas=demand,
        prices=prices(spill_usd),
        cold_start_s=240.0,
        cooldown_s=cooldown_s,
    ),
    st.sampled_from([1, 2, 4, 8]),
    st.integers(0, 5),
    st.integers(0, 3),
    st.integers(0, 2),
    st.integers(0, 1),
    st.none() | st.floats(0.0, 6.0),
    st.floats(1.0, 100.0) | st.just(inf),
    st.sampled_from([0.0, 60.0]),
)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.lists(CLAIMS, min_size=3, max_size=3), min_size=1, max_size=8),
    st.integers(1, 32),
    st.lists(st.floats(0.0, 90.0), min_size=8, max_size=8),
)
def test_whatever_is_claimed_the_gpus_are_enough(ticks: list[list[Claim]], gpus: int, passed_s: list[float]) -> None:
    """Nothing is started that has no GPUs; nobody has less than its minimum or more than its wish; blind loses none."""
    state, now_s = SharedState(), 0.0
    before: dict[str, int] = {}
    for claims, seconds in zip(ticks, passed_s, strict=False):
        now_s += seconds
        named = [replace(one, name=f"p{at}") for at, one in enumerate(claims)]
        found, state = share(named, gpus, state, now_s)
        held = sum(one.held * one.gpus for one in named)
        started = sum(found[one.name].start * one.gpus for one in named)
        assert held + started <= max(gpus, held)
        for one in named:
            mine = found[one.name]
            assert one.least <= mine.replicas <= max(one.wish, one.least)
            assert 0 <= mine.start <= max(0, mine.replicas - one.have)
            if one.demand_replicas is None or one.cooldown_s > now_s:
                assert mine.replicas >= min(one.wish, before.get(one.name, one.have))
            assert (mine.replicas < one.wish) <= bool(mine.reason)
        kept = {one.name: max(one.least, min(one.wish, before.get(one.name, one.have))) for one in named}
        if sum(kept[one.name] * one.gpus for one in named) <= gpus:
            assert sum(found[one.name].replicas * one.gpus for one in named) <= gpus
        before = {name: mine.replicas for name, mine in found.items()}


@settings(deadline=None, max_examples=50)
@given(st.lists(CLAIMS, min_size=2, max_size=3), st.integers(1, 24))
def test_the_first_split_is_the_best_there_is(claims: list[Claim], gpus: int) -> None:
    """With nothing there yet, none of all splits saves more at the demand that is seen."""
    named = [
        replace(one, name=f"p{at}", have=0, held=0, least=0, demand_replicas=one.demand_replicas or 0.0)
        for at, one in enumerate(claims)
    ]
    found, _ = share(named, gpus, SharedState(), 0.0)

    def saved(split: tuple[int, ...]) -> float:
        return sum(
            one.worth_usd_per_s * min(one.demand_replicas or 0.0, count)
            for one, count in zip(named, split, strict=True)
        )

    splits = [()]
    for one in named:
        splits = [(*split, count) for split in splits for count in range(one.wish + 1)]
    fitting = [split for split in splits if sum(n * one.gpus for n, one in zip(split, named, strict=True)) <= gpus]
    mine = tuple(found[one.name].replicas for one in named)
    assert saved(mine) == pytest.approx(max(map(saved, fitting)))
