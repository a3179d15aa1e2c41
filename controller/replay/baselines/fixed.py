"""No autoscaler at all: a count fixed in hindsight, or none of our own."""

from __future__ import annotations

from collections.abc import Sequence

from controller.replay.baselines.pool_facts import PoolFacts, whole
from controller.replay.simulation_types import Economics, Seen, Wish

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
    best = cheapest_constant(economics, facts.hindsight.rates_per_s)
    return Fixed("static-best", min(max(round(best * share_of_best), economics.min_replicas), economics.max_replicas))


def all_external(facts: PoolFacts, share_spilled: float) -> Fixed:
    """No replica but those that must be, and `share_spilled` of the requests sent away."""
    return Fixed("all-external", facts.economics.min_replicas, spill_ratio=share_spilled)


def cheapest_constant(economics: Economics, rates_per_s: Sequence[float]) -> int:
    """The count n that minimises what n replicas and the spill of everything above them cost; the least such n.

    One more pays while the slice of demand that it alone would serve costs more spilled than it does. Slices only get
    smaller as n grows, so the first that does not pay ends the search.
    """
    mu = economics.replica_requests_per_s
    n = economics.min_replicas
    while n < economics.max_replicas:
        slice_per_s = sum(min(max(rate - n * mu, 0.0), mu) for rate in rates_per_s) / len(rates_per_s)
        saved_usd_per_s = 0.0 if slice_per_s == 0 else economics.spill_usd_per_request * slice_per_s
        if not saved_usd_per_s > economics.replica_usd_per_s:
            return n
        n += 1
    return n
