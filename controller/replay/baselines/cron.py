"""A timetable of least counts over an HPA: what AIBrix (`spec.schedules`), KEDA's cron trigger and WVA's bounds offer.

An operator writes the timetable from what the first days looked like: per hour of the day the mean demand, at the use
the HPA is set to, and from one cold start before the hour on.
"""

from __future__ import annotations

from controller.replay.baselines.hpa import SYNC_S, HpaLoop, external_metric_replicas
from controller.replay.baselines.pool_facts import PoolFacts, whole
from controller.replay.simulation_types import Curve, Seen, Wish

HOUR_S = 3600.0
DAY_S = 86_400.0
STUDIED_DAYS = 3


class CronHpa:
    """HPA on the request rate, with a least count by the hour."""

    def __init__(self, facts: PoolFacts, target_use_ratio: float) -> None:
        self.name = "cron-hpa"
        self.period_s = SYNC_S
        self._target_per_s = target_use_ratio * facts.economics.replica_requests_per_s
        self._ahead_s = facts.economics.cold_start_s
        self._loop = HpaLoop(facts.economics)
        self._least = [whole(rate / self._target_per_s) for rate in hourly_mean(facts.hindsight)]

    def step(self, seen: Seen, now_s: float) -> Wish:
        """One sync, with the greater of this hour's least and that of the time a cold start away."""
        current = max(1, self._loop.spec.replicas(seen))
        recommended = external_metric_replicas(seen.arrivals_per_s, self._target_per_s, current)
        least = max(self._at(now_s), self._at(now_s + self._ahead_s))
        return self._loop.apply(recommended, seen, now_s, least=least)

    def _at(self, time_s: float) -> int:
        return self._least[int(time_s % DAY_S // HOUR_S)] if self._least else 0


def hourly_mean(curve: Curve) -> list[float]:
    """Mean rate by hour of the day over the first three days; nothing where the curve is shorter than a day."""
    if curve.duration_s < DAY_S:
        return []
    sums, slots = [0.0] * 24, [0] * 24
    for slot in range(int(min(curve.duration_s, STUDIED_DAYS * DAY_S) / curve.slot_s)):
        hour = int(slot * curve.slot_s % DAY_S // HOUR_S)
        sums[hour] += float(curve.rates_per_s[slot])
        slots[hour] += 1
    return [total / count if count else 0.0 for total, count in zip(sums, slots, strict=True)]


def cron_hpa(facts: PoolFacts, target_use_ratio: float) -> CronHpa:
    """Timetable and HPA, both for that use of a replica."""
    return CronHpa(facts, target_use_ratio)
