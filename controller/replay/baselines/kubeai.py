"""KubeAI's model autoscaler.

Source: substratusai/kubeai `internal/modelautoscaler/autoscaler.go` @ 14fd17fe and its model client: every 10 s the
mean of active requests over 10 minutes, in a buffer that is full of zeros at first, over 100 per replica; down after
30 s in which every check said so. Active are the requests in its proxy, those it holds for a cold start among them.
"""

from __future__ import annotations

from collections import deque

from controller.replay.baselines.pool_facts import PoolFacts, ReplicaSpec, whole
from controller.replay.simulation_types import Seen, Wish

CHECK_S = 10.0
WINDOW_CHECKS = 60
DOWN_CHECKS = 3


class KubeAi:
    """Mean active requests over a target; the window is its delay, up as well as down."""

    def __init__(self, facts: PoolFacts, target_requests: float) -> None:
        self.name = "kubeai"
        self.period_s = CHECK_S
        self._target = target_requests
        self._spec = ReplicaSpec(facts.economics)
        self._active = deque([0.0] * WINDOW_CHECKS, maxlen=WINDOW_CHECKS)
        self._downs = 0

    def step(self, seen: Seen, now_s: float) -> Wish:
        """One check; a request for a model at none starts the first replica without one."""
        del now_s
        self._active.append(seen.running + seen.waiting)
        current = self._spec.replicas(seen)
        wanted = self._spec.bounded(whole(sum(self._active) / WINDOW_CHECKS / self._target))
        if current == 0 and seen.arrivals_per_s > 0:
            wanted = max(1, wanted)
        if wanted >= current:
            self._downs = 0
            return self._spec.wish(wanted, "mean of active requests")
        if self._downs < DOWN_CHECKS:
            self._downs += 1
            return self._spec.wish(current, f"{self._downs} of {DOWN_CHECKS} checks for fewer")
        self._downs = 0
        return self._spec.wish(wanted, "checks agreed on fewer")


def kubeai(facts: PoolFacts, target_requests: float) -> KubeAi:
    """KubeAI with `target_requests` per replica."""
    return KubeAi(facts, target_requests)
