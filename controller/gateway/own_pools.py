"""Own pools as the router sees them: which replica would answer first, how soon, and whether that is soon enough."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from controller.core.fleet import FleetView, Replica, ReplicaState
from controller.core.models import StepTimes
from controller.core.pools import Pool
from controller.gateway.breakers import Breakers
from controller.gateway.exchange import Skip
from controller.gateway.loads import Loads
from controller.gateway.ports import Clock, FleetFeed
from controller.routing.balance import Candidate, pick
from controller.routing.predict import predict_ttft_s

QUEUE_SLOS = 10.0  # a pool whose first token is further away than this many SLOs is full: refusing is kinder
QUEUE_MIN_S = 5.0
WARMING_RETRY_S = 5.0  # when nothing is known about a warming replica
LOST_RETRY_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _PoolNow:
    """The part of a view that requests need, worked out once per view."""

    ready: tuple[Replica, ...]
    warming: tuple[Replica, ...]


def _fixed(pool: Pool) -> tuple[Replica, ...]:
    """Replicas of a pool that no controller has published: its fixed addresses, taken as ready."""
    return tuple(
        Replica(replica_id=url, pool=pool.name, url=url, state=ReplicaState.READY, started_at_s=0.0)
        for url in pool.endpoints
    )


class OwnPools:
    """Picks replicas; reads the fleet's view afresh for every request, which costs one comparison."""

    def __init__(
        self,
        pools: Mapping[str, Pool],
        step_times: Mapping[str, StepTimes],
        fleet: FleetFeed,
        clock: Clock,
        *,
        loads: Loads,
        breakers: Breakers,
        providers: frozenset[str] = frozenset(),
    ) -> None:
        self._pools = pools
        self._step_times = step_times
        self._fleet = fleet
        self._clock = clock
        self._loads = loads
        self._breakers = breakers
        self._providers = providers
        self._view: FleetView | None = None
        self._now: dict[str, _PoolNow] = {}

    def view(self) -> FleetView:
        """The newest view; what depends on it is brought up to date."""
        view = self._fleet.view()
        if view is not self._view:
            self._adopt(view)
        return view

    def _adopt(self, view: FleetView) -> None:
        self._view = view
        self._now = {}
        known: list[str] = []
        for name, pool in self._pools.items():
            published = view.pools.get(name)
            replicas = published.replicas if published is not None else _fixed(pool)
            known.extend(replica.replica_id for replica in replicas)
            self._now[name] = _PoolNow(
                ready=tuple(replica for replica in replicas if replica.state is ReplicaState.READY),
                warming=tuple(replica for replica in replicas if replica.state is ReplicaState.WARMING),
            )
        self._loads.keep_only(known)
        self._breakers.keep_only((*known, *self._providers))

    def find(self, pool: Pool, input_tokens: int, tried: frozenset[str], now_s: float) -> Candidate | Skip:
        """The replica that will answer first among those that may be called, or why there is none."""
        self.view()
        now = self._now[pool.name]
        candidates = [
            self._candidate(replica, pool, input_tokens, now_s)
            for replica in now.ready
            if replica.replica_id not in tried and self._breakers.allows(replica.replica_id, now_s)
        ]
        if len(candidates) == 1:
            return candidates[0]
        found = pick(candidates, now_s=self._clock.unix_s()) if candidates else None
        return found if found is not None else self._absent(pool.name, now, tried, now_s)

    def _candidate(self, replica: Replica, pool: Pool, input_tokens: int, now_s: float) -> Candidate:
        load = self._loads.of(replica.replica_id).at(now_s)
        steps = self._step_times.get(pool.name)
        if steps is not None:
            predicted_s = predict_ttft_s(load, steps, pool.engine, input_tokens=input_tokens)
        else:  # an engine nobody has measured: full when its slots are
            predicted_s = 0.0 if load.in_flight < pool.engine.max_num_seqs else 2 * pool.slo.ttft_p95_s
        return Candidate(replica=replica, load=load, predicted_ttft_s=predicted_s)

    def _absent(self, name: str, now: _PoolNow, tried: frozenset[str], now_s: float) -> Skip:
        resting = [replica for replica in now.ready if replica.replica_id not in tried]
        if resting:
            wait_s = min(self._breakers.retry_after_s(replica.replica_id, now_s) for replica in resting)
            return Skip(target=name, code="breaker", reason="its replicas keep failing", retry_after_s=max(1.0, wait_s))
        if tried:
            return Skip(target=name, code="failed", reason="no other replica", retry_after_s=LOST_RETRY_S)
        if not now.warming:
            return Skip(target=name, code="no_replica", reason="no replica is ready", retry_after_s=LOST_RETRY_S)
        due = [replica.ready_at_s for replica in now.warming if replica.ready_at_s is not None]
        wait_s = min(due) - self._clock.unix_s() if due else WARMING_RETRY_S
        return Skip(
            target=name,
            code="warming",
            reason=f"its replica is warming up, due in {max(1.0, wait_s):.0f} s",
            retry_after_s=max(1.0, wait_s),
        )


def queue_limit_s(pool: Pool, ttft_timeout_s: float) -> float:
    """The longest predicted wait for which a request is still sent to the pool."""
    return min(ttft_timeout_s, max(QUEUE_MIN_S, QUEUE_SLOS * pool.slo.ttft_p95_s))
