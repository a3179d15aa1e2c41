"""KEDA as vLLM's production-stack sets it up: an operator between 0 and 1, its HPA from 1 on.

Sources: kedacore/keda `pkg/scaling/executor` (0 <-> 1, cooldown) and the HPA it creates (AverageValue);
production-stack `helm/values.yaml`: trigger `vllm:num_requests_waiting`, threshold 5, polling 15 s, cooldown 360 s, at
least 1 replica. The query of the chart matches nothing (`model=` where vLLM says `model_name=`), and would be an error
with two replicas (one series each); what is meant, and done here, is the sum.
"""

from __future__ import annotations

from controller.replay.baselines.hpa import SYNC_S, HpaLoop, external_metric_replicas
from controller.replay.baselines.pool_facts import PoolFacts
from controller.replay.simulation_types import Seen, Wish

COOLDOWN_S = 360.0


class KedaQueue:
    """One ScaledObject on the sum of waiting requests. The cooldown delays only the last step down, to none."""

    def __init__(self, facts: PoolFacts, threshold_waiting: float, *, to_zero: bool) -> None:
        self.name = "keda-queue-zero" if to_zero else "keda-queue"
        self.period_s = SYNC_S  # polling is as often
        self._threshold = threshold_waiting
        self._to_zero = to_zero and facts.economics.min_replicas == 0
        self._loop = HpaLoop(facts.economics)
        self._asleep = False
        self._active_at_s: float | None = None

    def step(self, seen: Seen, now_s: float) -> Wish:
        """One poll of the operator, and one sync of the HPA where there are replicas."""
        # Without a replica no engine counts anything, and this trigger alone would never wake the pool: mended here.
        active = seen.waiting > 0 or (seen.ready == 0 and seen.arrivals_per_s > 0)
        if active or self._active_at_s is None:
            self._active_at_s = now_s
        current = 0 if self._asleep else self._loop.spec.replicas(seen)
        idle = self._to_zero and not active
        if current > 0 and idle and now_s - self._active_at_s >= COOLDOWN_S:
            self._asleep = True
            return Wish(replicas=0, reason=f"inactive for {COOLDOWN_S:g} s")
        if current == 0 and idle:
            self._asleep = True
            return Wish(replicas=0, reason="inactive")
        if current == 0:
            self._asleep = False
            return self._loop.spec.wish(1, "activated")
        return self._loop.apply(external_metric_replicas(seen.waiting, self._threshold, current), seen, now_s)


def keda_queue(facts: PoolFacts, threshold_waiting: float) -> KedaQueue:
    """KEDA with `threshold_waiting` waiting requests per replica, and at least one replica, as the chart has it."""
    return KedaQueue(facts, threshold_waiting, to_zero=False)


def keda_queue_zero(facts: PoolFacts, threshold_waiting: float) -> KedaQueue:
    """The same allowed down to none: an empty queue counts as inactive, so a busy pool is put to sleep."""
    return KedaQueue(facts, threshold_waiting, to_zero=True)
