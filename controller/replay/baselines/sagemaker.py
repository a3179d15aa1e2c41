"""SageMaker's target tracking on invocations per instance.

Source: AWS documentation of Application Auto Scaling target tracking and of `SageMakerVariantInvocationsPerInstance`:
one value a minute; out when 3 of 3 minutes are above the target, in when 15 of 15 are below 90 % of it; cooldowns of
300 s each, a way in waits for both, a way out only for its own. While an endpoint updates it takes no new order.
"""

from __future__ import annotations

from controller.replay.baselines.pool_facts import PoolFacts, ReplicaSpec, whole
from controller.replay.baselines.windows import Window
from controller.replay.simulation_types import Seen, Wish

MINUTE_S = 60.0
OUT_MINUTES = 3
IN_MINUTES = 15
IN_BAND_RATIO = 0.9
COOLDOWN_S = 300.0


class SageMaker:
    """Invocations per minute and instance, held near a target by two alarms. It cannot leave zero itself: least 1."""

    def __init__(self, facts: PoolFacts, target_use_ratio: float) -> None:
        self.name = "sagemaker"
        self.period_s = MINUTE_S
        self._target_per_min = target_use_ratio * facts.economics.replica_requests_per_s * MINUTE_S
        self._spec = ReplicaSpec(facts.economics, at_least=1)
        self._out = Window(OUT_MINUTES * MINUTE_S)
        self._in = Window(IN_MINUTES * MINUTE_S)
        self._minutes = 0
        self._out_at_s: float | None = None
        self._in_at_s: float | None = None

    def step(self, seen: Seen, now_s: float) -> Wish:
        """One minute."""
        current = self._spec.replicas(seen)
        if seen.ready == 0:
            return self._spec.wish(max(1, current), "metric missing: hold")
        ratio = (seen.arrivals_per_s - seen.spilled_per_s) * MINUTE_S / seen.ready / self._target_per_min
        self._minutes += 1
        self._out.add(ratio, now_s)
        self._in.add(ratio, now_s)
        if seen.ready != current:
            return self._spec.wish(current, "updating: hold")
        if self._minutes >= OUT_MINUTES and self._out.lowest > 1 and _past(self._out_at_s, now_s):
            self._out_at_s = now_s
            return self._spec.wish(whole(current * ratio), "alarm high")
        quiet = _past(self._out_at_s, now_s) and _past(self._in_at_s, now_s)
        if self._minutes >= IN_MINUTES and self._in.highest < IN_BAND_RATIO and quiet:
            self._in_at_s = now_s
            return self._spec.wish(whole(current * ratio), "alarm low")
        return self._spec.wish(current, "no alarm")


def _past(at_s: float | None, now_s: float) -> bool:
    return at_s is None or now_s - at_s >= COOLDOWN_S


def sagemaker(facts: PoolFacts, target_use_ratio: float) -> SageMaker:
    """SageMaker with a target at that share of what an instance bears."""
    return SageMaker(facts, target_use_ratio)
