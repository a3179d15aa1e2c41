"""llm-d's workload variant autoscaler (WVA): the saturation rule V1 (its default) and the token rule V2.

Sources: llm-d/llm-d-workload-variant-autoscaler, V1 `internal/capacity/analyzer.go` @ b3ca6d2c with the later rule that
nothing moves while a replica is on its way; V2 `internal/engines/analyzers/saturation_v2/analyzer.go` @ b28a4f66 and
`internal/engines/pipeline/cost_aware_optimizer.go` @ 74afe4ce. Engine loop 30 s, metrics `max_over_time[1m]`.
The HPA that carries its count out (`config/samples/hpa-integration.yaml`: no stabilization, 10 pods per 15 s) is left
out, which favours it: that HPA's tolerance of 10 % would swallow one replica more where there are ten.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable

from controller.replay.baselines.pool_facts import ROUNDING, PoolFacts, ReplicaSpec, whole
from controller.replay.baselines.windows import Window
from controller.replay.simulation_types import Seen, Wish

LOOP_S = 30.0
LOOK_BACK_S = 60.0
KV_SATURATED_RATIO = 0.80
QUEUE_SATURATED = 5.0
KV_SPARE_RATIO = 0.10
QUEUE_SPARE = 3.0
LEAST_UNSATURATED = 2  # replicas, to shrink at all
UP_USE_RATIO = 0.85
DOWN_USE_RATIO = 0.70
REMEMBERED = 10  # capacities seen, per bucket of output lengths


class SaturationV1:
    """One more when the replicas that are not saturated have little to spare; never two at a time."""

    def __init__(self, facts: PoolFacts, kv_saturated_ratio: float) -> None:
        self.name = "wva-v1"
        self.period_s = LOOP_S
        self._kv_saturated = kv_saturated_ratio
        self._spec = ReplicaSpec(facts.economics, at_least=1)
        self._peaks = ReplicaPeaks()

    def step(self, seen: Seen, now_s: float) -> Wish:
        """One turn of the engine loop."""
        current = self._spec.replicas(seen)
        self._peaks.add(seen, now_s)
        if seen.ready == 0 or seen.ready != current:
            return self._spec.wish(max(1, current), "in transition: hold")
        replicas = self._peaks.replicas(seen)
        calm = [(kv, waiting) for waiting, kv in replicas if kv < self._kv_saturated and waiting < QUEUE_SATURATED]
        if not self._spares(calm, len(calm)):
            return self._spec.wish(current + 1, f"spare is low in {len(calm)} unsaturated replicas")
        if len(calm) >= LEAST_UNSATURATED and self._spares(calm, len(calm) - 1):
            return self._spec.wish(current - 1, "one fewer keeps enough to spare")
        return self._spec.wish(current, "enough to spare")

    def _spares(self, calm: Iterable[tuple[float, float]], replicas: int) -> bool:
        """Whether the load of `calm` leaves the triggers alone when borne by that many replicas."""
        if replicas == 0:
            return False
        loads = list(calm)
        kv = self._kv_saturated - sum(kv for kv, _ in loads) / replicas
        queue = QUEUE_SATURATED - sum(waiting for _, waiting in loads) / replicas
        return kv >= KV_SPARE_RATIO and queue >= QUEUE_SPARE


class TokensV2:
    """Tokens in use and waiting, over the tokens a replica can hold busy; pending replicas count as supply."""

    def __init__(self, facts: PoolFacts, up_use_ratio: float) -> None:
        self.name = "wva-v2"
        self.period_s = LOOP_S
        self._facts = facts
        self._up_use_ratio = up_use_ratio
        self._spec = ReplicaSpec(facts.economics, at_least=1)
        self._peaks = ReplicaPeaks()
        self._seen_tokens: dict[str, deque[float]] = {}

    def step(self, seen: Seen, now_s: float) -> Wish:
        """One turn of the engine loop."""
        current = self._spec.replicas(seen)
        self._peaks.add(seen, now_s)
        if seen.ready == 0:
            return self._spec.wish(max(1, current), "metric missing: hold")
        demand = 0.0
        capacities = []
        for waiting, kv in self._peaks.replicas(seen):
            in_use = kv * self._facts.kv_tokens
            demand += in_use + math.floor(waiting) * seen.input_tokens_mean
            memory_bound = KV_SATURATED_RATIO * self._facts.kv_tokens
            capacities.append(min(memory_bound, self._compute_bound(waiting, in_use, seen, memory_bound)))
        capacity = sorted(capacities)[len(capacities) // 2]
        ready = min(seen.ready, current)
        missing = demand / self._up_use_ratio - current * capacity
        spare = ready * capacity - demand / (DOWN_USE_RATIO * self._up_use_ratio / UP_USE_RATIO)
        if missing > 0:
            return self._spec.wish(current + whole(missing / capacity), f"{missing:.0f} tokens short")
        removable = math.floor(spare / capacity + ROUNDING) if spare > 0 else 0
        return self._spec.wish(max(1, current - removable), f"{max(spare, 0.0):.0f} tokens to spare")

    def _compute_bound(self, waiting: float, in_use: float, seen: Seen, otherwise: float) -> float:
        """Tokens in use when the queue is long; else the mean of those seen, else derived from engine arguments."""
        bucket = _output_bucket(seen.output_tokens_mean)
        if waiting >= QUEUE_SATURATED and in_use > 0:
            self._seen_tokens.setdefault(bucket, deque(maxlen=REMEMBERED)).append(in_use)
            return in_use
        if remembered := self._seen_tokens.get(bucket):
            return sum(remembered) / len(remembered)
        tokens_in, tokens_out = seen.input_tokens_mean, seen.output_tokens_mean
        if tokens_out <= 0:
            return otherwise
        decodes = self._facts.max_num_batched_tokens * tokens_out / (tokens_in + tokens_out)
        return min(decodes, self._facts.max_num_seqs) * (tokens_in + tokens_out / 2)


class ReplicaPeaks:
    """The highest queue and KV use of each replica within the look back, by place.

    Where replicas are all alike only sums are kept, and spread over those that are ready now: a queue of one replica is
    not the queue of each of seven that have just come.
    """

    def __init__(self) -> None:
        self._waiting: list[Window] = []
        self._kv: list[Window] = []

    def add(self, seen: Seen, now_s: float) -> None:
        """Take one scrape in."""
        values = [(waiting, kv) for _, waiting, kv in seen.per_replica]
        if not values:
            values = [(seen.waiting, seen.kv_usage_ratio * seen.ready)]
        while len(self._kv) < len(values):
            self._waiting.append(Window(LOOK_BACK_S))
            self._kv.append(Window(LOOK_BACK_S))
        del self._kv[len(values) :], self._waiting[len(values) :]
        for (waiting, kv), waiting_window, kv_window in zip(values, self._waiting, self._kv, strict=True):
            waiting_window.add(waiting, now_s)
            kv_window.add(kv, now_s)

    def replicas(self, seen: Seen) -> list[tuple[float, float]]:
        """(waiting, KV ratio) of each ready replica."""
        peaks = [(w.highest, kv.highest) for w, kv in zip(self._waiting, self._kv, strict=True)]
        if seen.per_replica:
            return peaks
        waiting, kv = peaks[0]
        return [(waiting / seen.ready, min(1.0, kv / seen.ready))] * seen.ready


def _output_bucket(tokens: float) -> str:
    return "short" if tokens < 100 else "medium" if tokens < 500 else "long"


def wva_v1(facts: PoolFacts, kv_saturated_ratio: float) -> SaturationV1:
    """V1, saturated from `kv_saturated_ratio` of the KV cache on."""
    return SaturationV1(facts, kv_saturated_ratio)


def wva_v2(facts: PoolFacts, up_use_ratio: float) -> TokensV2:
    """V2, growing from `up_use_ratio` of its supply on, shrinking below 0.70/0.85 of that."""
    return TokensV2(facts, up_use_ratio)
