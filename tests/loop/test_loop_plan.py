"""What a tick decides about one pool: which replicas start, drain and go, as a pure function."""

from __future__ import annotations

from dataclasses import replace

import pytest
from loop_values import (
    DRAINING,
    EXTERNAL,
    LOCAL,
    LOST,
    ONE,
    POOL,
    SERVED,
    SPILLING,
    START_S,
    WARMING,
    Tick,
    pin,
    pool,
    replica,
    sample,
)  # fmt: skip

from controller.core.fleet import PoolView, Replica
from controller.loop.plan import (
    FIRST_BACKOFF_S,
    LONGEST_BACKOFF_S,
    SETTLE_S,
    YOUNG_S,
    PoolState,
    plan_pool,
    restored,
    wish_pool,
)

TWO = (replica("a"), replica("b"))
ONE_LEAVING = (replica("a"), replica("d", DRAINING))
ORDERED = frozenset({"a"})
SPILLS = PoolView(name="p", mode=SPILLING, spill_ratio=0.4, mode_since_s=9.0, replicas=ONE)


@pytest.mark.parametrize(
    ("tick", "start", "drain", "remove"),
    [
        pytest.param(Tick(), 0, (), (), id="enough"),
        pytest.param(Tick(replicas=()), 1, (), (), id="none there"),
        pytest.param(Tick(sample=sample(2.5)), 2, (), (), id="demand of three"),
        pytest.param(Tick(sample=sample(99.0)), 3, (), (), id="up to the maximum"),
        pytest.param(Tick(replicas=(*TWO, replica("w", WARMING)), sample=sample(2.5)), 0, (), (), id="warming counts"),
        pytest.param(Tick(replicas=ONE_LEAVING, sample=sample(1.5)), 1, (), (), id="draining does not"),
        pytest.param(Tick(replicas=(replica("a"), replica("l", LOST))), 0, (), ("l",), id="lost goes"),
        pytest.param(Tick(replicas=TWO, pin=pin(replicas=1)), 0, ("a",), (), id="pinned down"),
        pytest.param(Tick(pin=pin(replicas=3)), 2, (), (), id="pinned up"),
        pytest.param(Tick(pin=pin(replicas=9)), 3, (), (), id="pinned beyond the bounds"),
        pytest.param(Tick(pin=pin(replicas=3, until_s=START_S)), 0, (), (), id="pin has expired"),
        pytest.param(Tick(ordered=ORDERED), 1, ("a",), (), id="ordered is replaced"),
        pytest.param(Tick(replicas=(replica("a", DRAINING),), ordered=ORDERED), 1, (), (), id="ordered already"),
        pytest.param(Tick(replicas=(replica("a", LOST),), ordered=ORDERED), 1, (), ("a",), id="ordered but lost"),
        pytest.param(Tick(sample=None), 0, (), (), id="blind"),
        pytest.param(Tick(replicas=(), sample=None), 1, (), (), id="blind below the minimum"),
        pytest.param(Tick(replicas=(replica("w", WARMING),), sample=None), 0, (), (), id="blind while warming"),
    ],
)  # fmt: skip
def test_what_starts_drains_and_goes(tick: Tick, start: int, drain: tuple[str, ...], remove: tuple[str, ...]) -> None:
    """One tick from a fresh state."""
    plan, _ = tick.run()
    assert (plan.start, plan.drain, plan.remove) == (start, drain, remove)


@pytest.mark.parametrize(
    ("replicas", "first"),
    [
        pytest.param((replica("busy", running=9), replica("idle", running=1)), "idle", id="least work"),
        pytest.param((replica("ready"), replica("warming", WARMING)), "warming", id="warming before ready"),
        pytest.param((replica("old"), replica("young", started_at_s=START_S)), "young", id="youngest"),
        pytest.param((replica("b"), replica("a")), "a", id="by name at last"),
        pytest.param((replica("known", running=0, waiting=1), replica("unknown")), "unknown", id="waiting is work"),
    ],
)
def test_who_is_missed_least_goes_first(replicas: tuple[Replica, ...], first: str) -> None:
    """A shrink by one takes the replica that costs least to lose."""
    assert Tick(replicas=replicas, pin=pin(replicas=1)).run()[0].drain == (first,)


