"""One kind of GPU node as managed groups: how it is bought, where it stands, what its nodes say of themselves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

import pulumi
from pulumi_aws import ec2, eks

from infra.components.capacity_block import BlockSchedule, BlockScheduleArgs, leaves_at
from infra.components.node_counts import minded_by_others
from infra.components.node_template import NodeTemplateArgs, node_template
from infra.components.scale_from_zero import ScaleFromZero, ScaleFromZeroArgs

GPU = "nvidia.com/gpu"
POOL_LABEL = "spillway.dev/pool"


@dataclass(frozen=True, slots=True, kw_only=True)
class OnDemand:
    """Rented by the second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spot:
    """Taken away on two minutes' notice; with `fallback` a second group rents on demand what it lacks."""

    fallback: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Reserved:
    """An on-demand capacity reservation."""

    reservation_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A capacity block: nodes exist from `starts_at` until shortly before `ends_at`. `now`: of this run."""

    reservation_id: str
    starts_at: datetime
    ends_at: datetime
    now: datetime


Capacity = OnDemand | Spot | Reserved | Block


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuPoolArgs:
    """`subnet_ids`: of the zones that have the type. `autoscaled`: `desired_nodes` is where a group starts, no more."""

    cluster_name: pulumi.Input[str]
    version: str
    node_role_arn: pulumi.Input[str]
    subnet_ids: tuple[pulumi.Input[str], ...]
    pool: str
    instance_type: str
    gpus: int
    min_nodes: int
    desired_nodes: int
    max_nodes: int
    capacity: Capacity
    disk_gib: int
    disk_throughput_mib_per_s: int
    local_disks: bool
    placement_group: bool
    autoscaled: bool
    tags: Mapping[str, str]
    labels: Mapping[str, str] = field(default_factory=dict[str, str])


class GpuPool(pulumi.ComponentResource):
    """Node groups whose nodes only pods that tolerate `nvidia.com/gpu` may use; two with spot and its fallback."""

    node_groups: dict[str, eks.NodeGroup]

    def __init__(self, name: str, args: GpuPoolArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("spillway:infra:GpuPool", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        self._name, self._args = name, args
        group = None
        if args.placement_group:
            group = ec2.PlacementGroup(
                f"{name}-together", ec2.PlacementGroupArgs(strategy="cluster", tags=dict(args.tags)), opts=child
            ).name
        template = node_template(name, _template(name, args, group), child)
        self.node_groups = {}
        for key, kind, desired in _groups(args):
            made = self._node_group(key, kind, desired, template)
            self.node_groups[key] = made
            if isinstance(args.capacity, Block):
                BlockSchedule(
                    f"{name}-{key}",
                    BlockScheduleArgs(
                        node_group=made,
                        nodes=args.max_nodes,
                        starts_at=args.capacity.starts_at,
                        ends_at=args.capacity.ends_at,
                        now=args.capacity.now,
                    ),
                    opts=child,
                )
            else:
                ScaleFromZero(
                    f"{name}-{key}",
                    ScaleFromZeroArgs(
                        node_group=made, labels=_labels(args), taints={GPU: "present:NoSchedule"}, gpus=args.gpus
                    ),
                    opts=child,
                )
        self.register_outputs({"node_groups": [made.node_group_name for made in self.node_groups.values()]})

    def _node_group(self, key: str, kind: str, desired: int, template: ec2.LaunchTemplate) -> eks.NodeGroup:
        args = self._args
        by_template = isinstance(args.capacity, Block)
        return eks.NodeGroup(
            f"{self._name}-{key}",
            eks.NodeGroupArgs(
                cluster_name=args.cluster_name,
                version=args.version,
                node_role_arn=args.node_role_arn,
                subnet_ids=args.subnet_ids,
                ami_type="AL2023_x86_64_NVIDIA",
                instance_types=None if by_template else [args.instance_type],
                capacity_type=kind,
                scaling_config=eks.NodeGroupScalingConfigArgs(
                    min_size=0 if by_template or desired == 0 else args.min_nodes,
                    desired_size=desired,
                    max_size=args.max_nodes,
                ),
                # A node more than there are cannot be had of most GPU types: one goes before its successor comes.
                update_config=eks.NodeGroupUpdateConfigArgs(max_unavailable=1, update_strategy="MINIMAL"),
                node_repair_config=eks.NodeGroupNodeRepairConfigArgs(enabled=True),
                launch_template=eks.NodeGroupLaunchTemplateArgs(
                    id=template.id, version=template.latest_version.apply(str)
                ),
                labels=_labels(args),
                taints=[eks.NodeGroupTaintArgs(key=GPU, value="present", effect="NO_SCHEDULE")],
                tags=dict(args.tags),
            ),
            opts=pulumi.ResourceOptions.merge(
                pulumi.ResourceOptions(
                    parent=self,
                    custom_timeouts=pulumi.CustomTimeouts(create="40m", update="90m", delete="40m"),
                ),
                minded_by_others(f"{self._name}-{key}") if args.autoscaled or by_template else None,
            ),
        )


def _labels(args: GpuPoolArgs) -> dict[str, str]:
    return {**args.labels, POOL_LABEL: args.pool, "nvidia.com/gpu.present": "true"}


def _template(name: str, args: GpuPoolArgs, group: pulumi.Input[str] | None) -> NodeTemplateArgs:
    bought = args.capacity
    block = isinstance(bought, Block)
    return NodeTemplateArgs(
        display_name=f"{name} node",
        disk_gib=args.disk_gib,
        disk_throughput_mib_per_s=args.disk_throughput_mib_per_s,
        local_disks=args.local_disks,
        placement_group=group,
        reservation_id=bought.reservation_id if isinstance(bought, Block | Reserved) else None,
        capacity_block=block,
        instance_type=args.instance_type if block else None,  # a block's group must name it in the template
        tags=args.tags,
    )


def _groups(args: GpuPoolArgs) -> list[tuple[str, str, int]]:
    desired = args.desired_nodes
    match args.capacity:
        case Spot(fallback=True):
            return [("spot", "SPOT", desired), ("fallback", "ON_DEMAND", 0)]
        case Spot():
            return [("spot", "SPOT", desired)]
        case Block() as block:
            is_open = block.starts_at <= block.now < leaves_at(block.ends_at)
            return [("block", "CAPACITY_BLOCK", args.max_nodes if is_open else 0)]
        case OnDemand() | Reserved():
            return [("nodes", "ON_DEMAND", desired)]
