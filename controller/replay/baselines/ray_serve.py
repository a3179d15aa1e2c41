"""Ray Serve's queue length policy.

Source: ray-project/ray `python/ray/serve/autoscaling_policy.py` @ 00590c45; defaults of `AutoscalingConfig`: 2 ongoing
requests per replica, look back 30 s, metrics every 10 s, a wish up must stand 30 s and a wish down 600 s. The control
loop runs every 0.1 s; as nothing changes between two metrics, it runs with them here, and delays count in time.
"""

from __future__ import annotations

from controller.replay.baselines.pool_facts import PoolFacts, ReplicaSpec, whole
from controller.replay.baselines.windows import Agreement, Window, direction
from controller.replay.simulation_types import Seen, Wish

METRICS_S = 10.0
LOOK_BACK_S = 30.0
UP_DELAY_S = 30.0
DOWN_DELAY_S = 600.0
DEFAULT_ONGOING = 2.0


class RayServe:
    """Ongoing requests (running and queued) over a target; the target count includes what starts."""

    def __init__(self, facts: PoolFacts, target_ongoing: float) -> None:
        self.name = "ray-serve"
        self.period_s = METRICS_S
        self._target = target_ongoing
        self._spec = ReplicaSpec(facts.economics)
        self._ongoing = Window(LOOK_BACK_S)
        self._agreement = Agreement()

    def step(self, seen: Seen, now_s: float) -> Wish:
        """One look at new metrics."""
        target = self._spec.replicas(seen)
        ongoing = seen.running + seen.waiting
        self._ongoing.add(ongoing, now_s)
        if seen.ready == 0:  # from none it goes to one at once, whatever waits
            wakes = ongoing > 0 or seen.arrivals_per_s > 0
            return self._spec.wish(max(1, target) if wakes else target, "cold start")
        desired = whole(self._ongoing.mean / self._target)
        if target > 1:
            desired = max(desired, 1)  # none is reached from one alone
        desired = self._spec.bounded(desired)
        way = direction(desired, target)
        lasting_s = self._agreement.lasting_s(way, now_s)
        if way == 0 or lasting_s < (UP_DELAY_S if way > 0 else DOWN_DELAY_S):
            return self._spec.wish(target, f"would be {desired}")
        self._agreement.reset()
        return self._spec.wish(desired, f"wished for {lasting_s:g} s")


def ray_serve(facts: PoolFacts, target_ongoing: float) -> RayServe:
    """Ray Serve with `target_ongoing` requests per replica."""
    return RayServe(facts, target_ongoing)
