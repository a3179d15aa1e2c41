"""The demo tells what changed between two looks, and remembers what the verdict needs."""

from __future__ import annotations

from controller.cli.demo_story import Look, Story, is_settled
from controller.core.fleet import FleetView, PoolView, Replica, ReplicaState, RoutingMode

READY, WARMING, DRAINING = ReplicaState.READY, ReplicaState.WARMING, ReplicaState.DRAINING


def _replica(name: str, state: ReplicaState, running: int = 0) -> Replica:
    return Replica(
        replica_id=name, pool="p", url="http://127.0.0.1:1", state=state, started_at_s=100.0, ready_at_s=108.0,
        running=running, waiting=0,
    )  # fmt: skip


def _look(after_s: float, *replicas: Replica, router_warming: int = 0, **pool: object) -> Look:
    view = PoolView(name="p", replicas=replicas, **pool)  # type: ignore[arg-type]
    return Look(
        after_s=after_s, unix_s=100.0 + after_s, view=FleetView(pools={"p": view}), router_warming={"p": router_warming}
    )


SPILLING = RoutingMode.SPILLING


def test_the_whole_story_is_told_in_order() -> None:
    """Spill, scale, warming (seen by the router), ready, ramp, local, drain with open requests, stopped."""
    story = Story(_look(0, _replica("a", READY), desired_replicas=1))
    looks = [
        _look(1, _replica("a", READY), desired_replicas=2, mode=SPILLING, spill_ratio=0.5),
        _look(2, _replica("a", READY), _replica("b", WARMING), desired_replicas=2, mode=SPILLING,
              spill_ratio=0.5, router_warming=1),
        _look(9, _replica("a", READY), _replica("b", READY), desired_replicas=2, mode=SPILLING, spill_ratio=0.3),
        _look(20, _replica("a", READY), _replica("b", READY), desired_replicas=2),
        _look(40, _replica("a", READY), _replica("b", DRAINING, running=3), desired_replicas=1),
        _look(45, _replica("a", READY), desired_replicas=1),
    ]  # fmt: skip
    labels = [[line.label for line in story.look(look)] for look in looks]
    assert labels == [
        ["routing", "scale"],
        ["warming", "router"],
        ["ramp", "ready"],
        ["routing"],
        ["scale", "drain"],
        ["stopped"],
    ]
    history = story.pools["p"]
    assert history.grew
    assert history.warming_seen_by_router
    assert (history.spilling_at_s, history.local_again_at_s, history.shrunk_at_s) == (1, 20, 45)
    assert history.drained == {"b": 3}
    assert history.gone == {"b"}


def test_nothing_new_is_nothing_told() -> None:
    """Two equal looks make no line."""
    story = Story(_look(0, _replica("a", READY)))
    assert story.look(_look(1, _replica("a", READY))) == []


def test_a_router_with_an_old_view_has_not_seen_anything() -> None:
    """Only replicas that are warming now count as seen."""
    story = Story(_look(0, _replica("a", READY)))
    assert story.look(_look(1, _replica("a", READY), router_warming=1)) == []


def test_a_replica_that_dies_is_told() -> None:
    """Lost with its reason, then gone; that is no scale-down."""
    story = Story(_look(0, _replica("a", READY), _replica("b", READY)))
    lost = story.look(_look(1, _replica("a", READY), _replica("b", ReplicaState.LOST)))
    gone = story.look(_look(2, _replica("a", READY)))
    assert [line.label for line in (*lost, *gone)] == ["lost", "gone"]
    assert story.pools["p"].shrunk_at_s is None


def test_settled_means_least_replicas_all_ready_and_local() -> None:
    """One replica too many, one warming or a mode other than Local is not settled."""
    least = {"p": 1}
    assert is_settled(_look(0, _replica("a", READY)).view, least)
    assert not is_settled(_look(0, _replica("a", READY), _replica("b", DRAINING)).view, least)
    assert not is_settled(_look(0, _replica("a", WARMING)).view, least)
    assert not is_settled(_look(0, _replica("a", READY), mode=RoutingMode.SPILLING).view, least)
