"""What every node has: an encrypted gp3 disk, metadata by token only and out of reach of pods, tags on all of it."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
from pulumi_aws import ec2

ROOT_DEVICE = "/dev/xvda"  # of the AL2023 images
TAGGED = ("instance", "volume", "network-interface")
BOUNDARY = "node-config"
# One disk of all local ones, which holds the kubelet's and containerd's folders; images are pulled in parallel.
LOCAL_DISKS = """apiVersion: node.eks.aws/v1alpha1
kind: NodeConfig
spec:
  featureGates:
    FastImagePull: true
  instance:
    localStorage:
      strategy: RAID0
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeTemplateArgs:
    """`instance_type` None: the node group names it. `capacity_block`: the reservation is a block, paid ahead."""

    display_name: str
    disk_gib: int
    disk_throughput_mib_per_s: int
    tags: Mapping[str, str]
    local_disks: bool = False
    instance_type: str | None = None
    placement_group: pulumi.Input[str] | None = None
    reservation_id: str | None = None
    capacity_block: bool = False


def node_template(name: str, args: NodeTemplateArgs, opts: pulumi.ResourceOptions) -> ec2.LaunchTemplate:
    """A launch template without an image: the node group adds its AMI and its own user data to it."""
    return ec2.LaunchTemplate(
        f"{name}-template",
        ec2.LaunchTemplateArgs(
            instance_type=args.instance_type,
            block_device_mappings=[_disk(args)],
            metadata_options=ec2.LaunchTemplateMetadataOptionsArgs(
                http_endpoint="enabled", http_tokens="required", http_put_response_hop_limit=1
            ),
            monitoring=ec2.LaunchTemplateMonitoringArgs(enabled=True),
            user_data=_user_data(LOCAL_DISKS) if args.local_disks else None,
            placement=_placement(args.placement_group),
            instance_market_options=(
                ec2.LaunchTemplateInstanceMarketOptionsArgs(market_type="capacity-block")
                if args.capacity_block
                else None
            ),
            capacity_reservation_specification=_reservation(args.reservation_id),
            tag_specifications=[
                ec2.LaunchTemplateTagSpecificationArgs(
                    resource_type=kind, tags={**args.tags, "Name": args.display_name}
                )
                for kind in TAGGED
            ],
            update_default_version=True,
            tags=dict(args.tags),
        ),
        opts=opts,
    )


def _disk(args: NodeTemplateArgs) -> ec2.LaunchTemplateBlockDeviceMappingArgs:
    return ec2.LaunchTemplateBlockDeviceMappingArgs(
        device_name=ROOT_DEVICE,
        ebs=ec2.LaunchTemplateBlockDeviceMappingEbsArgs(
            volume_type="gp3",
            volume_size=args.disk_gib,
            throughput=args.disk_throughput_mib_per_s,
            iops=max(3000, 4 * args.disk_throughput_mib_per_s),  # gp3 gives at most 0.25 MiB/s for each
            encrypted="true",
            delete_on_termination="true",
        ),
    )


def _placement(group: pulumi.Input[str] | None) -> ec2.LaunchTemplatePlacementArgs | None:
    return None if group is None else ec2.LaunchTemplatePlacementArgs(group_name=group)


def _reservation(reservation_id: str | None) -> ec2.LaunchTemplateCapacityReservationSpecificationArgs | None:
    if reservation_id is None:
        return None
    target = ec2.LaunchTemplateCapacityReservationSpecificationCapacityReservationTargetArgs(
        capacity_reservation_id=reservation_id
    )
    return ec2.LaunchTemplateCapacityReservationSpecificationArgs(capacity_reservation_target=target)


def _user_data(node_config: str) -> str:
    text = (
        f'MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary="{BOUNDARY}"\n\n--{BOUNDARY}\n'
        f"Content-Type: application/node.eks.aws\n\n---\n{node_config}--{BOUNDARY}--\n"
    )
    return base64.b64encode(text.encode()).decode()
