"""What work counts as where providers take only so much: more than its price, so that replicas are there in time.

Of what a pool has no replica for, providers take the first part at their price. The next part they would take as well,
but then have no room for what may come before a replica can: it counts as a little more than replicas cost, so that
those stay that are busy. What is beyond has no place. A late request hurts more than it costs, so it counts as many
times the price. The sum is still one over the levels of the pool, so ledgers and experts weigh it like any other price.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from controller.autoscale.prices import Prices

LIMIT_USED_RATIO = 0.9  # of what providers take: the rest is for noise
GROWTH_RATIO = 1.5  # of demand, for which providers keep room: so much may come before a replica is there
GROWTH_LEAST_REPLICAS = 2.0
# By the same-weights table of controller/replay/README.md. SPARE: of what a replica costs, so one that is busy stays;
# LATE: of the dearer of having and buying, so a level is had from 6 % of use on, and asked for in one tick.
SPARE_RATIO = 1.1
LATE_RATIO = 16.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Scarcity:
    """From where on work beyond the replicas counts as more than its price, and how much more, per replica of it."""

    spare_from_replicas: float
    spare_usd_per_s: float
    late_from_replicas: float
    late_usd_per_s: float

    def usd_per_s(self, short_replicas: float) -> float:
        """All of it for a pool that is so many replicas short."""
        spare = short_replicas - self.spare_from_replicas
        if spare <= 0.0:
            return 0.0
        return self.spare_usd_per_s * spare + self.late_usd_per_s * max(0.0, short_replicas - self.late_from_replicas)

    def of_level_usd_per_s(self, short_replicas: float, rising_replicas: float = 0.0) -> tuple[float, float]:
        """What one replica more would take of it: in all, and of what is late, which is looked for along a rise."""
        late = short_replicas + rising_replicas - self.late_from_replicas
        spare = short_replicas - self.spare_from_replicas
        late_usd = self.late_usd_per_s * (1.0 if late >= 1.0 else max(0.0, late))
        return late_usd + self.spare_usd_per_s * (1.0 if spare >= 1.0 else max(0.0, spare)), late_usd


def scarcity(prices: Prices, demand_replicas: float) -> Scarcity | None:
    """That of a pool with so much demand; None where providers take any amount."""
    limit, bought = prices.spill_limit_replicas, prices.spill_usd_per_replica_s
    if limit == inf:
        return None
    usable = LIMIT_USED_RATIO * limit
    growth = max(GROWTH_RATIO * demand_replicas, GROWTH_LEAST_REPLICAS)
    spare = max(bought, SPARE_RATIO * prices.replica_usd_per_s)
    return Scarcity(
        spare_from_replicas=min(usable, max(0.0, limit - growth)),
        spare_usd_per_s=spare - bought,
        late_from_replicas=usable,
        late_usd_per_s=LATE_RATIO * max(bought, prices.replica_usd_per_s) - spare,
    )
