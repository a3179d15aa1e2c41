"""Which replica of an own pool is asked, and what is said when there is none."""

from __future__ import annotations

from dataclasses import replace

import pytest

from controller.core.fleet import FleetView, PoolView, Replica, ReplicaState
from controller.gateway.own_pools import queue_limit_s
from controller.routing.balance import Candidate
from controller.routing.ejection import Reason
from controller.routing.prefix import prefixes
from controller.telemetry.gateway_metrics import registry_of, render
from tests.gateway.gateway_builders import POOL, SetClock, fleet, replica
from tests.gateway.own_pools_world import World

READY_SINCE_S = 1_000_000_000.0  # long ago: no ramp


def ready(name: str) -> Replica:
    """A replica that has been ready for long."""
    return replica(name, ready_at_s=READY_SINCE_S)


def test_the_least_loaded_ready_replica() -> None:
    """The one that will answer first; warming, draining and lost ones are not asked."""
    others = [replica(state.value, state) for state in ReplicaState if state is not ReplicaState.READY]
    world = World(ready("busy"), ready("idle"), *others)
    world.loads.of("busy").start(4000, 1e9, stream=True)
    assert world.found() == "idle"
    world.loads.of("idle").start(8000, 1e9, stream=True)
    assert world.found() == "busy"


def test_replicas_tried_or_failing_are_left_out() -> None:
    """A request does not meet the same dead engine twice, and no request meets one that keeps failing."""
    world = World(ready("a"), ready("b"))
    assert world.found(frozenset({"a"})) == "b"
    world.breaks("a")
    assert world.found() == "b"
    world.clock.now_s += 10.0
    assert world.found(frozenset({"b"})) == "a"


def test_the_prediction_grows_with_the_load() -> None:
    """With measured step times: prompts ahead count. Without: as on a middling GPU, and a full engine is late."""
    measured = World(ready("a"))
    before = measured.find()
    measured.loads.of("a").start(4000, 1e9, stream=True)
    after = measured.find()
    assert isinstance(before, Candidate)
    assert isinstance(after, Candidate)
    assert 0.0 < before.predicted_ttft_s < after.predicted_ttft_s
    unmeasured = World(ready("a"), steps=None)
    last_s = 0.0
    for _ in range(POOL.engine.max_num_seqs + 1):
        candidate = unmeasured.find()
        assert isinstance(candidate, Candidate)
        assert candidate.predicted_ttft_s > last_s
        last_s = candidate.predicted_ttft_s
        unmeasured.loads.of("a").start(10, 1e9, stream=True)
    assert last_s > POOL.slo.ttft_p95_s


def test_a_pool_that_nobody_has_published() -> None:
    """Its fixed addresses are its replicas, ready at once; a published view goes before them."""
    pool = replace(POOL, endpoints=("http://10.0.0.1:8000",))
    world = World(pool=pool)
    assert world.skipped().code == "no_replica"
    world.feed.now = FleetView()
    assert world.found() == "http://10.0.0.1:8000"


def warming(name: str, ready_at_s: float | None) -> Replica:
    """A replica that will be ready at a second of `SetClock`, if it is known."""
    at_s = None if ready_at_s is None else SetClock(ready_at_s).unix_s()
    return replica(name, ReplicaState.WARMING, ready_at_s=at_s)


ABSENT = {
    # what: replicas, failing, tried, code, seconds to wait
    "none at all": ((), (), (), "no_replica", 2.0),
    "only draining": ((replica("d", ReplicaState.DRAINING),), (), (), "no_replica", 2.0),
    "all failing": ((ready("a"), ready("b")), ("a", "b"), (), "breaker", 10.0),
    "the other one failing": ((ready("a"), ready("b")), ("b",), ("a",), "breaker", 10.0),
    "all tried": ((ready("a"),), (), ("a",), "failed", 2.0),
    "warming": ((warming("w", 1012.0),), (), (), "warming", 12.0),
    "the soonest of two": ((warming("w", 1040.0), warming("v", 1012.0)), (), (), "warming", 12.0),
    "overdue": ((warming("w", 900.0),), (), (), "warming", 1.0),
    "warming for nobody knows how long": ((warming("w", None),), (), (), "warming", 5.0),
    "failing goes before warming": ((ready("a"), warming("w", 1012.0)), ("a",), (), "breaker", 10.0),
}


@pytest.mark.parametrize(("replicas", "failing", "tried", "code", "wait_s"), ABSENT.values(), ids=ABSENT.keys())
def test_when_there_is_none(
    replicas: tuple[Replica, ...], failing: tuple[str, ...], tried: tuple[str, ...], code: str, wait_s: float
) -> None:
    """Why, and when it may be worth another try: never sooner than a second."""
    world = World(*replicas)
    world.pools.view()
    for name in failing:
        world.breaks(name)
    skip = world.skipped(frozenset(tried))
    assert (skip.target, skip.code, skip.retry_after_s) == ("llama-8b", code, pytest.approx(wait_s))
    assert skip.reason


