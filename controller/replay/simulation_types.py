"""What simulations, autoscalers and optima speak among themselves: prices, demand, what is seen, wished and gained.

Every policy, ours and the others, stands behind `Autoscaler`, and every run ends in an `Outcome`, so that nothing is
compared that was measured differently. No array library: policies are made from plain numbers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from controller.core.errors import SimulationError
from controller.core.records import record

DIURNAL = "diurnal"  # the kind of recorded weeks


@dataclass(frozen=True, slots=True, kw_only=True)
class Economics:
    """What a pool costs and can do. `spill_usd_per_request` is infinite where spilling is forbidden."""

    replica_usd_per_s: float
    spill_usd_per_request: float  # of the mean request
    replica_requests_per_s: float  # of one replica at its SLO
    cold_start_s: float  # paid, not serving
    min_replicas: int = 0
    max_replicas: int = 1000
    spill_limit_per_s: float = math.inf  # what the providers together bear

    def __post_init__(self) -> None:
        """Refuse what no pool can be."""
        _need(self.replica_usd_per_s >= 0, "replica_usd_per_s", self.replica_usd_per_s, "a number >= 0")
        _need(
            self.spill_usd_per_request >= 0, "spill_usd_per_request", self.spill_usd_per_request, "a number >= 0 or inf"
        )
        _need(self.replica_requests_per_s > 0, "replica_requests_per_s", self.replica_requests_per_s, "a number > 0")
        _need(self.cold_start_s >= 0, "cold_start_s", self.cold_start_s, "a number >= 0")
        _need(self.spill_limit_per_s >= 0, "spill_limit_per_s", self.spill_limit_per_s, "a number >= 0 or inf")
        for name, value in (
            ("replica_usd_per_s", self.replica_usd_per_s),
            ("replica_requests_per_s", self.replica_requests_per_s),
            ("cold_start_s", self.cold_start_s),
        ):
            _need(math.isfinite(value), name, value, "a finite number")
        least, most = self.min_replicas, self.max_replicas
        _need(isinstance(least, int) and least >= 0, "min_replicas", least, "an integer >= 0")
        _need(isinstance(most, int) and most >= least, "max_replicas", most, f"an integer >= min_replicas ({least})")

    @property
    def worthwhile_ratio(self) -> float:
        """The use from which a replica is cheaper than spilling its work (rho*); 0 where spilling is forbidden."""
        spilled_usd_per_s = self.spill_usd_per_request * self.replica_requests_per_s
        return self.replica_usd_per_s / spilled_usd_per_s if spilled_usd_per_s else math.inf


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """Demand in requests per second, slot by slot."""

    name: str
    slot_s: float
    rates_per_s: Sequence[float]  # a list, an array('d')
    kind: str  # DIURNAL | bursty | synthetic

    def __post_init__(self) -> None:
        """Refuse a curve without slots, or with a rate that is no rate."""
        allowed = "a finite number > 0"
        _need(self.slot_s > 0 and math.isfinite(self.slot_s), f"slot_s of {self.name}", self.slot_s, allowed)
        _need(len(self.rates_per_s) > 0, f"slots of {self.name}", len(self.rates_per_s), "at least one")
        for slot, rate_per_s in enumerate(self.rates_per_s):
            if not 0 <= rate_per_s < math.inf:
                _need(False, f"rates_per_s[{slot}] of {self.name}", float(rate_per_s), "a finite number >= 0")

    @property
    def duration_s(self) -> float:
        """How long the whole curve lasts."""
        return self.slot_s * len(self.rates_per_s)


@record
class Seen:
    """What monitoring shows at a tick, with the age it really has: the last scrape, not the truth of this moment."""

    ready: int
    starting: int
    running: float  # summed over ready replicas, as is `waiting`
    waiting: float
    kv_usage_ratio: float  # mean over ready replicas
    arrivals_per_s: float  # offered over the last scrape window: served and spilled
    served_per_s: float
    spilled_per_s: float
    demand_replicas: float  # offered work in units of one replica at its SLO
    ttft_p95_s: float | None
    tpot_mean_s: float | None
    input_tokens_mean: float
    output_tokens_mean: float
    per_replica: tuple[tuple[float, float, float], ...] = ()  # running, waiting, KV ratio; () when all are alike


def nothing_seen(input_tokens: float, output_tokens: float) -> Seen:
    """What there is to see before the first scrape: no replica and no request, but the size that they will have."""
    return Seen(
        ready=0,
        starting=0,
        running=0.0,
        waiting=0.0,
        kv_usage_ratio=0.0,
        arrivals_per_s=0.0,
        served_per_s=0.0,
        spilled_per_s=0.0,
        demand_replicas=0.0,
        ttft_p95_s=None,
        tpot_mean_s=None,
        input_tokens_mean=input_tokens,
        output_tokens_mean=output_tokens,
    )


@record
class Wish:
    """What a policy wants from now on."""

    replicas: int  # ready and starting together
    spill_ratio: float | None = None  # of arrivals, beside what the gateway of the run spills by itself; None: nothing
    reason: str = ""


class Autoscaler(Protocol):
    """One policy for one pool in one run. State lives inside; every run makes it anew."""

    @property
    def name(self) -> str:
        """As reports call it."""
        ...

    @property
    def period_s(self) -> float:
        """The time between two steps."""
        ...

    def step(self, seen: Seen, now_s: float) -> Wish:
        """What to do from now on, with time counted from the start of the run."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """What happened slot by slot, for timelines. All sequences are as long as `times_s`."""

    times_s: Sequence[float]  # starts of the slots
    demand_per_s: Sequence[float]  # offered, with its noise
    ready: Sequence[int]
    starting: Sequence[int]
    spilled_per_s: Sequence[float]
    missed_per_s: Sequence[float] = ()  # late or lost, by the slot they came in; () where it was not told


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one run cost and gave. Requests are counted, so shares are these by `offered`."""

    policy: str
    workload: str
    seed: int
    usd: float
    gpu_usd: float  # from the order of a replica to its release
    spill_usd: float
    offered: float
    attained: float  # within the SLO, at home or spilled
    spilled: float
    late: float  # served past the SLO
    lost: float  # never served
    actions_per_hour: float  # changes of the replica count that was wished
    flips_per_hour: float  # spilling began or ended
    regret_ratio: float  # of what was spilled: the share for which a slot at home was free
    peak_replicas: int
    series: Series | None = None

    @property
    def usd_per_1k(self) -> float:
        """Cost of a thousand offered requests; 0 when none was offered."""
        return 1000 * self.usd / self.offered if self.offered else 0.0

    @property
    def attained_ratio(self) -> float:
        """SLO attainment; 1 when nothing was offered."""
        return self.attained / self.offered if self.offered else 1.0


def _need(holds: bool, name: str, value: float, allowed: str) -> None:
    if not holds:
        raise SimulationError(f"{name} is {value:g}; it must be {allowed}")
