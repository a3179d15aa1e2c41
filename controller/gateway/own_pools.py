"""Own pools as the router sees them: which replica would answer first, how soon, and whether that is soon enough."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf

import structlog

from controller.core.fleet import FleetView, Replica, ReplicaState
from controller.core.models import StepTimes
from controller.core.pools import Pool
from controller.core.requests import RequestProfile
from controller.gateway.breakers import Breakers
from controller.gateway.exchange import Skip
from controller.gateway.loads import LiveLoad, Loads
from controller.gateway.pool_now import PoolNow, conduct_of, fixed_replicas, may_call, sight_of
from controller.gateway.ports import Clock, FleetFeed
from controller.routing.balance import RAMP_S, Candidate, pick
from controller.routing.conversations import Conversations, Place
from controller.routing.ejection import PROBED, Reason, outliers
from controller.routing.fit import AnswerLengths
from controller.routing.predict import NOMINAL, EngineTiming
from controller.routing.prefix import Prefix
from controller.routing.remeasure import due, may_go
from controller.telemetry.replica_metrics import ReplicaMetrics

QUEUE_SLOS = 10.0  # a pool whose first token is further away than this many SLOs is full: refusing is kinder
QUEUE_MIN_S = 5.0
WARMING_RETRY_S = 5.0  # when nothing is known about a warming replica
LOST_RETRY_S = 2.0
TIDY_S = 1.0  # how often corrections fade and replicas are compared
CONVERSATION_PREFIXES = 3  # system prompt or first question, an answer, the next question

log = structlog.get_logger()


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
        metrics: ReplicaMetrics,
    ) -> None:
        self._pools = pools
        self._steps = step_times
        self._timings = {name: EngineTiming(step_times.get(name, NOMINAL), pool.engine) for name, pool in pools.items()}
        self._lengths = {name: AnswerLengths() for name in pools}
        self._fleet = fleet
        self._clock = clock
        self._loads = loads
        self._breakers = breakers
        self._metrics = metrics
        self._view: FleetView | None = None
        self._others = 0  # gateways that send to the same replicas
        self._now: dict[str, PoolNow] = {}
        self._tidied_s = -inf
        self.conversations = Conversations()

    def reconfigure(self, pools: Mapping[str, Pool], step_times: Mapping[str, StepTimes]) -> None:
        """The pools from now on; what is under way and was learned at replicas of those that stay is kept."""
        changed = [
            name
            for name, pool in pools.items()
            if pool is not self._pools.get(name) or step_times.get(name) is not self._steps.get(name)
        ]
        self._timings = {
            name: EngineTiming(step_times.get(name, NOMINAL), pool.engine) if name in changed else self._timings[name]
            for name, pool in pools.items()
        }
        self._lengths = {name: self._lengths.get(name) or AnswerLengths() for name in pools}
        self._pools, self._steps = pools, step_times
        self._adopt(self._fleet.view())

    def view(self) -> FleetView:
        """The newest view; what depends on it is brought up to date."""
        view = self._fleet.view()
        if view is not self._view:
            self._adopt(view)
        return view

    def _adopt(self, view: FleetView) -> None:
        self._view, self._others = view, max(0, view.gateways - 1)
        former, self._now = self._now, dict[str, PoolNow]()
        known: list[str] = []
        for name, pool in self._pools.items():
            published = view.pools.get(name)
            replicas = published.replicas if published is not None else fixed_replicas(pool)
            known.extend(replica.replica_id for replica in replicas)
            before = former.get(name)
            self._now[name] = PoolNow(
                asked=0 if before is None else before.asked,
                ready=tuple(
                    (replica, self._load(pool, replica)) for replica in replicas if replica.state is ReplicaState.READY
                ),
                warming=tuple(replica for replica in replicas if replica.state is ReplicaState.WARMING),
            )
        self._loads.keep_only(known)
        self._breakers.keep_only(known)

    def _load(self, pool: Pool, replica: Replica) -> LiveLoad:
        """What is known of a ready replica; nothing at first, and again when its engine is another one."""
        load = self._loads.of(replica.replica_id)
        if load.started_at_s != replica.started_at_s:
            steps = self._steps.get(pool.name)
            load.renew(
                replica.started_at_s,
                self._timings[pool.name],
                pool.engine.max_num_seqs * pool.engine.max_model_len_tokens if steps is None else steps.kv_cache_tokens,
                measured=steps is not None,
            )
            load.pool, load.lengths = pool.name, self._lengths[pool.name]
        load.timing = self._timings[pool.name]
        if replica.ready_at_s is not None:
            age_s = self._clock.unix_s() - replica.ready_at_s
            if age_s < RAMP_S:
                load.standing.ramps_from(self._clock.monotonic_s() - age_s)
        return load

    def find(
        self,
        pool: Pool,
        input_tokens: int,
        tried: frozenset[str],
        now_s: float,
        *,
        prefixes: tuple[Prefix, ...] = (),
        by_s: float | None = None,
    ) -> Candidate | Skip:
        """The replica that will answer first among those that may be called, or why there is none.

        Now and then it is another one, to measure it again, if that is in time for a first token by `by_s`.
        """
        self.view()
        self.tidy(now_s)
        try:
            now = self._now[pool.name]
        except KeyError:
            return Skip(target=pool.name, code="removed", reason="the pool is not in the configuration any more")
        candidates = self._candidates(now, input_tokens, tried, now_s, prefixes)
        if len(candidates) < 2:
            return candidates[0] if candidates else self._absent(pool.name, now, tried, now_s)
        place = self.conversations.place_of(prefixes, now_s) if len(prefixes) >= CONVERSATION_PREFIXES else None
        now.asked += 1
        if now.due is not None and place is None and not tried:
            sent = self._sent_to_measure(pool, now, candidates, None if by_s is None else by_s - now_s)
            if sent is not None:
                return sent
        return pick(
            candidates,
            home=prefixes[0][0] if prefixes else 0,
            stay=None if place is None else place.replica_id,
            fine_s=pool.slo.ttft_p95_s,
        )

    def _candidates(
        self, now: PoolNow, input_tokens: int, tried: frozenset[str], now_s: float, prefixes: tuple[Prefix, ...]
    ) -> list[Candidate]:
        """Those that may be called; a slow or faulty replica is better than none."""
        candidates: list[Candidate] = []
        troubled, others = self._breakers.are_troubled, self._others
        for any_that_lives in (False, True):
            for replica, load in now.ready:
                standing, name = load.standing, replica.replica_id
                out = standing.reason is not None and not may_call(load, now_s)
                if out and (not any_that_lives or standing.reason in PROBED):
                    continue
                if name in tried or (troubled and not self._breakers.allows(name, now_s)):
                    continue
                if load.unary:
                    load.settle(now_s)
                tokens = input_tokens
                if prefixes:
                    tokens = max(1, input_tokens - load.warm.tokens_of(prefixes))
                sums = load.others.joined(load, others, now_s) if others else load
                wait_s, prefill_s = load.timing.parts(sums, input_tokens, tokens, load.lengths.remaining_tokens)
                ramp_ratio = 1.0 if standing.ramp_from_s is None else standing.ramp_ratio(now_s, RAMP_S)
                predicted_s = load.fit.ttft_s(wait_s, prefill_s)
                candidates.append(
                    Candidate(replica, load.in_flight, predicted_s, wait_s, prefill_s, tokens, ramp_ratio, load.seed)
                )
            if candidates:
                break
        return candidates

    def _sent_to_measure(
        self, pool: Pool, now: PoolNow, candidates: list[Candidate], left_s: float | None
    ) -> Candidate | None:
        """The replica that is due, where this request is one that may go there."""
        for candidate in candidates:
            if candidate.replica.replica_id == now.due and may_go(
                candidate.predicted_ttft_s, pool.slo.ttft_p95_s, left_s
            ):
                self._loads.of(candidate.replica.replica_id).fit.doubt()
                now.due, now.asked = None, 0
                return candidate
        return None

    def place_of(self, profile: RequestProfile) -> Place | None:
        """Where the conversation that this request continues was answered last; None when it is a new one."""
        if len(profile.prefixes) < CONVERSATION_PREFIXES:
            return None
        return self.conversations.place_of(profile.prefixes, self._clock.monotonic_s())

    def eject(self, load: LiveLoad, reason: Reason, now_s: float, *, started_s: float | None = None) -> bool:
        """Takes it out of rotation; False when this is no news."""
        if not load.standing.eject(reason, now_s, started_s=started_s):
            return False
        self._metrics.count(load.pool, reason.value)
        name = next((one.replica_id for one, other in self._ready(load.pool) if other is load), None)
        log.warning("replica_ejected", replica=name, reason=reason.value, rest_s=load.standing.wait_s(now_s))
        if reason is Reason.GONE:
            load.warm.forget()
        return True

    def warm_tokens(self, pool: Pool, prefixes: tuple[Prefix, ...]) -> int:
        """How much of this prompt one of the pool's replicas has in its prefix cache."""
        return max((load.warm.tokens_of(prefixes) for _, load in self._ready(pool.name)), default=0)

    def others_than(self, load: LiveLoad, now_s: float) -> bool:
        """Whether another replica of its pool may be called."""
        return any(other is not load and other.standing.may_call(now_s) for _, other in self._ready(load.pool))

    def _ready(self, pool: str) -> tuple[tuple[Replica, LiveLoad], ...]:
        """The ready replicas of a pool; none of one that is not configured any more."""
        now = self._now.get(pool)
        return () if now is None else now.ready

    def tidy(self, now_s: float) -> None:
        """Once a second: corrections fade, and replicas that stand out from their pool go out of rotation."""
        elapsed_s = now_s - self._tidied_s
        if elapsed_s < TIDY_S:
            return
        self._tidied_s = now_s
        for _, load in self._loads.all():
            load.fit.fade(elapsed_s, now_s)
            load.standing.fade(elapsed_s)
        for now in self._now.values():
            if len(now.ready) > 1:
                conducts = [conduct_of(load) for _, load in now.ready]
                for index, reason in outliers(conducts):
                    self.eject(now.ready[index][1], reason, now_s)
                index_due = due([sight_of(load) for _, load in now.ready], now.asked, now_s)
                now.due = None if index_due is None else now.ready[index_due][0].replica_id

    def _absent(self, name: str, now: PoolNow, tried: frozenset[str], now_s: float) -> Skip:
        resting = [(replica.replica_id, load) for replica, load in now.ready if replica.replica_id not in tried]
        if resting:
            wait_s = min(
                max(self._breakers.retry_after_s(name, now_s), load.standing.wait_s(now_s)) for name, load in resting
            )
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
