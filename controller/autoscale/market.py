"""How many replicas pay, given what they and the providers cost; and why, in words and numbers."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import inf

from controller.autoscale.experts import PATIENCES, Experts, assembled, taught
from controller.autoscale.ledgers import Bounds, Ledgers, Patience, Spell, ahead_replicas, limits_usd, moved, stepped
from controller.autoscale.prices import Prices
from controller.autoscale.scarcity import scarcity
from controller.autoscale.trend import Trend, followed
from controller.core.fleet import ScaleTerms
from controller.core.samples import PoolSample

TICK_MAX_S = 30.0  # of a longer gap between two ticks no more is known than this
FULL_RATIO = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketState:
    """Carried from tick to tick. `since_s`: of the first one; `at_s`: of the last."""

    since_s: float
    at_s: float
    ledgers: Ledgers
    experts: Experts
    trend: Trend = field(default_factory=Trend)


def shifted(state: MarketState | None, replicas_now: int, now_s: float) -> MarketState:
    """The state once so many replicas are ready or warming, whoever started or took them."""
    if state is None:
        ledgers = Ledgers(on=replicas_now)
        return MarketState(since_s=now_s, at_s=now_s, ledgers=ledgers, experts=assembled(replicas_now))
    return replace(state, ledgers=moved(state.ledgers, replicas_now))


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighed:
    """How many replicas pay, why, and the figures behind it."""

    replicas: int
    reason: str
    terms: ScaleTerms


def weighed(
    sample: PoolSample,
    state: MarketState,
    prices: Prices,
    bounds: Bounds,
    now_s: float,
    *,
    start_patience_ratio: float = 1.0,
    kept_s: float = 0.0,
) -> tuple[Weighed, MarketState]:
    """The replicas that pay, and the state that remembers it."""
    demand_replicas = _demand_replicas(sample)
    elapsed_s = min(TICK_MAX_S, max(0.0, now_s - state.at_s))
    trend = followed(state.trend, demand_replicas, elapsed_s, prices.cold_start_s)
    spell = Spell(
        demand_replicas=demand_replicas,
        elapsed_s=elapsed_s,
        now_s=now_s,
        prices=prices,
        bounds=bounds,
        slope_per_s=trend.slope_per_s,
        start_patience_ratio=start_patience_ratio,
        scarce=scarcity(prices, demand_replicas),
        kept_s=kept_s,
    )
    experts = taught(state.experts, spell)
    after = stepped(state.ledgers, experts.patience, spell)
    found = Weighed(
        replicas=after.on,
        reason=_reason(state.ledgers, after, experts.patience, spell),
        terms=_terms(after, experts, spell),
    )
    return found, replace(state, at_s=now_s, ledgers=after, experts=experts, trend=trend)


def _terms(ledgers: Ledgers, experts: Experts, spell: Spell) -> ScaleTerms:
    spent = zip(PATIENCES, experts.experts, strict=True)
    return ScaleTerms(
        demand_replicas=spell.demand_replicas,
        replica_usd_per_s=spell.prices.replica_usd_per_s,
        spill_usd_per_replica_s=spell.prices.spill_usd_per_replica_s,
        start_usd=spell.prices.start_usd,
        patience_up=spell.start_patience_ratio * experts.patience.up,
        patience_down=experts.patience.down,
        patience_ahead=experts.patience.ahead,
        ahead_replicas=ahead_replicas(experts.patience, spell),
        off_lost_usd=ledgers.at(ledgers.on),
        on_lost_usd=_lost_by_last(ledgers, spell.bounds),
        least_replicas=spell.bounds.least,
        experts=tuple(
            (spell.start_patience_ratio * patience.up, patience.down, patience.ahead, expert.spent_usd)
            for patience, expert in spent
        ),
    )


def _demand_replicas(sample: PoolSample) -> float:
    """The demand as measured; at least what is served and what is bought while the pool is full.

    An estimate that is too low would otherwise let a full pool buy for ever.
    """
    is_full = sample.saturation_ratio >= FULL_RATIO and not sample.replicas_warming
    if not is_full or sample.spilled_per_s >= sample.arrivals_per_s:
        return sample.demand_replicas
    kept_ratio = 1.0 - sample.spilled_per_s / sample.arrivals_per_s
    return max(sample.demand_replicas, sample.replicas_ready / kept_ratio)


def _lost_by_last(ledgers: Ledgers, bounds: Bounds) -> float:
    """What the last replica has cost more than buying; 0 for one that stays whatever it costs."""
    return ledgers.at(ledgers.on - 1) if ledgers.on > bounds.least else 0.0


def _reason(before: Ledgers, after: Ledgers, patience: Patience, spell: Spell) -> str:
    """Which ledger drove the decision, or how near the next one is."""
    said, drift = f"demand {spell.demand_replicas:.2f}", ahead_replicas(patience, spell)
    if spell.prices.spill_limit_replicas < inf:
        said = f"{said}, providers take at most {spell.prices.spill_limit_replicas:.2f}"
    if drift:
        said = f"{said}, {drift:+.2f} by its trend"
    up_usd, down_usd = limits_usd(patience, spell)
    if after.on > before.on:
        return f"{said}: buying has cost ${up_usd:.3g} more than replica {after.on}"
    if after.on < before.on:
        return f"{said}: replica {before.on} has cost ${down_usd:.3g} more than buying"
    up, down = after.at(after.on), _lost_by_last(after, spell.bounds)
    if up and up * down_usd > down * up_usd:
        return f"{said}: buying has cost ${up:.3g} more than replica {after.on + 1}, it starts at ${up_usd:.3g}"
    if down < 0.0:
        return f"{said}: replica {after.on} stays for now, what it served would have been late"
    if down:
        return f"{said}: replica {after.on} has cost ${down:.3g} more than buying, it goes at ${down_usd:.3g}"
    if spell.prices.break_even_ratio > 1.0 and spell.prices.spill_limit_replicas < inf:
        return f"{said}: a replica pays only for what providers have no room for"
    if spell.prices.break_even_ratio > 1.0:
        return f"{said}: a replica never pays, buying costs less than one that is always busy"
    return f"{said}: a replica pays from {100.0 * spell.prices.break_even_ratio:.0f} % of use on"
