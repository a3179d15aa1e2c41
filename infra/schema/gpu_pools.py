"""GPU nodes as data: what is rented, how, how much of it, and the models that stand on it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import AwareDatetime, Field

from infra.schema.values import Gib, InstanceType, Name, Nodes, Section, Switch, Usd, ZoneName

ReservationId = Annotated[
    str, Field(pattern=r"^cr-[0-9a-f]{8,32}$", description="a capacity reservation such as cr-0123456789abcdef0")
]
Dtype = Literal["bf16", "fp8", "int8", "awq", "gptq"]  # the `Weights` of the catalogue


class OnDemand(Section):
    """Rented by the second."""

    kind: Literal["on-demand"] = "on-demand"


class Spot(Section):
    """Cheaper, taken away on two minutes' notice; `fallback` rents on demand what spot does not give."""

    kind: Literal["spot"]
    fallback: Literal["on-demand", "none"] = "on-demand"


class Reservation(Section):
    """An on-demand capacity reservation that is already bought."""

    kind: Literal["capacity-reservation"]
    id: ReservationId


class Block(Section):
    """A capacity block for ML: paid ahead, from one instant to another, not to be cancelled."""

    kind: Literal["capacity-block"]
    id: ReservationId
    starts_at: AwareDatetime
    ends_at: AwareDatetime

    def is_open(self, now: datetime) -> bool:
        """Whether its nodes may run at that instant."""
        return self.starts_at <= now < self.ends_at


Capacity = Annotated[OnDemand | Spot | Reservation | Block, Field(discriminator="kind")]


class GpuPoolSettings(Section):
    """One kind of GPU node; a managed node group of its own (two with spot and its fallback)."""

    instance_type: InstanceType
    min_nodes: Nodes = 0
    desired_nodes: Nodes = 1
    max_nodes: Nodes = 1
    capacity: Capacity = OnDemand()
    availability_zones: Annotated[
        tuple[ZoneName, ...], Field(max_length=4)
    ] = ()  # empty: all of the network's that have the type
    usd_per_hour: Usd | None = None  # what one node is bought for; None: the list price
    disk_gib: Gib = 200
    disk_throughput_mib_per_s: Annotated[int, Field(strict=True, ge=125, le=2000)] = 600
    local_nvme: Switch = True  # RAID0 of the instance's own disks for images and models
    placement_group: Switch = False
    labels: dict[str, str] = Field(default_factory=dict)


class ModelSettings(Section):
    """One model on one pool: `replicas` engines with `tensor_parallel` GPUs each."""

    model: Annotated[str, Field(min_length=1, max_length=100)]  # key of the catalogue
    pool: Name
    tensor_parallel: Annotated[int, Field(strict=True, ge=1, le=64)] = 1
    dtype: Dtype = "bf16"
    replicas: Annotated[int, Field(strict=True, ge=1, le=1000)] = 1
    max_model_len_tokens: Annotated[int, Field(strict=True, ge=256, le=10_000_000)] = 8192
    max_num_seqs: Annotated[int, Field(strict=True, ge=1, le=4096)] = 256
    gpu_memory_utilization_ratio: Annotated[float, Field(gt=0.1, lt=1)] = 0.9
    repository: (
        Annotated[
            str,
            Field(
                pattern=r"^[A-Za-z0-9._-]+/[A-Za-z0-9._-]+$",
                max_length=200,
                description="a repository such as owner/name",
            ),
        ]
        | None
    ) = None  # on the hub; None: the one that the chart or the catalogue names
    revision: Annotated[
        str, Field(pattern=r"^[0-9a-f]{40}$|^main$", description="a commit of the weights, or main")
    ] = "main"