def test_no_shrink_within_a_cooldown_of_the_last_need() -> None:
    """Two were needed: they stay for the whole cooldown, then one is drained."""
    _, state = Tick(replicas=TWO, sample=sample(1.5, ready=2)).run()
    cooldown_s = POOL.scale.scale_down_cooldown_s
    plan, state = Tick(replicas=TWO, sample=sample(0.1, ready=2), state=state, after_s=cooldown_s - 1).run()
    assert (plan.drain, plan.scale.constraints if plan.scale else ()) == ((), ("cooldown",))
    plan, _ = Tick(replicas=TWO, sample=sample(0.1, ready=2), state=state, after_s=cooldown_s).run()
    assert plan.drain == ("a",)


def test_a_draining_replica_goes_when_nobody_uses_it_but_not_before_gateways_know() -> None:
    """Unused counts only after the settle time: until then its in-flight count means nothing."""
    leaving = replica("b", DRAINING)
    tick = Tick(replicas=(replica("a"), leaving), drained=frozenset({"b"}))
    plan, state = tick.run()
    assert plan.remove == ()
    assert replace(tick, state=state, after_s=SETTLE_S - 0.1).run()[0].remove == ()
    assert replace(tick, state=state, after_s=SETTLE_S).run()[0].remove == ("b",)
    used = replace(tick, state=state, drained=frozenset(), after_s=SETTLE_S)
    assert used.run()[0].remove == ()


def test_a_draining_replica_goes_at_its_deadline_whatever_it_does() -> None:
    """Patience ends, also when no word comes from it; the clock starts when the drain does."""
    tick = Tick(replicas=(replica("a"), replica("b", DRAINING)), sample=None)
    _, state = tick.run()
    deadline_s = POOL.scale.drain_deadline_s
    assert replace(tick, state=state, after_s=deadline_s - 1).run()[0].remove == ()
    assert replace(tick, state=state, after_s=deadline_s).run()[0].remove == ("b",)


def test_the_drain_clock_of_a_shrink_starts_with_the_order() -> None:
    """The tick that drains dates it; a replica that is gone is forgotten."""
    plan, state = Tick(replicas=TWO, pin=pin(replicas=1)).run()
    assert state.draining_since_s == {plan.drain[0]: START_S}
    _, state = Tick(replicas=(replica("b"),), state=state, pin=pin(replicas=1), after_s=1.0).run()
    assert state.draining_since_s == {}


def deaths(count: int, every_s: float, *, others: tuple[Replica, ...] = ()) -> list[float]:
    """The pause after each of some young deaths in a row."""
    state, pauses = SERVED, []
    for number in range(count):
        dead = replica(f"dead-{number}", LOST, ready_at_s=None)
        _, state = Tick(replicas=(*others, dead), state=state, after_s=number * every_s).run()
        pauses.append(state.may_start_at_s - START_S - number * every_s)
    return pauses


@pytest.mark.parametrize("others", [(), (replica("good"),)], ids=["alone", "beside a good one"])
def test_replicas_that_die_young_are_replaced_ever_later(others: tuple[Replica, ...]) -> None:
    """1, 2, 4 ... seconds up to five minutes; a good neighbour does not hide a crash loop."""
    pauses = deaths(12, 400.0, others=others)
    assert pauses[:4] == [FIRST_BACKOFF_S * factor for factor in (1, 2, 4, 8)]
    assert pauses[-1] == LONGEST_BACKOFF_S


def test_the_pause_is_kept_and_then_it_starts() -> None:
    """No start before the pause is over; one death is counted once, however long it is listed."""
    dead = replica("dead", LOST, ready_at_s=None)
    plan, state = Tick(replicas=(dead,)).run()
    assert (plan.start, plan.remove) == (0, ("dead",))
    plan, state = Tick(replicas=(dead,), state=state, after_s=FIRST_BACKOFF_S - 0.1).run()
    assert (plan.start, state.deaths) == (0, 1)
    assert Tick(replicas=(), state=state, after_s=FIRST_BACKOFF_S).run()[0].start == 1


