"""The spill state machine of a pool: two thresholds, a dwell, a ratio that rises at once and returns by a ramp.

Gateways send away by themselves, one by one, the requests that would be late. So the share is for what they do not
see: demand that lastingly exceeds the pool, so that those leave that are cheapest elsewhere, and engines that are full
although gateways find room. Where they refuse some and the rest fits, a share would send away what has a place.

The controller calls `spill_step` once per tick and publishes the decision; each gateway turns the ratio into yes or no
per request with a `spill_gate.SpillGate`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import isnan, sqrt

from controller.core.fleet import Pin, RoutingMode
from controller.core.pools import SpillPolicy
from controller.core.samples import PoolSample

SATURATED_S = 1.0  # saturated for this long before a pool starts to spill: one bad scrape is not a burst
FULL_RATIO = 1.0
RISE_RATIO_PER_S = 0.05  # while saturated although demand and gateways see room: both are wrong, spill more
DEMAND_WINDOW_S = 20.0  # over which demand is averaged
LASTING_S = 20.0  # demand exceeds the pool for so long before gateways that refuse by themselves are helped
CHANCES = 2.0  # standard deviations of arrivals in that window
CALM_DWELLS = 3.0  # calm for so long before it ends: without a share the mode moves nothing, and each change is seen
TICK_MAX_S = 5.0  # a longer gap between ticks does not ramp further


@dataclass(frozen=True, slots=True, kw_only=True)
class SpillState:
    """Carried from tick to tick. `since_s`: of the mode; None means it may change at once."""

    mode: RoutingMode = RoutingMode.LOCAL
    ratio: float = 0.0
    since_s: float | None = None
    saturated_since_s: float | None = None
    short_since_s: float | None = None
    calm_since_s: float | None = None
    at_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SpillDecision:
    """Where requests of a pool go, the share that leaves, and why."""

    mode: RoutingMode
    ratio: float
    reason: str


def spill_step(
    sample: PoolSample | None, state: SpillState, policy: SpillPolicy, *, pin: Pin | None = None, now_s: float
) -> tuple[SpillDecision, SpillState]:
    """Choose the mode and ratio of one pool for this tick; hold when blind, obey a pin until it expires.

    The mode changes only once it has stood for the dwell, but for two cases: a pin, and a pool without a ready replica.
    """
    elapsed_s = 0.0 if state.at_s is None else min(TICK_MAX_S, max(0.0, now_s - state.at_s))
    state = replace(state, at_s=now_s)
    if pin is not None and pin.routing is not None and now_s < pin.until_s:
        return _pinned(pin.routing, pin, sample, state, now_s)
    if sample is None or isnan(sample.saturation_ratio) or isnan(sample.demand_replicas):
        return _decide(state, state.mode, state.ratio, "no_data", now_s)
    if sample.replicas_ready <= 0:
        return _decide(state, RoutingMode.EXTERNAL, 1.0, "no_ready_replica", now_s)
    state = _watched(sample, state, policy, now_s)
    may_change = state.since_s is None or now_s - state.since_s >= policy.min_dwell_s
    if state.mode is RoutingMode.LOCAL:
        return _from_local(sample, state, policy, now_s, may_change=may_change)
    if state.mode is RoutingMode.EXTERNAL and not may_change:
        return _decide(state, RoutingMode.EXTERNAL, 1.0, "dwell", now_s)
    return _from_spilling(sample, state, policy, now_s, elapsed_s=elapsed_s, may_change=may_change)


def overflow_ratio(sample: PoolSample) -> float:
    """The share of demand that the ready replicas cannot serve within their SLO, 0..1."""
    if sample.demand_replicas <= sample.replicas_ready:
        return 0.0
    return min(1.0, max(0.0, 1.0 - sample.replicas_ready / sample.demand_replicas))


def _share(sample: PoolSample) -> float:
    """The share that should leave by ratio: where gateways refuse by themselves, what exceeds chance alone."""
    ratio = overflow_ratio(sample)
    if not sample.refused_now:
        return ratio
    return max(0.0, ratio - CHANCES / sqrt(max(1.0, sample.arrivals_per_s * DEMAND_WINDOW_S)))


def _is_overlooked(sample: PoolSample) -> bool:
    """Whether engines are full although gateways find room in them."""
    return sample.saturation_ratio >= FULL_RATIO and not sample.refused_now


def _pinned(
    mode: RoutingMode, pin: Pin, sample: PoolSample | None, state: SpillState, now_s: float
) -> tuple[SpillDecision, SpillState]:
    """The operator's mode; pinned to Spilling, the ratio follows demand but never falls."""
    ratio = 0.0 if mode is RoutingMode.LOCAL else 1.0
    if mode is RoutingMode.SPILLING:
        ratio = state.ratio if sample is None else max(state.ratio, overflow_ratio(sample))
    return _decide(state, mode, ratio, f"pinned by {pin.who}: {pin.reason}", now_s)


