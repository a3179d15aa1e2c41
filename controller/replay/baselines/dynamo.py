"""NVIDIA Dynamo's planner for engines that do prefill and decode together ("agg"): easy mode and SLA mode.

Sources: ai-dynamo/dynamo `components/src/dynamo/planner/core/load_scaling.py` @ 936d8195, `throughput_scaling.py`
@ 0c9050c9: load loop 5 s, which only watches while a scaling is in progress; thresholds 1.0 and 0.6 of the KV cache in
easy mode; 80 % of the SLA to shrink in SLA mode; throughput plan every 180 s, which is a floor under the load loop.
Its ARIMA is stood in for by its Kalman option (level and trend, q 1.0/0.1, r 10, from 5 points on). Its regression of
step times on forward passes is stood in for by the step times themselves, which is what it would find.
"""

from __future__ import annotations

import math

from controller.replay.baselines.pool_facts import PoolFacts, ReplicaSpec, whole
from controller.replay.baselines.windows import Window
from controller.replay.simulation_types import Seen, Wish

LOAD_S = 5.0
PLAN_S = 180.0
EASY_DOWN_RATIO = 0.6
SLA_DOWN_RATIO = 0.8
KALMAN_Q_LEVEL = 1.0
KALMAN_Q_TREND = 0.1
KALMAN_R = 10.0
KALMAN_POINTS = 5


class Easy:
    """One more when any engine's tokens, queued prompts too, exceed the threshold; one fewer when all are calm."""

    def __init__(self, facts: PoolFacts, up_ratio: float) -> None:
        self.name = "dynamo-easy"
        self.period_s = LOAD_S
        self._up_ratio = up_ratio
        self._kv_tokens = facts.kv_tokens
        self._spec = ReplicaSpec(facts.economics, at_least=1)

    def step(self, seen: Seen, now_s: float) -> Wish:
        """One turn of the load loop."""
        del now_s
        current = self._spec.replicas(seen)
        if seen.ready == 0 or seen.ready != current:
            return self._spec.wish(max(1, current), "scaling in progress: observing")
        used = [kv + waiting * seen.input_tokens_mean / self._kv_tokens for waiting, kv in engines(seen)]
        if max(used) > self._up_ratio:
            return self._spec.wish(current + 1, f"an engine is at {max(used):.2f}")
        if current > 1 and max(used) < EASY_DOWN_RATIO * self._up_ratio:
            return self._spec.wish(current - 1, f"all engines are below {max(used):.2f}")
        return self._spec.wish(current, "between the thresholds")


class Sla:
    """A plan from the forecast rate as the floor; above it one more when all engines would miss the SLA."""

    def __init__(self, facts: PoolFacts, profiled_use_ratio: float) -> None:
        self.name = "dynamo-sla"
        self.period_s = LOAD_S
        self._facts = facts
        self._engine_per_s = profiled_use_ratio * facts.economics.replica_requests_per_s
        self._spec = ReplicaSpec(facts.economics, at_least=1)
        self._rate = Window(PLAN_S)
        self._forecast = LevelAndTrend()
        self._planned_at_s: float | None = None
        self._floor = 1

    def step(self, seen: Seen, now_s: float) -> Wish:
        """One turn of the load loop, and of the plan when it is time."""
        self._rate.add(seen.arrivals_per_s, now_s)
        if self._planned_at_s is None or now_s - self._planned_at_s >= PLAN_S:
            self._planned_at_s = now_s
            self._floor = max(1, whole(self._forecast.next_after(self._rate.mean) / self._engine_per_s))
        current = self._spec.replicas(seen)
        if seen.ready == 0 or seen.ready != current:
            return self._spec.wish(max(1, current), "scaling in progress: observing")
        return self._spec.wish(max(self._floor, current + self._load_step(seen, current)), f"floor {self._floor}")

    def _load_step(self, seen: Seen, current: int) -> int:
        """-1, 0 or 1 by what the next request would find at each engine."""
        ttfts_s = [self._ttft_s(waiting, kv, seen) for waiting, kv in engines(seen)]
        itl_s = seen.tpot_mean_s if seen.tpot_mean_s is not None else 0.0
        if min(ttfts_s) > self._facts.ttft_slo_s or itl_s > self._facts.tpot_slo_s:
            return 1
        calm = (
            max(ttfts_s) < SLA_DOWN_RATIO * self._facts.ttft_slo_s and itl_s < SLA_DOWN_RATIO * self._facts.tpot_slo_s
        )
        return -1 if calm and current > 1 else 0

    def _ttft_s(self, waiting: float, kv: float, seen: Seen) -> float:
        """The time of the steps that prefill the queue and one prompt more, with the decodes of now beside them."""
        tokens = (waiting + 1) * seen.input_tokens_mean
        steps = max(1, math.ceil(tokens / self._facts.max_num_batched_tokens))
        decodes = round(seen.running / seen.ready)
        return steps * self._facts.steps.step_s(decodes, round(kv * self._facts.kv_tokens), round(tokens / steps))


class LevelAndTrend:
    """A Kalman filter of a level that drifts with a trend, which drifts too."""

    def __init__(self) -> None:
        self._level = 0.0
        self._trend = 0.0
        self._p = (1.0, 0.0, 1.0)  # variance of the level, covariance, variance of the trend
        self._points = 0

    def next_after(self, value: float) -> float:
        """Take a value in; the one expected next. The value itself while there are few points."""
        self._points += 1
        if self._points == 1:
            self._level = value
            return value
        a, b, d = self._p
        level, trend = self._level + self._trend, self._trend
        a, b, d = a + 2 * b + d + KALMAN_Q_LEVEL, b + d, d + KALMAN_Q_TREND
        gain_level, gain_trend = a / (a + KALMAN_R), b / (a + KALMAN_R)
        surprise = value - level
        self._level, self._trend = level + gain_level * surprise, trend + gain_trend * surprise
        self._p = ((1 - gain_level) * a, (1 - gain_level) * b, d - gain_trend * b)
        return value if self._points < KALMAN_POINTS else max(0.0, self._level + self._trend)


def engines(seen: Seen) -> list[tuple[float, float]]:
    """(waiting, KV ratio) of each ready engine; of one that stands for all where all are alike."""
    if seen.per_replica:
        return [(waiting, kv) for _, waiting, kv in seen.per_replica]
    return [(seen.waiting / seen.ready, seen.kv_usage_ratio)]


def dynamo_easy(facts: PoolFacts, up_ratio: float) -> Easy:
    """Easy mode, growing from `up_ratio` of the KV cache on and shrinking below 0.6 of that."""
    return Easy(facts, up_ratio)


def dynamo_sla(facts: PoolFacts, profiled_use_ratio: float) -> Sla:
    """SLA mode with that share of the rate at the SLO as the profiled rate of an engine."""
    return Sla(facts, profiled_use_ratio)
