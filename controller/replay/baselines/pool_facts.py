"""What somebody who sets up an autoscaler knows of the pool, and the replica count that it keeps in the cluster."""

from __future__ import annotations

import math
from dataclasses import dataclass

from controller.core.errors import SimulationError
from controller.core.models import StepTimes
from controller.replay.simulation_types import Curve, Economics, Seen, Wish

ROUNDING = 1e-9  # a sum of exactly n targets asks for n, whatever the last bit says


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolFacts:
    """The pool as its operator knows it. Only what says so looks at `curve`, which no autoscaler can know."""

    economics: Economics
    replica_concurrency: float  # requests inside one replica at its SLO
    kv_tokens: float  # KV cache of one replica
    steps: StepTimes  # of the engine, as profiling would find them
    ttft_slo_s: float
    tpot_slo_s: float
    max_num_seqs: int = 256
    max_num_batched_tokens: int = 2048
    curve: Curve | None = None  # demand in hindsight

    def __post_init__(self) -> None:
        """Refuse what no pool can be."""
        for name in ("replica_concurrency", "kv_tokens", "ttft_slo_s", "tpot_slo_s"):
            value: float = getattr(self, name)
            if not 0 < value < math.inf:
                raise SimulationError(f"{name} is {value:g}; it must be a finite number > 0")

    @property
    def hindsight(self) -> Curve:
        """The demand curve of the run, for what is tuned on it."""
        if self.curve is None:
            raise SimulationError("curve is missing; a baseline that is fixed in hindsight needs the demand curve")
        return self.curve


class ReplicaSpec:
    """`spec.replicas` of the workload: what was wished last, at first what there was.

    A monitored count is as old as its scrape; the count in the spec is the autoscaler's own word, and known at once.
    """

    def __init__(self, economics: Economics, at_least: int = 0) -> None:
        self._lowest = max(economics.min_replicas, min(at_least, economics.max_replicas))
        self._highest = economics.max_replicas
        self._replicas: int | None = None

    def replicas(self, seen: Seen) -> int:
        """Replicas that should be there now, starting ones among them."""
        return seen.ready + seen.starting if self._replicas is None else self._replicas

    def pending(self, seen: Seen) -> int:
        """Replicas in the spec that do not serve yet."""
        return max(0, self.replicas(seen) - seen.ready)

    def bounded(self, replicas: float) -> int:
        """`replicas` within the bounds of the pool."""
        return int(max(self._lowest, min(self._highest, replicas)))

    def wish(self, replicas: float, reason: str) -> Wish:
        """Write `replicas` into the spec, within the bounds of the pool."""
        self._replicas = self.bounded(replicas)
        return Wish(replicas=self._replicas, reason=reason)


def whole(replicas: float) -> int:
    """Replicas rounded up, as every autoscaler here rounds."""
    return math.ceil(replicas - ROUNDING)
