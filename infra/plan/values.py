"""What a plan holds: pools with their prices, models with their memory, everything else that bills, and the sums."""

from __future__ import annotations

from dataclasses import dataclass

from controller.core.errors import Problem

HOURS_PER_MONTH = 730


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolRow:
    """Nodes of one pool. Prices are of one node; None where none is known.

    For comparison: on demand, on spot (lowest and highest zone), in a capacity block.
    """

    pool: str
    instance_type: str
    nodes: int
    max_nodes: int
    gpus_per_node: int
    gpus_used: int
    bought: str
    usd_per_hour: float | None
    usd_per_month: float | None  # of all `nodes`
    on_demand_usd_per_hour: float | None
    spot_usd_per_hour: tuple[float, float] | None
    block_usd_per_hour: float | None
    price_source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRow:
    """One model on its pool, and whether an engine of it starts there. Memory is of one GPU, tokens of one replica."""

    name: str
    model: str
    pool: str
    instance_type: str
    tensor_parallel: int
    dtype: str
    replicas: int
    max_model_len_tokens: int
    weights_gib_per_gpu: float
    kv_cache_gib_per_gpu: float
    kv_cache_tokens: int
    sequences: float
    fits: bool
    verdict: str
    reason: str
    alternatives: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CostRow:
    """Something else that bills. `usd_per_month` None: no price is known here."""

    what: str
    quantity: str
    usd_per_month: float | None
    price_source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A stack before it is built. `rows` are the models; sums hold what has a price, `unpriced` names what has none."""

    name: str
    region: str
    pools: tuple[PoolRow, ...]
    rows: tuple[ModelRow, ...]
    costs: tuple[CostRow, ...]
    total_usd_per_month: float
    most_usd_per_month: float  # with every pool at its most nodes, spot replaced by on demand
    unpriced: tuple[str, ...]
    budget_usd_per_month: float
    problems: tuple[Problem, ...]

    @property
    def errors(self) -> tuple[Problem, ...]:
        """What keeps it from being built."""
        return tuple(problem for problem in self.problems if problem.severity == "error")
