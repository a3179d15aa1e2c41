"""Properties of a pool's plan under any history."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from loop_values import DRAINING, LOST, POOL, READY, SERVED, WARMING, Tick, pin, replica, sample

from controller.core.fleet import Replica
from controller.core.samples import PoolSample
from controller.loop.plan import PoolState

STATES = st.sampled_from([READY, WARMING, DRAINING, LOST])
FLEETS = st.lists(STATES, max_size=7).map(
    lambda states: tuple(replica(f"r{number}", state) for number, state in enumerate(states))
)
SAMPLES = st.none() | st.floats(0.0, 9.0).map(sample)
TICKS = st.lists(
    st.tuples(FLEETS, SAMPLES, st.floats(0.1, 40.0), st.none() | st.integers(0, 6)), min_size=1, max_size=12
)
NAMES = st.frozensets(st.sampled_from([f"r{number}" for number in range(7)]))


@given(TICKS, NAMES, NAMES)
def test_whatever_happens_the_plan_makes_sense(
    ticks: list[tuple[tuple[Replica, ...], PoolSample | None, float, int | None]],
    drained: frozenset[str],
    ordered: frozenset[str],
) -> None:
    """Within bounds; nobody twice; who goes was lost or told to drain before, and who was lost does go."""
    state, after_s = PoolState(), 0.0
    told: set[str] = set()
    for replicas, seen, passed_s, pinned in ticks:
        after_s += passed_s
        word = None if pinned is None else pin(replicas=pinned)
        tick = Tick(
            replicas=replicas, sample=seen, state=state, pin=word, drained=drained, ordered=ordered, after_s=after_s
        )
        plan, state = tick.run()
        by_id = {one.replica_id: one for one in replicas}
        alive = {name for name, one in by_id.items() if one.state in {READY, WARMING}}
        assert plan.scale is not None
        assert 1 <= plan.scale.replicas <= 4
        assert set(plan.drain) <= alive
        assert set(plan.remove) <= set(by_id)
        assert {name for name, one in by_id.items() if one.state is LOST} <= set(plan.remove)
        assert set(plan.remove) & alive <= told
        assert len({*plan.drain}) + len({*plan.remove}) == len(plan.drain) + len(plan.remove)
        assert len(alive) - len(plan.drain) + plan.start <= 4
        assert len(alive - ordered) - len(set(plan.drain) - ordered) >= min(len(alive - ordered), 1)
        told = set(plan.drain) | {name for name, one in by_id.items() if one.state is DRAINING}


@given(
    st.lists(st.tuples(st.none() | st.floats(0.0, 4.0), st.floats(0.5, 30.0)), min_size=1, max_size=20),
    st.integers(1, 4),
)
def test_no_drain_within_a_cooldown_of_a_new_controller(history: list[tuple[float | None, float]], there: int) -> None:
    """However demand falls, a fresh state drains nobody before a whole cooldown, and a blind one never."""
    replicas = tuple(replica(f"r{number}") for number in range(there))
    state, after_s, seen = SERVED, 0.0, False
    for demand, passed_s in history:
        tick = Tick(replicas=replicas, sample=None if demand is None else sample(demand), state=state, after_s=after_s)
        plan, state = tick.run()
        seen = seen or demand is not None
        if not seen or after_s < POOL.scale.scale_down_cooldown_s - 1e-6:  # times of day are rounded
            assert plan.drain == ()
        after_s += passed_s
