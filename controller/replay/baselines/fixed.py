"""No autoscaler at all: a count fixed in hindsight, or none of our own."""

from __future__ import annotations

from controller.replay.baselines.pool_facts import PoolFacts, whole
from controller.replay.oracle import constant_best
from controller.replay.simulation_types import Seen, Wish

PERIOD_S = 60.0  # nothing changes; the first step is what counts


class Fixed:
    """Always the same count; `spill_ratio` as of `Wish`."""

    def __init__(self, name: str, replicas: int, spill_ratio: float | None = None) -> None:
        self.name = name
        self.period_s = PERIOD_S
        self._wish = Wish(replicas=replicas, spill_ratio=spill_ratio, reason="fixed")

    def step(self, seen: Seen, now_s: float) -> Wish:
        """The count that never changes."""
        del seen, now_s
        return self._wish


def static_peak(facts: PoolFacts, share_of_peak: float) -> Fixed:
    """Enough for `share_of_peak` of the highest slot of the whole run: what is bought without autoscaling."""
    economics = facts.economics
    wanted = whole(share_of_peak * max(facts.hindsight.rates_per_s) / economics.replica_requests_per_s)
    return Fixed("static-peak", min(max(wanted, economics.min_replicas), economics.max_replicas))


def static_best(facts: PoolFacts, share_of_best: float) -> Fixed:
    """The constant that costs least in hindsight when all above it is spilled, times `share_of_best`."""
    economics = facts.economics
    curve = facts.hindsight
    best = int(constant_best(curve.rates_per_s, curve.slot_s, economics).replicas[0])
    return Fixed("static-best", min(max(round(best * share_of_best), economics.min_replicas), economics.max_replicas))


def all_external(facts: PoolFacts, share_spilled: float) -> Fixed:
    """No replica but those that must be, and `share_spilled` of the requests sent away."""
    return Fixed("all-external", facts.economics.min_replicas, spill_ratio=share_spilled)
