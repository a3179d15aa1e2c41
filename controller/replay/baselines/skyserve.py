"""SkyServe's request rate autoscaler.

Source: skypilot-org/skypilot `sky/serve/autoscalers.py` @ 4b81f5d0, `constants.py`: a decision every 20 s (5 s at
none), rate over 60 s, up after 300 s (15 decisions in a row), down after 1200 s (60). Its variant that mixes spot with
on-demand replicas is not here: pools have one price.
"""

from __future__ import annotations

from controller.replay.baselines.pool_facts import PoolFacts, ReplicaSpec, whole
from controller.replay.baselines.windows import Agreement, Window, direction
from controller.replay.simulation_types import Seen, Wish

DECISION_S = 20.0
RATE_WINDOW_S = 60.0
UP_DECISIONS = 15
DOWN_DECISIONS = 60


class SkyServe:
    """Requests per second over a target per replica; the target count is its own, so starting replicas count."""

    def __init__(self, facts: PoolFacts, target_use_ratio: float) -> None:
        self.name = "skyserve"
        self.period_s = DECISION_S
        self._target_per_s = target_use_ratio * facts.economics.replica_requests_per_s
        self._spec = ReplicaSpec(facts.economics)
        self._rate = Window(RATE_WINDOW_S)
        self._agreement = Agreement()

    def step(self, seen: Seen, now_s: float) -> Wish:
        """One decision."""
        self._rate.add(seen.arrivals_per_s - seen.spilled_per_s, now_s)
        target = self._spec.replicas(seen)
        desired = self._spec.bounded(whole(self._rate.mean / self._target_per_s))
        if target == 0:
            return self._spec.wish(desired, "from none: at once")
        way = direction(desired, target)
        self._agreement.lasting_s(way, now_s)
        if way == 0 or self._agreement.steps < (UP_DECISIONS if way > 0 else DOWN_DECISIONS):
            return self._spec.wish(target, f"{self._agreement.steps} decisions for {desired}")
        self._agreement.reset()
        return self._spec.wish(desired, "decided often enough")


def skyserve(facts: PoolFacts, target_use_ratio: float) -> SkyServe:
    """SkyServe with `target_qps_per_replica` at that share of what a replica bears."""
    return SkyServe(facts, target_use_ratio)
