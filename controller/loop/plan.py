"""What a tick decides about one pool, and which replicas that starts, drains and removes. Pure.

In two steps: `wish_pool` says what the pool would have if it were alone, `plan_pool` what it does with what it gets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from controller.autoscale.cold_starts import ColdStarts, remembered
from controller.autoscale.decide import ScaleDecision, ScaleState, decide
from controller.autoscale.limits import Actions, limited
from controller.autoscale.owed import with_owed
from controller.autoscale.prices import Prices
from controller.autoscale.shared_nodes import Given
from controller.core.fleet import Pin, PoolView, Replica, ReplicaState, RoutingMode
from controller.core.pools import Pool
from controller.core.samples import PoolSample
from controller.loop.shortage import Shortage, late, most_starts, watched
from controller.routing.spill import SpillDecision, SpillState, spill_step

SETTLE_S = 1.5  # until every gateway has read that a replica drains, its in-flight count means nothing
YOUNG_S = 60.0  # a replica that dies younger than this counts towards a crash loop
FIRST_BACKOFF_S = 1.0
LONGEST_BACKOFF_S = 300.0
FIRST_REFUSED_PAUSE_S = 10.0
ALIVE = frozenset({ReplicaState.READY, ReplicaState.WARMING})
_HAS_SERVED = frozenset({ReplicaState.READY, ReplicaState.DRAINING})


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolState:
    """Carried from tick to tick. `served`: a replica was ready once. `deaths`: young ones in a row, the last at
    `died_at_s`. `refusals`: starts in a row that the platform refused.
    """

    scale: ScaleState = field(default_factory=ScaleState)
    spill: SpillState = field(default_factory=SpillState)
    served: bool = False
    draining_since_s: Mapping[str, float] = field(default_factory=dict)
    deaths: int = 0
    died_at_s: float = 0.0
    counted_dead: frozenset[str] = frozenset()
    may_start_at_s: float = 0.0
    refusals: int = 0
    shortage: Shortage | None = None
    actions: Actions = field(default_factory=Actions)
    cold_starts: ColdStarts = field(default_factory=ColdStarts)


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolWish:
    """What a pool would have if it were alone. `scale` None: nobody here may start or stop its replicas.

    `staying`: replicas that are ready or warming, without those that are to go whatever is wished: `ordered` by an
    operator, or given up. `pin`: the one in force.
    """

    spill: SpillDecision
    scale: ScaleDecision | None
    staying: tuple[Replica, ...] = ()
    pin: Pin | None = None
    ordered: frozenset[str] = frozenset()

    @property
    def pinned(self) -> bool:
        """Whether an operator says how many replicas there are."""
        return self.pin is not None and self.pin.replicas is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolPlan:
    """The decisions of one tick for one pool. `missing`: replicas that would pay and are not to be had now."""

    spill: SpillDecision
    scale: ScaleDecision | None
    start: int = 0
    drain: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()
    missing: int = 0


def restored(view: PoolView | None) -> PoolState:
    """The state of a new controller: mode, ratio, since when and cold starts as its predecessor published them."""
    if view is None:
        return PoolState()
    since_s = view.mode_since_s or None
    spill = SpillState(mode=view.mode, ratio=view.spill_ratio, since_s=since_s)
    return PoolState(
        spill=spill,
        served=any(one.state in _HAS_SERVED for one in view.replicas),
        cold_starts=remembered(view.cold_starts_s, view.replicas),
    )


def wish_pool(
    pool: Pool,
    replicas: Sequence[Replica],
    sample: PoolSample | None,
    state: PoolState,
    *,
    pin: Pin | None,
    managed: bool,
    ordered: frozenset[str],
    prices: Prices | None = None,
    now_s: float,
) -> tuple[PoolWish, PoolState]:
    """Decide routing and size of one pool as if its replicas could always be had.

    `ordered`: replicas an operator wants drained. A pin that has expired is none.
    """
    if pin is not None and now_s >= pin.until_s:
        pin = None
    spill, state = _route(pool, replicas, sample, state, pin=pin, now_s=now_s)
    if not managed:
        return PoolWish(spill=spill, scale=None, pin=pin), state
    state = _after_deaths(replicas, state, now_s)
    given_up = late(state.shortage, replicas, state.cold_starts, pool.scale.cold_start_s, now_s)
    state = replace(state, shortage=watched(state.shortage, replicas, given_up, now_s))
    ordered = (ordered & {one.replica_id for one in replicas if one.state in ALIVE}) | {
        one.replica_id for one in given_up
    }
    staying = tuple(one for one in replicas if one.state in ALIVE and one.replica_id not in ordered)
    sample, count = with_owed(sample, state.scale, len(staying))
    scale, scaled = decide(
        sample,
        state.scale,
        pool.scale,
        replicas_now=count,
        pin_replicas=None if pin is None else pin.replicas,
        prices=prices,
        now_s=now_s,
    )
    wish = PoolWish(spill=spill, scale=scale, staying=staying, ordered=ordered, pin=pin)
    return wish, replace(state, scale=scaled)


def plan_pool(
    pool: Pool,
    replicas: Sequence[Replica],
    wish: PoolWish,
    state: PoolState,
    *,
    given: Given | None = None,
    drained: frozenset[str],
    now_s: float,
) -> tuple[PoolPlan, PoolState]:
    """Carry out the wish, as far as it is `given`; None: nobody shares its nodes.

    `drained`: draining replicas that nobody uses any more.
    """
    if wish.scale is None:
        return PoolPlan(spill=wish.spill, scale=None), state
    scale, state = _allowed(pool, _within(wish.scale, given), state, pinned=wish.pinned, now_s=now_s)
    count = len(wish.staying)
    more = scale.replicas - count
    drain = sorted(wish.ordered)
    if more < 0:
        drain += [one.replica_id for one in sorted(wish.staying, key=_least_missed)[:-more]]
    going = {one.replica_id for one in replicas if one.state is ReplicaState.DRAINING} | wish.ordered
    since_s = {name: state.draining_since_s.get(name, now_s) for name in (*going, *drain)}
    start = max(0, more if given is None else min(more, given.start)) if now_s >= state.may_start_at_s else 0
    start = most_starts(state.shortage, wish.staying, start, now_s)
    plan = PoolPlan(
        spill=wish.spill,
        scale=_held_up(scale, state, now_s) if start < more else scale,
        start=start,
        drain=tuple(drain),
        remove=(*_lost(replicas), *_finished(pool, since_s, drained, now_s)),
        missing=max(0, wish.scale.replicas - count - start),
    )
    return plan, replace(state, draining_since_s=since_s)


def _within(scale: ScaleDecision, given: Given | None) -> ScaleDecision:
    """The decision as far as there are GPUs for it."""
    if given is None or not given.reason:
        return scale
    return replace(scale, replicas=given.replicas, constraints=(*scale.constraints, given.reason))


def _allowed(
    pool: Pool, scale: ScaleDecision, state: PoolState, *, pinned: bool, now_s: float
) -> tuple[ScaleDecision, PoolState]:
    """The decision as far as an hour's changes allow; an operator's pin is not asked."""
    if pinned:
        return scale, replace(state, actions=replace(state.actions, replicas=scale.replicas))
    policy = pool.scale
    replicas, actions, words = limited(state.actions, scale.replicas, policy.max_actions_per_hour, now_s)
    state = replace(state, actions=actions)
    return (replace(scale, replicas=replicas, constraints=(*scale.constraints, words)) if words else scale), state


def after_start(state: PoolState, *, started: bool, now_s: float) -> PoolState:
    """The state once a replica was started, or the platform has refused: then the next try is later each time."""
    if started:
        return replace(state, refusals=0)
    pause_s = min(LONGEST_BACKOFF_S, FIRST_REFUSED_PAUSE_S * 2.0 ** min(state.refusals, 20))
    return replace(state, refusals=state.refusals + 1, may_start_at_s=now_s + pause_s)


def _held_up(scale: ScaleDecision, state: PoolState, now_s: float) -> ScaleDecision:
    """The decision with what keeps it from being done at once."""
    words, pause_s = [], state.may_start_at_s - now_s
    if state.shortage is not None:
        words.append(state.shortage.words(now_s))
    if pause_s > 0:
        why = f"{state.refusals} were refused" if state.refusals else f"{state.deaths} died young"
        words.append(f"{why}; next start in {pause_s:.0f} s")
    return replace(scale, constraints=(*scale.constraints, *words))


def _route(
    pool: Pool,
    replicas: Sequence[Replica],
    sample: PoolSample | None,
    state: PoolState,
    *,
    pin: Pin | None,
    now_s: float,
) -> tuple[SpillDecision, PoolState]:
    """Where requests go. Before a pool has ever served, gateways pass it by themselves: no mode need change twice."""
    moved = state.spill.mode is not RoutingMode.LOCAL
    served = state.served or moved or any(one.state is ReplicaState.READY for one in replicas)
    if not served and (pin is None or pin.routing is None):
        reason = "waiting for its first replica"
        return SpillDecision(mode=RoutingMode.LOCAL, ratio=0.0, reason=reason), state
    spill, stepped = spill_step(sample, state.spill, pool.spill, pin=pin, now_s=now_s)
    return spill, replace(state, spill=stepped, served=served)


def _least_missed(replica: Replica) -> tuple[bool, int, float, str]:
    """Warming ones first, then those with the least work, then the youngest."""
    work = (replica.running or 0) + (replica.waiting or 0)
    return (replica.state is ReplicaState.READY, work, -replica.started_at_s, replica.replica_id)


def _lost(replicas: Sequence[Replica]) -> dict[str, Replica]:
    """What runs no more, by id."""
    return {one.replica_id: one for one in replicas if one.state is ReplicaState.LOST}


def _finished(pool: Pool, since_s: Mapping[str, float], drained: frozenset[str], now_s: float) -> tuple[str, ...]:
    """Draining replicas that may be stopped: unused for sure, or out of patience."""
    return tuple(
        name
        for name, began_s in since_s.items()
        if (name in drained and now_s - began_s >= SETTLE_S) or now_s - began_s >= pool.scale.drain_deadline_s
    )


def _after_deaths(replicas: Sequence[Replica], state: PoolState, now_s: float) -> PoolState:
    """The state with a later next start when replicas die young, and none once a later one has lived."""
    dead = _lost(replicas)
    young = [
        name
        for name, one in dead.items()
        if name not in state.counted_dead and (one.ready_at_s is None or now_s - one.ready_at_s < YOUNG_S)
    ]
    state = replace(state, counted_dead=frozenset(dead))
    if young:
        pause_s = min(LONGEST_BACKOFF_S, FIRST_BACKOFF_S * 2.0 ** min(state.deaths, 20))
        return replace(state, deaths=state.deaths + 1, died_at_s=now_s, may_start_at_s=now_s + pause_s)
    ready_at_s = (one.ready_at_s for one in replicas if one.state is ReplicaState.READY)
    grown_up = any(at_s is not None and state.died_at_s <= at_s <= now_s - YOUNG_S for at_s in ready_at_s)
    return replace(state, deaths=0) if grown_up else state
