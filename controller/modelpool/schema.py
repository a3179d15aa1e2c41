"""The spec of a ModelPool as pydantic models: the same bounds and defaults as in the CRD, in its units.

The apiserver has checked an object by the CRD before anybody sees it here. This says the same of objects that an older
or a newer CRD let through; fields that are not known here are those of a newer one, and are left aside.
`tests/modelpool` holds the two, and spillway.yaml's bounds, to each other.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

_DNS_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
Key = Annotated[str, Field(min_length=1, max_length=100)]
Usd = Annotated[str, Field(max_length=13, pattern=r"^([0-9]{1,6}(\.[0-9]{1,6})?|1000000)$")]
Percent = Annotated[int, Field(strict=True, ge=1, le=100)]


class PinnedRouting(StrEnum):
    """Where requests of a pool are pinned to."""

    AUTO = "Auto"
    LOCAL = "Local"
    SPILLING = "Spilling"
    EXTERNAL = "External"


class PinnedScaling(StrEnum):
    """Whether a pool is pinned to no replicas at all."""

    AUTO = "Auto"
    ZERO = "Zero"


class Part(BaseModel):
    """Base of every part of the spec."""

    model_config = ConfigDict(extra="ignore", frozen=True, alias_generator=to_camel, protected_namespaces=())


class ScaleTargetRef(Part):
    """The workload whose pods are the replicas."""

    api_version: Literal["apps/v1"] = "apps/v1"
    kind: Literal["Deployment"] = "Deployment"
    name: Annotated[str, Field(min_length=1, max_length=253, pattern=rf"^{_DNS_LABEL}(\.{_DNS_LABEL})*$")]


class EnginePart(Part):
    """vLLM launch arguments, and where each pod serves."""

    tensor_parallel: Literal[1, 2, 4, 8] = 1
    max_model_len_tokens: Annotated[int, Field(strict=True, ge=256, le=10_000_000)] = 8192
    max_num_seqs: Annotated[int, Field(strict=True, ge=1, le=4096)] = 64
    max_num_batched_tokens: Annotated[int, Field(strict=True, ge=64, le=1_000_000)] | None = None
    gpu_memory_utilization_percent: Annotated[int, Field(strict=True, ge=10, le=98)] = 90
    weights: Literal["Bf16", "Fp8", "Int8", "Awq", "Gptq"] = "Bf16"
    block_size_tokens: Literal[8, 16, 32, 64, 128] = 16
    port: Annotated[int, Field(strict=True, ge=1, le=65535)] = 8000


class SloPart(Part):
    """Service level objective."""

    ttft_p95_milliseconds: Annotated[int, Field(strict=True, ge=1, le=600_000)] = 2000
    tpot_p95_milliseconds: Annotated[int, Field(strict=True, ge=1, le=60_000)] = 100


class ReplicasPart(Part):
    """Bounds of autoscaling."""

    min: Annotated[int, Field(strict=True, ge=0, le=1000)] = 1
    max: Annotated[int, Field(strict=True, ge=1, le=1000)] = 4

    @model_validator(mode="after")
    def _ordered(self) -> ReplicasPart:
        if self.min > self.max:
            raise ValueError(f"min {self.min} must not be more than max {self.max}")
        return self


class AutoscalePart(Part):
    """Timing of autoscaling, and what a replica is worth."""

    home_use_percent: Percent = 50
    start_patience_percent: Annotated[int, Field(strict=True, ge=5, le=10_000)] = 100
    target_utilization_percent: Annotated[int, Field(strict=True, ge=10, le=100)] = 95
    cold_start_seconds: Annotated[int, Field(strict=True, ge=0, le=7200)] = 240
    scale_down_cooldown_seconds: Annotated[int, Field(strict=True, ge=0, le=86_400)] = 300
    drain_deadline_seconds: Annotated[int, Field(strict=True, ge=0, le=3600)] = 120
    max_actions_per_hour: Annotated[int, Field(strict=True, ge=2, le=3600)] = 60


class SpillPart(Part):
    """Where to and when a pool spills."""

    to: Annotated[tuple[Key, ...], Field(max_length=16)] = ()
    enter_saturation_percent: Annotated[int, Field(strict=True, ge=1, le=200)] = 90
    exit_saturation_percent: Annotated[int, Field(strict=True, ge=0, le=200)] = 60
    min_dwell_seconds: Annotated[int, Field(strict=True, ge=0, le=3600)] = 20
    return_ramp_percent_per_second: Percent = 2
    max_usd_per_hour: Usd | None = None

    @model_validator(mode="after")
    def _ordered(self) -> SpillPart:
        if self.exit_saturation_percent >= self.enter_saturation_percent:
            exit_percent, enter_percent = self.exit_saturation_percent, self.enter_saturation_percent
            raise ValueError(
                f"exitSaturationPercent {exit_percent} must be less than enterSaturationPercent {enter_percent}"
            )
        return self


class PinPart(Part):
    """An operator's word."""

    routing: PinnedRouting = PinnedRouting.AUTO
    replicas: Annotated[int, Field(strict=True, ge=0, le=1000)] = 0
    scaling: PinnedScaling = PinnedScaling.AUTO
    until: Annotated[str, Field(max_length=40)] | None = None
    reason: Annotated[str, Field(max_length=200)] | None = None
    who: Annotated[str, Field(max_length=100)] | None = None


class PoolSpec(Part):
    """The spec but for the pin, which says nothing about whether the pool is a good one."""

    model: Key
    scale_target_ref: ScaleTargetRef
    instance_type: Key = "g5.2xlarge"
    node_pool: Annotated[str, Field(min_length=1, max_length=63)] | None = None
    engine: EnginePart = EnginePart()
    slo: SloPart = SloPart()
    replicas: ReplicasPart = ReplicasPart()
    autoscale: AutoscalePart = AutoscalePart()
    spill: SpillPart = SpillPart()
