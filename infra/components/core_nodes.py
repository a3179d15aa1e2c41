"""Nodes without a GPU: gateways, the controller, add-ons, monitoring. Always there, over all zones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
from pulumi_aws import eks

from infra.components.node_counts import minded_by_others
from infra.components.node_template import NodeTemplateArgs, node_template

LABELS = {"spillway.dev/nodes": "core"}


@dataclass(frozen=True, slots=True, kw_only=True)
class CoreNodesArgs:
    """A managed group; where it is `autoscaled`, `desired_nodes` is where it starts, no more."""

    cluster_name: pulumi.Input[str]
    version: str
    node_role_arn: pulumi.Input[str]
    subnet_ids: tuple[pulumi.Input[str], ...]
    instance_type: str
    arm: bool
    min_nodes: int
    desired_nodes: int
    max_nodes: int
    disk_gib: int
    autoscaled: bool
    tags: Mapping[str, str]


class CoreNodes(pulumi.ComponentResource):
    """The group of the system's own nodes."""

    node_group: eks.NodeGroup

    def __init__(self, name: str, args: CoreNodesArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("spillway:infra:CoreNodes", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        template = node_template(
            name,
            NodeTemplateArgs(
                display_name=f"{name} node", disk_gib=args.disk_gib, disk_throughput_mib_per_s=125, tags=args.tags
            ),
            child,
        )
        self.node_group = eks.NodeGroup(
            f"{name}-group",
            eks.NodeGroupArgs(
                cluster_name=args.cluster_name,
                version=args.version,
                node_role_arn=args.node_role_arn,
                subnet_ids=args.subnet_ids,
                ami_type="AL2023_ARM_64_STANDARD" if args.arm else "AL2023_x86_64_STANDARD",
                instance_types=[args.instance_type],
                capacity_type="ON_DEMAND",
                scaling_config=eks.NodeGroupScalingConfigArgs(
                    min_size=args.min_nodes, desired_size=args.desired_nodes, max_size=args.max_nodes
                ),
                update_config=eks.NodeGroupUpdateConfigArgs(max_unavailable=1),
                node_repair_config=eks.NodeGroupNodeRepairConfigArgs(enabled=True),
                launch_template=eks.NodeGroupLaunchTemplateArgs(
                    id=template.id, version=template.latest_version.apply(str)
                ),
                labels=LABELS,
                tags=dict(args.tags),
            ),
            opts=pulumi.ResourceOptions.merge(child, minded_by_others(f"{name}-group") if args.autoscaled else None),
        )
        self.register_outputs({"node_group": self.node_group.node_group_name})
