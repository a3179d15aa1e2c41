"""Kubernetes' horizontal pod autoscaler v2: its two rules for metrics of LLM pools, and the loop around them.

Sources: kubernetes/kubernetes `pkg/controller/podautoscaler/replica_calculator.go` and `horizontal.go` @ 00067268,
19e8ce76; defaults of `autoscaling/v2`: sync 15 s, tolerance 0.1, up at once by at most the greater of 4 pods and 100 %
per 15 s, down to the greatest recommendation of the last 300 s.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from controller.replay.baselines.pool_facts import PoolFacts, ReplicaSpec, whole
from controller.replay.baselines.windows import Window
from controller.replay.simulation_types import Economics, Seen, Wish

SYNC_S = 15.0
TOLERANCE_RATIO = 0.1
UP_PODS = 4
UP_RATIO = 1.0
UP_PERIOD_S = 15.0
DOWN_STABILIZATION_S = 300.0


def pods_metric_replicas(mean: float, target: float, *, ready: int, starting: int) -> int | None:
    """The rule for a metric of pods, of which only ready ones report; None, which means hold, when none does.

    Pods without the metric count as 0 where the ready ones alone ask for more, and as at the target where they ask for
    less; a change of direction by that means hold.
    """
    if ready == 0:
        return None
    current = ready + starting
    ratio = mean / target
    if starting == 0:
        return current if abs(ratio - 1) <= TOLERANCE_RATIO else whole(ratio * ready)
    filled = ratio * ready + (starting if ratio < 1 else 0)  # in targets
    corrected = filled / current
    if abs(corrected - 1) <= TOLERANCE_RATIO or ratio > 1 > corrected:
        return current
    return whole(filled)


def external_metric_replicas(total: float, target: float, replicas: int) -> int:
    """The rule for an external metric with a target per pod (AverageValue): all pods count, those that start too."""
    if abs(total / (target * replicas) - 1) <= TOLERANCE_RATIO:
        return replicas
    return whole(total / target)


class HpaLoop:
    """What the controller does with a recommendation: stabilization windows, scale policies, bounds."""

    def __init__(self, economics: Economics, least: int = 1) -> None:
        self.spec = ReplicaSpec(economics, at_least=least)
        self._recommended: Window | None = None
        self._changes: deque[tuple[float, int]] = deque()

    def apply(self, recommended: int | None, seen: Seen, now_s: float, least: int = 0) -> Wish:
        """Move the count toward a recommendation (None: the metric is missing), and at least to `least`."""
        current = self.spec.replicas(seen)
        if self._recommended is None:  # the first count a controller sees is kept for a whole window
            self._recommended = Window(DOWN_STABILIZATION_S)
            self._recommended.add(current, now_s)
        if recommended is None:
            return self.spec.wish(max(current, least), "metric missing: hold")
        self._recommended.add(recommended, now_s)
        wanted = max(recommended, least, min(current, int(self._recommended.highest)))
        if wanted > current:
            wanted = min(wanted, max(current, self._up_limit(current, now_s)))
        wish = self.spec.wish(wanted, f"recommended {recommended}")
        if wish.replicas != current:
            self._changes.append((now_s, wish.replicas - current))
        return wish

    def _up_limit(self, current: int, now_s: float) -> int:
        """How far up the scale policies allow, from the count at the start of their period."""
        while self._changes and self._changes[0][0] < now_s - UP_PERIOD_S:
            self._changes.popleft()
        start = current - sum(change for _, change in self._changes)
        return max(start + UP_PODS, whole(start * (1 + UP_RATIO)))


@dataclass(slots=True, kw_only=True)
class Hpa:
    """One horizontal pod autoscaler on one metric. `metric` gives its recommendation, None where it has no value."""

    name: str
    loop: HpaLoop
    metric: Callable[[Seen, int], int | None]
    period_s: float = SYNC_S

    def step(self, seen: Seen, now_s: float) -> Wish:
        """One sync. A workload at zero is left alone, as the controller does."""
        current = self.loop.spec.replicas(seen)
        if current == 0:
            return self.loop.spec.wish(0, "at zero: off")
        return self.loop.apply(self.metric(seen, current), seen, now_s)


def hpa_kv(facts: PoolFacts, target_ratio: float) -> Hpa:
    """On the KV cache use of pods: a gauge that ends at 1, so a cold start brings at most 1/target times as many."""

    def metric(seen: Seen, current: int) -> int | None:
        return pods_metric_replicas(
            seen.kv_usage_ratio, target_ratio, ready=seen.ready, starting=max(0, current - seen.ready)
        )

    return Hpa(name=f"hpa-kv-{target_ratio:g}", loop=HpaLoop(facts.economics), metric=metric)


def hpa_queue(facts: PoolFacts, target_waiting: float) -> Hpa:
    """On requests waiting per pod: it asks for nothing while the queue is empty, however busy the pods are."""

    def metric(seen: Seen, current: int) -> int | None:
        mean = seen.waiting / seen.ready if seen.ready else 0.0
        return pods_metric_replicas(mean, target_waiting, ready=seen.ready, starting=max(0, current - seen.ready))

    return Hpa(name="hpa-queue", loop=HpaLoop(facts.economics), metric=metric)


def hpa_rate(facts: PoolFacts, target_use_ratio: float) -> Hpa:
    """On the request rate the gateway counts, at `target_use_ratio` of what a replica bears: the sound form of HPA."""
    target_per_s = target_use_ratio * facts.economics.replica_requests_per_s

    def metric(seen: Seen, current: int) -> int | None:
        return external_metric_replicas(seen.arrivals_per_s, target_per_s, current)

    return Hpa(name="hpa-rate", loop=HpaLoop(facts.economics), metric=metric)
