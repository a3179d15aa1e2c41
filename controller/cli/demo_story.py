"""The demo as a story: compares one look at the system with the last one and says what has changed, in order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from controller.core.fleet import FleetView, PoolView, Replica, ReplicaState, RoutingMode

RAMP_STEP_RATIO = 0.10  # say how the ramp back goes in steps of this size


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """The system at one instant. `router_warming`: warming replicas per pool as the gateway itself knows them."""

    after_s: float
    unix_s: float
    view: FleetView
    router_warming: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of the story."""

    after_s: float
    label: str
    text: str


@dataclass(slots=True, kw_only=True)
class PoolHistory:
    """What happened to a pool so far; times are seconds since the start, None when it has not happened."""

    ready_at_start: int = 0
    ready_most: int = 0
    spilling_at_s: float | None = None
    local_again_at_s: float | None = None
    warming_seen_by_router: bool = False
    drained: dict[str, int] = field(default_factory=dict)  # replica -> requests it had when told to drain
    gone: set[str] = field(default_factory=set)
    shrunk_at_s: float | None = None

    @property
    def grew(self) -> bool:
        """More replicas were ready than at the start."""
        return self.ready_most > self.ready_at_start


class Story:
    """Tells changes as they come, and remembers what the verdict needs."""

    def __init__(self, start: Look) -> None:
        self._last = start
        self._told_ratio: dict[str, float] = {}
        self.pools: dict[str, PoolHistory] = {}
        for name, pool in start.view.pools.items():
            ready = pool.count(ReplicaState.READY)
            self.pools[name] = PoolHistory(ready_at_start=ready, ready_most=ready)

    def look(self, now: Look) -> list[Line]:
        """What has changed since the last look."""
        lines: list[Line] = []
        for name, pool in now.view.pools.items():
            before, history = self._last.view.pools.get(name), self.pools.get(name)
            if before is None or history is None:
                continue
            changes = (
                *self._routing(before, pool, history, now),
                *_scaling(before, pool),
                *_replicas(before, pool, history, now),
                *_router(name, history, now),
            )
            lines += [Line(after_s=now.after_s, label=label, text=text) for label, text in changes]
        self._last = now
        return lines

    def _routing(self, before: PoolView, pool: PoolView, history: PoolHistory, now: Look) -> Iterator[tuple[str, str]]:
        if pool.mode is not before.mode:
            share = f", {pool.spill_ratio:.0%} of requests leave" if pool.mode is RoutingMode.SPILLING else ""
            yield "routing", f"{pool.name}: {before.mode} -> {pool.mode}{share} ({pool.mode_reason})"
            self._told_ratio[pool.name] = pool.spill_ratio
            if pool.mode is RoutingMode.LOCAL:
                history.local_again_at_s = now.after_s
            elif history.spilling_at_s is None:
                history.spilling_at_s = now.after_s
        elif abs(pool.spill_ratio - self._told_ratio.get(pool.name, 0.0)) >= RAMP_STEP_RATIO:
            way = "more" if pool.spill_ratio > self._told_ratio.get(pool.name, 0.0) else "coming back"
            self._told_ratio[pool.name] = pool.spill_ratio
            yield "ramp", f"{pool.name}: {pool.spill_ratio:.0%} of requests leave ({way}: {pool.mode_reason})"


def _scaling(before: PoolView, pool: PoolView) -> Iterator[tuple[str, str]]:
    if pool.desired_replicas != before.desired_replicas and None not in (
        pool.desired_replicas,
        before.desired_replicas,
    ):
        change = f"{before.desired_replicas} -> {pool.desired_replicas}"
        yield "scale", f"{pool.name}: {change} replicas wanted ({pool.decision_reason})"


def _replicas(before: PoolView, pool: PoolView, history: PoolHistory, now: Look) -> Iterator[tuple[str, str]]:
    known = {replica.replica_id: replica for replica in before.replicas}
    for replica in pool.replicas:
        old = known.pop(replica.replica_id, None)
        if old is None or old.state is not replica.state:
            yield from _state_words(replica, history, now)
    for replica_id in known:
        history.gone.add(replica_id)
        if replica_id in history.drained:
            history.shrunk_at_s = now.after_s
            yield "stopped", f"{replica_id}: drained, then stopped"
        else:
            yield "gone", f"{replica_id} is gone"
    history.ready_most = max(history.ready_most, pool.count(ReplicaState.READY))


def _state_words(replica: Replica, history: PoolHistory, now: Look) -> Iterator[tuple[str, str]]:
    if replica.state is ReplicaState.WARMING:
        due = "" if replica.ready_at_s is None else f", due in {max(0.0, replica.ready_at_s - now.unix_s):.0f} s"
        yield "warming", f"{replica.replica_id} starts{due}"
    elif replica.state is ReplicaState.READY:
        yield "ready", f"{replica.replica_id} takes requests, its share growing by a ramp"
    elif replica.state is ReplicaState.DRAINING:
        has = (replica.running or 0) + (replica.waiting or 0)
        history.drained[replica.replica_id] = has
        yield "drain", f"{replica.replica_id} gets nothing new; its open requests go on ({has})"
    else:
        yield "lost", f"{replica.replica_id}: {replica.reason}"


def _router(name: str, history: PoolHistory, now: Look) -> Iterator[tuple[str, str]]:
    warming = min(now.router_warming.get(name, 0), now.view.pools[name].count(ReplicaState.WARMING))
    if warming and not history.warming_seen_by_router:
        history.warming_seen_by_router = True
        yield "router", f"the gateway knows of {warming} warming of {name} and when they are due"


def is_settled(view: FleetView, least: Mapping[str, int]) -> bool:
    """Whether every pool is back to its least replicas, all ready, with nothing spilled."""
    return all(
        pool.mode is RoutingMode.LOCAL
        and len(pool.replicas) == least.get(name, 0)
        and pool.count(ReplicaState.READY) == len(pool.replicas)
        for name, pool in view.pools.items()
    )
