"""MArk: a plan from a forecast, serverless for what the plan cannot bear. The strongest prior art with a valve.

Source: Zhang et al., "MArk: Exploiting Cloud Services for Cost-Effective, SLO-Aware Machine Learning Inference
Serving", USENIX ATC 2019: every minute a plan for the greatest short-term rate that is forecast, with headroom 1.2;
instances by `(price * span + launch overhead) / requests served`, the overhead 180 s of price, against the price of
serverless; an instance goes only when the greatest of the last 6 plans agrees. Its serverless takes, request by
request, what its instances cannot: run it with the valve. The LSTM is stood in for by two forecasts mixed by how well
they did lately: the trend of ten minutes, and yesterday's change at this time.
"""

from __future__ import annotations

import math
from collections import deque

from controller.replay.baselines.pool_facts import ROUNDING, PoolFacts, ReplicaSpec
from controller.replay.baselines.windows import Window
from controller.replay.simulation_types import Economics, Seen, Wish

SCRAPE_S = 15.0
PLAN_S = 60.0
SPAN_S = 600.0
LAUNCH_S = 180.0
AGREEING_PLANS = 6
DAY_MINUTES = 24 * 60
RECENT_MINUTES = 5
ERROR_MEMORY = 0.98  # of a minute ago; half is forgotten in 34 minutes


class Mark:
    """Plans instances for the forecast peak; leaves the marginal one to serverless where that is cheaper."""

    def __init__(self, facts: PoolFacts, headroom: float) -> None:
        self.name = "mark"
        self.period_s = SCRAPE_S
        self._economics = facts.economics
        self._headroom = headroom
        self._spec = ReplicaSpec(facts.economics)
        self._minute = Window(PLAN_S)
        self._forecast = PeakForecast(horizon_minutes=max(1, math.ceil(facts.economics.cold_start_s / PLAN_S)))
        self._plans: deque[int] = deque(maxlen=AGREEING_PLANS)
        self._planned_at_s: float | None = None

    def step(self, seen: Seen, now_s: float) -> Wish:
        """Watch; once a minute, plan."""
        self._minute.add(seen.arrivals_per_s, now_s)
        current = self._spec.replicas(seen)
        if self._planned_at_s is not None and now_s - self._planned_at_s < PLAN_S:
            return self._spec.wish(current, "watching")
        self._planned_at_s = now_s
        peak_per_s = self._forecast.after(self._minute.highest)
        self._plans.append(planned(self._economics, peak_per_s * self._headroom, current))
        wanted = max(self._plans[-1], min(current, max(self._plans)))
        return self._spec.wish(wanted, f"peak of {peak_per_s:.2f}/s is forecast")


def planned(economics: Economics, rate_per_s: float, current: int) -> int:
    """Instances that are cheaper than serverless for their own slice of the rate; new ones pay for their launch."""
    slices = rate_per_s / economics.replica_requests_per_s
    full = math.floor(slices + ROUNDING)
    rest = slices - full
    for n, use in ((full + 1, rest), (full, 1.0)):
        span_s = SPAN_S + (LAUNCH_S if n > current else 0.0)
        served = use * economics.replica_requests_per_s * SPAN_S
        if use > ROUNDING and economics.replica_usd_per_s * span_s <= economics.spill_usd_per_request * served:
            return n
    return 0


class PeakForecast:
    """The greatest rate of a minute some minutes ahead, from those of the minutes before."""

    def __init__(self, horizon_minutes: int) -> None:
        self._horizon = horizon_minutes
        self._peaks: deque[float] = deque(maxlen=DAY_MINUTES + RECENT_MINUTES)
        self._made: deque[tuple[float, float]] = deque(maxlen=horizon_minutes)
        self._errors = [1.0, 1.0]

    def after(self, peak: float) -> float:
        """Take the last minute's peak in; the forecast."""
        if len(self._made) == self._horizon:
            for way, forecast in enumerate(self._made[0]):
                self._errors[way] = ERROR_MEMORY * self._errors[way] + (1 - ERROR_MEMORY) * (forecast - peak) ** 2
        self._peaks.append(peak)
        made = (self._by_trend(), self._by_yesterday())
        self._made.append(made)
        trusted, other = self._errors[1] + ROUNDING, self._errors[0] + ROUNDING
        return (made[0] * trusted + made[1] * other) / (trusted + other)

    def _by_trend(self) -> float:
        """The mean of five minutes, moved on as it moved since the five before."""
        recent = self._mean(0)
        slope = (
            (recent - self._mean(RECENT_MINUTES)) / RECENT_MINUTES if len(self._peaks) >= 2 * RECENT_MINUTES else 0.0
        )
        return max(0.0, recent + slope * self._horizon)

    def _by_yesterday(self) -> float:
        """The mean of five minutes, changed as it changed from this time yesterday on; unchanged on the first day."""
        recent = self._mean(0)
        if len(self._peaks) < DAY_MINUTES + RECENT_MINUTES:
            return recent
        then = self._mean(DAY_MINUTES)
        return recent * self._mean(DAY_MINUTES - self._horizon) / then if then > 0 else recent

    def _mean(self, minutes_ago: int) -> float:
        end = len(self._peaks) - minutes_ago
        values = [self._peaks[at] for at in range(max(0, end - RECENT_MINUTES), end)]
        return sum(values) / len(values)


def mark(facts: PoolFacts, headroom: float) -> Mark:
    """MArk with that headroom over the forecast."""
    return Mark(facts, headroom)