def test_a_new_view_is_adopted_whole() -> None:
    """State of replicas that are gone is dropped; that of busy replicas stays."""
    world = World(ready("a"), ready("b"))
    assert world.pools.view() is world.pools.view()
    world.breaks("a")
    world.loads.of("a")
    ticket = world.loads.of("b").start(10, 1e9, stream=True)
    world.feed.now = FleetView(pools={POOL.name: PoolView(name=POOL.name, replicas=(ready("c"),))})
    assert world.found() == "c"
    assert set(world.loads.in_flight()) == {"b", "c"}
    now_s = world.clock.monotonic_s()
    assert world.breakers.allows("a", now_s)
    ticket.end()


@pytest.mark.parametrize(
    ("slo_s", "timeout_s", "limit_s"), [(2.0, 60.0, 20.0), (0.1, 60.0, 5.0), (2.0, 3.0, 3.0), (30.0, 60.0, 60.0)]
)
def test_how_long_a_queue_may_be(slo_s: float, timeout_s: float, limit_s: float) -> None:
    """Ten SLOs, at least five seconds, never more than the TTFT timeout."""
    assert queue_limit_s(replace(POOL, slo=replace(POOL.slo, ttft_p95_s=slo_s)), timeout_s) == limit_s


def test_an_ejected_replica_is_not_asked() -> None:
    """Alone, its rest is what callers are told to wait; the metrics name it, by pool and reason."""
    world = World(ready("a"), ready("b"))
    world.pools.view()
    now_s = world.clock.monotonic_s()
    assert world.pools.eject(world.loads.of("a"), Reason.GONE, now_s)
    assert world.found() == "b"
    world.pools.eject(world.loads.of("b"), Reason.HUNG, now_s)
    skip = world.skipped()
    assert (skip.code, skip.retry_after_s) == ("breaker", 1.0)
    assert not world.pools.others_than(world.loads.of("a"), now_s)
    world.clock.now_s += 1.0
    assert world.found() == "a"
    assert world.pools.others_than(world.loads.of("b"), world.clock.now_s)
    text = render(registry_of(world.metrics)).decode()
    assert 'spillway_replica_ejected{reason="hung",replica="b"} 1.0' in text
    assert 'spillway_replica_ejections_total{pool="llama-8b",reason="gone"} 1.0' in text
    assert 'spillway_replica_slowness_ratio{part="decode",replica="a"} 1.0' in text


def test_a_warm_prefix_is_worth_its_prompt_s_time() -> None:
    """Of two equal replicas the one that has the beginning; not when its queue costs more than that saves."""
    world = World(ready("a"), ready("b"))
    known = prefixes("acme", ["s" * 4000, "question"])
    for name in "ab":
        world.found()
        world.loads.of(name).warm.note(known[:2])
        candidate = world.find(input_tokens=1002, prefixes=known)
        assert isinstance(candidate, Candidate)
        assert (candidate.replica.replica_id, candidate.tokens) == (name, 2)
        world.loads.of(name).warm.forget()
    world.loads.of("a").warm.note(known[:2])
    world.loads.of("a").start(3000, 1e9, stream=True)
    assert world.find(input_tokens=1002, prefixes=known).replica.replica_id == "b"  # type: ignore[union-attr]


def test_a_new_engine_under_an_old_id_starts_anew() -> None:
    """Neither warm nor slow: it has not been seen yet."""
    world = World(ready("a"))
    world.find()
    load = world.loads.of("a")
    load.warm.note(((1, 4),))
    load.fit.prefill.observe(1.0, 3.0, 0.0)
    world.feed.now = fleet(ready("a"))
    world.find()
    assert (len(load.warm), load.fit.prefill.factor > 1.0) == (1, True)
    world.feed.now = fleet(replace(ready("a"), started_at_s=5.0))
    world.find()
    assert (len(load.warm), load.fit.prefill.factor) == (0, 1.0)


def test_a_fresh_replica_ramps() -> None:
    """Just ready: one request while the settled one has ten, its whole share fifteen seconds later."""
    world = World(ready("old"), replica("new", ready_at_s=SetClock().unix_s()))
    for _ in range(10):
        world.loads.of("old").start(10, 1e9, stream=True)
    assert world.found() == "new"
    world.loads.of("new").start(10, 1e9, stream=True)
    assert world.found() == "old"
    world.clock.now_s += 15.0
    assert world.found() == "new"
