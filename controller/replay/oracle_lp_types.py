"""What `oracle_lp` is asked and answers: workloads, the replica kinds and providers for them, and what they share."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from controller.core.errors import SimulationError
from controller.replay.oracle import Floats, demand_of
from controller.replay.simulation_types import Economics

DAY_S = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaKind:
    """One GPU shape that can serve a workload. Its economics say nothing of spilling here."""

    name: str
    economics: Economics
    node_pool: str = ""  # whose GPUs it takes; "": as many as it wants
    gpus: int = 1
    minimum_billing_s: float = 0.0  # from the order
    ready_at_start: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """The demand for one model, who can serve it at home, and what providers ask for a request of it."""

    name: str
    rates_per_s: Sequence[float] | Floats
    kinds: tuple[ReplicaKind, ...]
    provider_usd_per_request: Mapping[str, float] = field(default_factory=dict)

    @property
    def demand(self) -> Floats:
        """Its rates as an array."""
        return np.asarray(self.rates_per_s, dtype=np.float64)

    @property
    def dearest_usd_per_request(self) -> float:
        """What a request costs at the dearest place that serves it, and at least a tenth of a cent."""
        own = [kind.economics.replica_usd_per_s / kind.economics.replica_requests_per_s for kind in self.kinds]
        return max(0.001, *own, *self.provider_usd_per_request.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Mix:
    """Workloads that share nodes, providers or a budget. What is not named in `provider_limits_per_s` has no limit."""

    slot_s: float
    workloads: tuple[Workload, ...]
    node_pool_gpus: Mapping[str, int] = field(default_factory=dict)
    provider_limits_per_s: Mapping[str, float] = field(default_factory=dict)  # over all workloads
    budget_usd_per_day: float = math.inf  # of all spilling

    @property
    def slots(self) -> int:
        """How many there are."""
        return len(self.workloads[0].rates_per_s)

    def __post_init__(self) -> None:
        """Refuse what cannot be added up."""
        if not self.workloads:
            raise SimulationError("the mix has no workloads; it must have at least one")
        lengths = {len(demand_of(workload.rates_per_s, self.slot_s)) for workload in self.workloads}
        if len(lengths) > 1:
            raise SimulationError(f"the workloads have {sorted(lengths)} slots; all must have the same number")
        if not self.budget_usd_per_day >= 0:
            raise SimulationError(f"budget_usd_per_day is {self.budget_usd_per_day:g}; it must be a number >= 0 or inf")
        offers = [offer for workload in self.workloads for offer in workload.provider_usd_per_request.items()]
        for what, values in (("price", offers), ("limit", self.provider_limits_per_s.items())):
            for name, value in values:
                if not 0 <= value < math.inf:
                    raise SimulationError(f"{what} of {name} is {value:g}; it must be a finite number >= 0")
        for kind in (kind for workload in self.workloads for kind in workload.kinds):
            if kind.node_pool and kind.node_pool not in self.node_pool_gpus:
                allowed = ", ".join(sorted(self.node_pool_gpus)) or "none is given"
                raise SimulationError(f"node_pool of {kind.name} is {kind.node_pool!r}; it must be one of: {allowed}")


@dataclass(frozen=True, slots=True, kw_only=True)
class MixedOptimum:
    """The cheapest schedule found, its cost, and the bound no schedule is below."""

    running_usd: float
    start_usd: float
    spill_usd: float
    bound_usd: float | None  # None where windows overlap, whose bounds cannot be added
    unserved: float  # requests for which there was no room anywhere
    replicas: Mapping[tuple[str, str], NDArray[np.int64]]  # serving, by workload and kind
    spilled_per_s: Mapping[tuple[str, str], Floats]  # by workload and provider

    @property
    def usd(self) -> float:
        """All of it."""
        return self.running_usd + self.start_usd + self.spill_usd
