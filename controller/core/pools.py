"""What an operator says about a pool: its model, engine arguments, SLO and policies."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineArgs:
    """vLLM launch arguments that matter for capacity. `weights` is bf16, fp8, int8, awq or gptq."""

    tensor_parallel: int = 1
    max_model_len_tokens: int = 8192
    max_num_seqs: int = 64
    max_num_batched_tokens: int = 2048
    gpu_memory_utilization_ratio: float = 0.90
    weights: str = "bf16"
    block_size_tokens: int = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Slo:
    """Service level objective of a pool."""

    ttft_p95_s: float
    tpot_p95_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalePolicy:
    """Bounds and timing of autoscaling.

    `home_use_ratio`: from this use on a replica is kept however cheap providers are; 1: the market alone decides.
    `max_actions_per_hour`: changes of size; the operator's own do not count.
    `start_patience_ratio`: times the patience with which replicas are started; less: sooner, more: what bursts need.
    """

    min_replicas: int = 1
    max_replicas: int = 4
    home_use_ratio: float = 0.5
    start_patience_ratio: float = 1.0
    target_utilization_ratio: float = 0.95
    cold_start_s: float = 240.0
    scale_down_cooldown_s: float = 300.0
    drain_deadline_s: float = 120.0
    max_actions_per_hour: int = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class SpillPolicy:
    """Where to and when a pool spills. `to` are catalogue keys, tried in order."""

    to: tuple[str, ...] = ()
    enter_saturation_ratio: float = 0.90
    exit_saturation_ratio: float = 0.60
    min_dwell_s: float = 20.0
    return_ramp_ratio_per_s: float = 0.02  # at most 10 % of traffic comes back per 5 s
    max_usd_per_hour: Decimal | None = None  # bought in one UTC hour, over all gateways; None: no limit


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """Replicas of one model on one GPU shape. `endpoints` non-empty: fixed replicas we do not start."""

    name: str
    model: str
    instance_type: str
    engine: EngineArgs
    slo: Slo
    scale: ScalePolicy
    spill: SpillPolicy
    endpoints: tuple[str, ...] = ()
    model_dir: str | None = None
    node_pool: str | None = None  # whose GPUs it shares; None: it has nodes of its own


@dataclass(frozen=True, slots=True, kw_only=True)
class NodePool:
    """Nodes whose GPUs several pools share. `gpus`: of all its nodes together."""

    name: str
    instance_type: str
    nodes: int
    gpus: int
