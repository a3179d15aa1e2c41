"""When a replica pays: a ledger per level of a pool, as in the ski-rental problem.

Level k (from 0) serves what demand exceeds k replicas, at most one replica's worth. While it is off, its work is bought
outside, and its ledger adds up how much more that costs than a replica would; once that comes to `patience.up` times
the price of a start, the level is switched on. While it is on, its ledger adds up how much more the replica costs than
buying would; at `patience.down` times that price it is switched off. Ledgers never fall below zero. Levels do not
depend on each other, as spill cost is linear and replicas are alike, so the sum over levels is the pool's.

With patience 1 both ways this is the deterministic rule of rent-or-buy, whose cost is bounded for any demand.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from controller.autoscale.prices import Prices
from controller.autoscale.scarcity import Scarcity


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How many prices of a start a level may lose before it is switched.

    `ahead`: how far its demand is looked for along the trend, in cold starts; off it needs one to be ready.
    """

    up: float
    down: float
    ahead: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """Levels that are always on, and the most there are."""

    least: int
    most: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Spell:
    """So long of this demand, up to now, at these prices. `slope_per_s`: where it is going, 0 where that is not known.

    `start_patience_ratio`: the operator's, times that of every rule. `scarce`: where providers take only so much; then
    `kept_s` is for how long a level stays at least that kept work from being late.
    """

    demand_replicas: float
    elapsed_s: float
    now_s: float
    prices: Prices
    bounds: Bounds
    slope_per_s: float = 0.0
    start_patience_ratio: float = 1.0
    scarce: Scarcity | None = None
    kept_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledgers:
    """`on`: levels 0 to on - 1 are on. `lost_usd[k]`: what level k has lost by being as it is; 0 beyond its end. Below
    0 for one that is kept as it has kept work from being late.
    """

    on: int
    lost_usd: tuple[float, ...] = ()

    def at(self, level: int) -> float:
        """What this level has lost."""
        return self.lost_usd[level] if level < len(self.lost_usd) else 0.0


def moved(ledgers: Ledgers, on: int) -> Ledgers:
    """The ledgers once so many levels are on, whoever did it; those that were switched begin at zero."""
    if on == ledgers.on:
        return ledgers
    low, high = min(on, ledgers.on), max(on, ledgers.on)
    lost_usd = tuple(0.0 if low <= level < high else lost for level, lost in enumerate(ledgers.lost_usd))
    return Ledgers(on=on, lost_usd=lost_usd)


def stepped(ledgers: Ledgers, patience: Patience, spell: Spell) -> Ledgers:
    """The ledgers after a spell, with levels switched that have lost enough."""
    lost_usd, bounds, on = _booked(ledgers, patience, spell), spell.bounds, ledgers.on
    up_usd, down_usd = limits_usd(patience, spell)
    while on < bounds.least or (on < min(bounds.most, len(lost_usd)) and lost_usd[on] > up_usd):
        on += 1
    if on == ledgers.on:
        while on > bounds.least and (on > bounds.most or lost_usd[on - 1] > down_usd):
            on -= 1
    return moved(replace(ledgers, lost_usd=lost_usd), on)


def limits_usd(patience: Patience, spell: Spell) -> tuple[float, float]:
    """What a level may lose before it is switched on, and off."""
    start_usd = spell.prices.start_usd
    return spell.start_patience_ratio * patience.up * start_usd, patience.down * start_usd


def ahead_replicas(patience: Patience, spell: Spell) -> float:
    """How much the demand will have changed once a replica that is started now is ready, as far as that is counted."""
    return patience.ahead * spell.slope_per_s * spell.prices.cold_start_s


def _booked(ledgers: Ledgers, patience: Patience, spell: Spell) -> tuple[float, ...]:
    """What each level has lost by now; as many levels as are on or asked for.

    A level that is off is told the demand of when it could be ready; one that is on, that of when it would be given up.
    Work that would have no place is looked for along a rising trend however patient the rule is.
    """
    on, elapsed_s, prices, scarce = ledgers.on, spell.elapsed_s, spell.prices, spell.scarce
    drift = ahead_replicas(patience, spell)
    demand = max(0.0, spell.demand_replicas + drift)
    kept_demand = max(0.0, spell.demand_replicas + drift * min(1.0, patience.down))
    rising = 0.0 if scarce is None else max(0.0, spell.slope_per_s * prices.cold_start_s - max(0.0, drift))
    paid_usd = prices.replica_usd_per_s * elapsed_s
    bought_usd = prices.spill_usd_per_replica_s * elapsed_s
    levels = max(on, min(spell.bounds.most, int(demand + rising) + 1), len(ledgers.lost_usd))
    before = ledgers.lost_usd + (0.0,) * (levels - len(ledgers.lost_usd))
    least_usd = _least_usd(patience, spell)
    found = []
    for level, lost in enumerate(before):
        used = (kept_demand if level < on else demand) - level
        more_usd = bought_usd * (0.0 if used < 0.0 else min(used, 1.0)) - paid_usd
        late_usd = 0.0
        if scarce is not None and used + rising > scarce.spare_from_replicas:
            scarce_usd_per_s, late_usd = scarce.of_level_usd_per_s(used, rising)
            more_usd += scarce_usd_per_s * elapsed_s
            late_usd *= elapsed_s
        usd = lost - more_usd if level < on else lost + more_usd
        if usd < 0.0:  # below zero only by what it has kept from being late
            usd = 0.0 if scarce is None or level >= on else max(usd, least_usd, min(0.0, lost) - late_usd)
        found.append(usd)
    while len(found) > on and not found[-1]:
        found.pop()
    return tuple(found)


def _least_usd(patience: Patience, spell: Spell) -> float:
    """How far the ledger of a level that is on may fall below zero: what it may then lose lasts for `kept_s`."""
    return min(0.0, limits_usd(patience, spell)[1] - spell.kept_s * spell.prices.replica_usd_per_s)
