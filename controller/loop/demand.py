"""Demand on a pool from the counters of gateways: rates and sizes over a sliding window, summed over all of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from controller.core.samples import PoolCounters

WINDOW_S = 20.0
LEAST_S = 4.0  # a younger window is taken to be this long: one request in the first tick is no flood
SATURATED = "saturated"  # the gateway's reason when a first token would have been late


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """Averages over `span_s`. Sizes are per request; 0 when nothing came. `refused_now`: since the last scrape.

    `waiting`: in the gateway now, for a place. `bound_ratio`: of the arrivals, those that may not be bought.
    """

    span_s: float
    arrivals_per_s: float = 0.0
    spilled_per_s: float = 0.0
    input_tokens: float = 0.0
    output_tokens: float = 0.0
    bound_ratio: float = 0.0
    refused_now: float = 0.0
    waiting: float = 0.0
    ttft_p95_s: float | None = None


class PoolDemand:
    """Demand on one pool at all gateways."""

    def __init__(self) -> None:
        self._windows: dict[str, DemandWindow] = {}

    def add(self, at_s: float, counters: Mapping[str, PoolCounters]) -> Demand:
        """Takes in one scrape of each gateway that has answered, and tells the demand there as of now."""
        return summed([self._windows.setdefault(name, DemandWindow()).add(at_s, one) for name, one in counters.items()])


def summed(demands: Sequence[Demand]) -> Demand:
    """As of one gateway; the TTFT is that of the slowest."""
    arrivals_per_s = sum(one.arrivals_per_s for one in demands)
    shares = [one.arrivals_per_s / arrivals_per_s if arrivals_per_s > 0.0 else 0.0 for one in demands]
    weighed = list(zip(shares, demands, strict=True))
    return Demand(
        span_s=max(one.span_s for one in demands),
        arrivals_per_s=arrivals_per_s,
        spilled_per_s=sum(one.spilled_per_s for one in demands),
        input_tokens=sum(share * one.input_tokens for share, one in weighed),
        output_tokens=sum(share * one.output_tokens for share, one in weighed),
        bound_ratio=sum(share * one.bound_ratio for share, one in weighed),
        refused_now=sum(one.refused_now for one in demands),
        waiting=sum(one.waiting for one in demands),
        ttft_p95_s=max((one.ttft_p95_s for one in demands if one.ttft_p95_s is not None), default=None),
    )


class DemandWindow:
    """What one gateway has counted for one pool over the last seconds; starts anew when the gateway has."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, PoolCounters]] = deque()

    def add(self, at_s: float, counters: PoolCounters) -> Demand:
        """Takes in one scrape and tells the demand as of now."""
        seen = self._seen
        if seen and (counters.arrivals < seen[-1][1].arrivals or at_s < seen[-1][0]):
            seen.clear()
        previous = seen[-1][1] if seen else counters
        seen.append((at_s, counters))
        while len(seen) > 2 and at_s - seen[1][0] >= WINDOW_S:
            seen.popleft()
        return _between(seen[0], (at_s, counters), previous)


def _between(start: tuple[float, PoolCounters], end: tuple[float, PoolCounters], previous: PoolCounters) -> Demand:
    first, last = start[1], end[1]
    span_s = max(LEAST_S, end[0] - start[0])
    arrivals = last.arrivals - first.arrivals
    per_request = 1.0 / arrivals if arrivals > 0 else 0.0
    return Demand(
        span_s=span_s,
        arrivals_per_s=arrivals / span_s,
        spilled_per_s=max(0.0, sum(last.spilled.values()) - sum(first.spilled.values())) / span_s,
        input_tokens=(last.input_tokens - first.input_tokens) * per_request,
        output_tokens=(last.output_tokens - first.output_tokens) * per_request,
        bound_ratio=(last.bound - first.bound) * per_request,
        waiting=last.waiting,
        refused_now=last.spilled.get(SATURATED, 0.0) - previous.spilled.get(SATURATED, 0.0),
        ttft_p95_s=quantile_s(first.ttft_buckets, last.ttft_buckets, 0.95),
    )


def quantile_s(
    before: tuple[tuple[float, float], ...], after: tuple[tuple[float, float], ...], share: float
) -> float | None:
    """The quantile of what was observed between two histograms, by linear interpolation; None when nothing was."""
    start = dict(before)
    counts = [(bound, count - start.get(bound, 0.0)) for bound, count in after]
    if not counts or counts[-1][1] <= 0:
        return None
    wanted, low_s, below = share * counts[-1][1], 0.0, 0.0
    for bound_s, up_to in counts:
        if up_to >= wanted:
            if bound_s == float("inf"):
                return low_s
            return low_s + (bound_s - low_s) * (wanted - below) / (up_to - below)
        low_s, below = bound_s, up_to
    return low_s
