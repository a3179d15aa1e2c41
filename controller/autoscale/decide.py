"""How many replicas a pool should have.

Where work may be bought elsewhere, by the ledgers of its levels (`market.py`): a replica is there while it is cheaper
than buying its work. Where it may not, by a target utilisation, and by more headroom where a pool is so small that
prompts would wait for one another (`headroom.py`): no shrink before a cooldown has passed since a need.
What warms up counts as being there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil, isfinite

from controller.autoscale.headroom import PromptLoad, followed, present, replicas_in_time
from controller.autoscale.ledgers import Bounds
from controller.autoscale.market import MarketState, shifted, weighed
from controller.autoscale.prices import Prices
from controller.core.fleet import ScaleTerms
from controller.core.pools import ScalePolicy
from controller.core.samples import PoolSample

SATURATED_RATIO = 1.0
STUCK_S = 10.0  # full for this long with nothing warming: demand is more than was estimated
ROUNDING = 1e-9  # a demand of exactly n replicas' target needs n, whatever the last bit says


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaleState:
    """Carried from tick to tick. `needed_at_s[k]`: when k + 1 replicas were last needed; None before the first tick."""

    needed_at_s: tuple[float, ...] | None = None
    stuck_since_s: float | None = None
    replicas: int | None = None  # as decided last
    market: MarketState | None = None
    prompts: PromptLoad | None = None  # where nobody else may be asked


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaleDecision:
    """`replicas`: ready and warming ones together, without those that drain. `constraints`: what bent the wish.

    `wanted`: how many there would be without them. `terms`: the figures behind it, where what pays decides.
    """

    replicas: int
    reason: str
    constraints: tuple[str, ...] = ()
    terms: ScaleTerms | None = None
    wanted: int | None = None


def decide(
    sample: PoolSample | None,
    state: ScaleState,
    policy: ScalePolicy,
    *,
    replicas_now: int,
    pin_replicas: int | None = None,
    prices: Prices | None = None,
    now_s: float,
) -> tuple[ScaleDecision, ScaleState]:
    """Choose the replica count of one pool for this tick.

    `replicas_now` are ready or warming; `prices` None: nothing is known of them, or nobody may be asked. Without a
    sample the last decision stands, and while some replicas or gateways say nothing the pool does not shrink. A fresh
    state takes every replica there is as needed right now, so a restarted controller never shrinks anything before a
    whole cooldown.
    """
    if state.needed_at_s is None:
        state = replace(state, needed_at_s=(now_s,) * replicas_now)
    if pin_replicas is not None:
        return _bounded(pin_replicas, "pinned", state, policy, ("pin",))
    if sample is None or not isfinite(sample.demand_replicas):
        held = replicas_now if state.replicas is None else state.replicas
        return _bounded(held, "no_data", state, policy)
    state = _watched(sample, state, now_s)
    if prices is not None and isfinite(prices.spill_usd_per_replica_s):
        return _by_market(sample, state, policy, prices, replicas_now=replicas_now, now_s=now_s)
    if sample.ttft_slo_s is not None:
        state = replace(state, prompts=followed(state.prompts, sample, now_s))
    need, reason = _need(sample, state, policy, replicas_now, now_s)
    if sample.unheard and need < replicas_now:
        need, reason = replicas_now, sample.unheard
    needed_at_s = _remembered(state.needed_at_s or (), min(need, policy.max_replicas), policy, now_s)
    state = replace(state, needed_at_s=needed_at_s)
    held = min(replicas_now, len(needed_at_s))
    if held > need:
        ago_s = now_s - needed_at_s[held - 1]
        return _bounded(held, f"{held} were needed {ago_s:.0f} s ago", state, policy, ("cooldown",), wanted=need)
    return _bounded(need, reason, state, policy)


def _by_market(
    sample: PoolSample, state: ScaleState, policy: ScalePolicy, prices: Prices, *, replicas_now: int, now_s: float
) -> tuple[ScaleDecision, ScaleState]:
    """As many as pay."""
    bounds = Bounds(least=policy.min_replicas, most=policy.max_replicas)
    found, market = weighed(
        sample,
        shifted(state.market, replicas_now, now_s),
        prices,
        bounds,
        now_s,
        start_patience_ratio=policy.start_patience_ratio,
        kept_s=policy.scale_down_cooldown_s,
    )
    state = replace(state, market=market, needed_at_s=None)
    need, reason, constraints = found.replicas, found.reason, tuple[str, ...]()
    if need < replicas_now and sample.unheard:
        need, reason = replicas_now, sample.unheard
    elif need < replicas_now and now_s - market.since_s < policy.scale_down_cooldown_s:
        reason = f"a controller takes nothing away in its first {policy.scale_down_cooldown_s:.0f} s"
        need, constraints = replicas_now, ("cooldown",)
    decision, state = _bounded(need, reason, state, policy, constraints, wanted=found.replicas)
    return replace(decision, terms=found.terms), state


def _watched(sample: PoolSample, state: ScaleState, now_s: float) -> ScaleState:
    """The state with how long the pool has been full although nothing is warming."""
    stuck = sample.saturation_ratio >= SATURATED_RATIO and sample.replicas_ready > 0 and sample.replicas_warming == 0
    if not stuck:
        return replace(state, stuck_since_s=None)
    return state if state.stuck_since_s is not None else replace(state, stuck_since_s=now_s)


def _need(
    sample: PoolSample, state: ScaleState, policy: ScalePolicy, replicas_now: int, now_s: float
) -> tuple[int, str]:
    """Replicas that serve the demand at the target utilisation and its prompts in time, one more than now when that has
    proven too few.
    """
    need = ceil(sample.demand_replicas / policy.target_utilization_ratio - ROUNDING)
    reason = f"demand {sample.demand_replicas:.2f} at target {policy.target_utilization_ratio:.2f}"
    ttft_s = sample.ttft_slo_s
    if state.prompts is not None and ttft_s is not None:
        prompts = present(state.prompts, sample)
        in_time = replicas_in_time(prompts, ttft_s, have=replicas_now, least=need, most=policy.max_replicas)
        if in_time > need:
            reason += f"; prompts of {prompts.prompt_s:.2g} s would wait too long for one another in {need}"
        need = in_time
    if state.stuck_since_s is not None and now_s - state.stuck_since_s >= STUCK_S and need <= replicas_now:
        return replicas_now + 1, f"full for {now_s - state.stuck_since_s:.0f} s although demand seems to fit"
    return need, reason


def _remembered(needed_at_s: tuple[float, ...], need: int, policy: ScalePolicy, now_s: float) -> tuple[float, ...]:
    """When each level was last needed, without the levels whose cooldown is over."""
    fresh = [now_s] * need
    older = [at_s for at_s in needed_at_s[need:] if now_s - at_s < policy.scale_down_cooldown_s]
    return (*fresh, *older)


def _bounded(
    wish: int,
    reason: str,
    state: ScaleState,
    policy: ScalePolicy,
    constraints: tuple[str, ...] = (),
    *,
    wanted: int | None = None,
) -> tuple[ScaleDecision, ScaleState]:
    """The wish within the operator's bounds. `wanted`: what it would be without a constraint it has met already."""
    replicas = max(policy.min_replicas, min(policy.max_replicas, wish))
    if replicas < wish:
        constraints = (*constraints, f"max_replicas {policy.max_replicas}")
    elif replicas > wish:
        constraints = (*constraints, f"min_replicas {policy.min_replicas}")
    decision = ScaleDecision(
        replicas=replicas, reason=reason, constraints=constraints, wanted=wish if wanted is None else wanted
    )
    return decision, replace(state, replicas=replicas)