def test_one_that_has_lived_is_replaced_at_once() -> None:
    """A death after a minute of service is no crash loop."""
    old = replica("old", LOST, ready_at_s=START_S - YOUNG_S)
    plan, state = Tick(replicas=(old,)).run()
    assert (plan.start, state.deaths) == (1, 0)


def test_a_replacement_that_lives_ends_the_crash_loop() -> None:
    """Once a replica that came after the last death is a minute old, the next death starts at one second again."""
    _, state = Tick(replicas=(replica("dead", LOST, ready_at_s=None),)).run()
    young = replica("new", ready_at_s=START_S + 5.0)
    _, state = Tick(replicas=(young,), state=state, after_s=4.0 + YOUNG_S).run()
    assert state.deaths == 1
    _, state = Tick(replicas=(young,), state=state, after_s=5.0 + YOUNG_S).run()
    assert state.deaths == 0


@pytest.mark.parametrize(
    ("view", "mode", "served"),
    [
        pytest.param(None, LOCAL, False, id="never published"),
        pytest.param(PoolView(name="p", replicas=(replica("w", WARMING),)), LOCAL, False, id="warming at first"),
        pytest.param(PoolView(name="p", replicas=ONE), LOCAL, True, id="serving"),
        pytest.param(SPILLS, SPILLING, True, id="spilling"),
        pytest.param(replace(SPILLS, mode=EXTERNAL, spill_ratio=1.0, replicas=()), EXTERNAL, False, id="all lost"),
    ],
)  # fmt: skip
def test_a_new_controller_goes_on_where_the_last_one_was(view: PoolView | None, mode: str, served: bool) -> None:
    """Mode, ratio and since when come from the published view; a pool that never served goes on waiting."""
    state = restored(view)
    assert (state.spill.mode, state.served) == (mode, served)
    assert state.spill.ratio == (0.0 if view is None else view.spill_ratio)
    assert state.spill.since_s == (None if view is None or not view.mode_since_s else view.mode_since_s)
    plan, _ = Tick(replicas=() if view is None else view.replicas, sample=None, state=state).run()
    assert plan.spill.mode is mode
    assert plan.drain == ()


def test_a_pool_that_has_never_served_waits_local_unless_pinned() -> None:
    """Gateways pass it by themselves; an operator's word goes before that."""
    fresh = Tick(replicas=(replica("w", WARMING),), sample=sample(ready=0), state=PoolState())
    plan, state = fresh.run()
    assert (plan.spill.mode, plan.spill.reason, state.served) == (LOCAL, "waiting for its first replica", False)
    plan, state = replace(fresh, pin=pin(routing=EXTERNAL)).run()
    assert plan.spill.mode is EXTERNAL
    plan, _ = replace(fresh, state=state, after_s=3601.0).run()
    assert plan.spill.mode is EXTERNAL, "no flip to Local and back when the pin ends before a replica is ready"


def test_a_pin_of_routing_leaves_the_size_to_the_controller() -> None:
    """And one of replicas leaves the routing."""
    plan, _ = Tick(pin=pin(routing=EXTERNAL), sample=sample(1.5)).run()
    assert (plan.spill.mode, plan.start) == (EXTERNAL, 1)
    plan, _ = Tick(pin=pin(replicas=1), sample=sample(1.5)).run()
    assert (plan.spill.mode, plan.start) == (LOCAL, 0)


def test_a_pool_of_fixed_endpoints_is_only_routed() -> None:
    """Nothing is started, drained or removed, whatever is asked."""
    fixed = pool(endpoints=("http://a",))
    replicas = (replica("a", LOST), replica("b"))
    word = pin(replicas=3)
    wish, state = wish_pool(
        fixed, replicas, sample(9.0), SERVED, pin=word, managed=False, ordered=frozenset({"b"}), now_s=START_S
    )
    plan, state = plan_pool(fixed, replicas, wish, state, drained=frozenset({"b"}), now_s=START_S)
    assert (plan.scale, plan.start, plan.drain, plan.remove) == (None, 0, (), ())
    assert state.scale == SERVED.scale