def _watched(sample: PoolSample, state: SpillState, policy: SpillPolicy, now_s: float) -> SpillState:
    """The state with how long the pool has been saturated, and how long calm."""
    saturated = sample.saturation_ratio >= policy.enter_saturation_ratio
    calm = sample.saturation_ratio < policy.exit_saturation_ratio
    return replace(
        state,
        saturated_since_s=_since(state.saturated_since_s, now_s) if saturated else None,
        short_since_s=_since(state.short_since_s, now_s) if _share(sample) else None,
        calm_since_s=_since(state.calm_since_s, now_s) if calm else None,
    )


def _since(since_s: float | None, now_s: float) -> float:
    return now_s if since_s is None else since_s


def _from_local(
    sample: PoolSample, state: SpillState, policy: SpillPolicy, now_s: float, *, may_change: bool
) -> tuple[SpillDecision, SpillState]:
    """Start to spill what does not fit once saturated for long enough."""
    saturated_since_s = state.saturated_since_s
    if saturated_since_s is None:
        return _decide(state, RoutingMode.LOCAL, 0.0, "fits", now_s)
    short_since_s = state.short_since_s
    if sample.refused_now and (short_since_s is None or now_s - short_since_s < LASTING_S):
        return _decide(state, RoutingMode.LOCAL, 0.0, "gateways send away what finds no place", now_s)
    if short_since_s is None and not _is_overlooked(sample):
        return _decide(state, RoutingMode.LOCAL, 0.0, "nearly full, and demand fits", now_s)
    if now_s - saturated_since_s < SATURATED_S or not may_change:
        return _decide(state, RoutingMode.LOCAL, 0.0, "saturated, waiting out the dwell", now_s)
    ratio = max(_share(sample), RISE_RATIO_PER_S if _is_overlooked(sample) else 0.0)
    reason = f"saturated: {sample.saturation_ratio:.2f} >= {policy.enter_saturation_ratio:.2f}"
    return _decide(state, RoutingMode.SPILLING, ratio, reason, now_s)


def _from_spilling(
    sample: PoolSample, state: SpillState, policy: SpillPolicy, now_s: float, *, elapsed_s: float, may_change: bool
) -> tuple[SpillDecision, SpillState]:
    """Spill more while saturated, else bring traffic back by the ramp, and end once all of it is back and calm."""
    overflow = _share(sample)
    if state.saturated_since_s is not None and _is_overlooked(sample):
        ratio = min(1.0, max(overflow, state.ratio + RISE_RATIO_PER_S * elapsed_s))
        return _decide(state, RoutingMode.SPILLING, ratio, f"saturated: {sample.saturation_ratio:.2f}", now_s)
    if sample.unheard:
        return _decide(state, RoutingMode.SPILLING, max(overflow, state.ratio), sample.unheard, now_s)
    calm_s = -1.0 if state.calm_since_s is None else now_s - state.calm_since_s
    if calm_s >= policy.min_dwell_s:
        overflow = 0.0  # calm for a whole dwell: the measurement outweighs the demand estimate
    ratio = max(overflow, state.ratio - policy.return_ramp_ratio_per_s * elapsed_s, 0.0)
    if ratio == 0.0 and calm_s >= CALM_DWELLS * policy.min_dwell_s and may_change:
        return _decide(state, RoutingMode.LOCAL, 0.0, f"calm: {sample.saturation_ratio:.2f}", now_s)
    reason = "demand does not fit" if ratio == overflow > 0.0 else "returning by the ramp"
    return _decide(state, RoutingMode.SPILLING, ratio, reason, now_s)


def _decide(
    state: SpillState, mode: RoutingMode, ratio: float, reason: str, now_s: float
) -> tuple[SpillDecision, SpillState]:
    """The decision, and the state that remembers it."""
    since_s = state.since_s if mode is state.mode else now_s
    return SpillDecision(mode=mode, ratio=ratio, reason=reason), replace(state, mode=mode, ratio=ratio, since_s=since_s)
