"""A file system that all nodes mount, where weights are fetched once: EFS by its throughput, or FSx for Lustre."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import pulumi
import pulumi_kubernetes as k8s
from pulumi_aws import ec2, efs, fsx, vpc
from pulumi_kubernetes.core.v1 import (
    CSIPersistentVolumeSourceArgs,
    PersistentVolume,
    PersistentVolumeClaim,
    PersistentVolumeClaimInitArgs,
    PersistentVolumeClaimSpecArgs,
    PersistentVolumeInitArgs,
    PersistentVolumeSpecArgs,
    VolumeResourceRequirementsArgs,
)
from pulumi_kubernetes.meta.v1 import ObjectMetaArgs
from pulumi_kubernetes.storage.v1 import StorageClass, StorageClassInitArgs

PORTS = {"efs": (2049, 2049), "fsx": (988, 1023)}


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedCacheArgs:
    """`size_gib`: of FSx alone, a multiple of 1,200. `node_group_id`: the security group of all nodes."""

    kind: Literal["efs", "fsx"]
    size_gib: int
    vpc_id: pulumi.Input[str]
    subnet_ids: Mapping[str, pulumi.Input[str]]
    nodes_security_group_id: pulumi.Input[str]
    key_arn: pulumi.Input[str]
    namespace: pulumi.Input[str]
    provider: k8s.Provider
    tags: Mapping[str, str]


class SharedCache(pulumi.ComponentResource):
    """The file system; `storage_class` (EFS) or `claim` (FSx) is what the serving chart mounts."""

    storage_class: str | None = None
    claim: str | None = None

    def __init__(self, name: str, args: SharedCacheArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("spillway:infra:SharedCache", name, None, opts)
        self._name, self._args = name, args
        self._child = pulumi.ResourceOptions(parent=self)
        self._in_cluster = pulumi.ResourceOptions(parent=self, provider=args.provider)
        group = self._group()
        if args.kind == "efs":
            self._elastic(group)
            self.storage_class = "weights"
        else:
            self._lustre(group)
            self.claim = "weights"
        self.register_outputs({})

    def _group(self) -> ec2.SecurityGroup:
        low, high = PORTS[self._args.kind]
        group = ec2.SecurityGroup(
            f"{self._name}-group",
            ec2.SecurityGroupArgs(
                vpc_id=self._args.vpc_id,
                description="Nodes to the weights",
                egress=[
                    ec2.SecurityGroupEgressArgs(
                        protocol="-1", from_port=0, to_port=0, cidr_blocks=["0.0.0.0/0"], description="answers"
                    )
                ],
                tags=dict(self._args.tags),
            ),
            opts=self._child,
        )
        nodes = self._args.nodes_security_group_id
        rules = {"from-nodes": (group.id, nodes)}
        if self._args.kind == "fsx":  # Lustre's servers talk to each other, and call their clients
            rules |= {"among-servers": (group.id, group.id), "to-nodes": (nodes, group.id)}
        for key, (into, out_of) in rules.items():
            vpc.SecurityGroupIngressRule(
                f"{self._name}-{key}",
                vpc.SecurityGroupIngressRuleArgs(
                    security_group_id=into,
                    referenced_security_group_id=out_of,
                    ip_protocol="tcp",
                    from_port=low,
                    to_port=high,
                    description=key,
                    tags=dict(self._args.tags),
                ),
                opts=self._child,
            )
        return group

    def _elastic(self, group: ec2.SecurityGroup) -> None:
        args = self._args
        made = efs.FileSystem(
            f"{self._name}-files",
            efs.FileSystemArgs(
                encrypted=True,
                kms_key_id=args.key_arn,
                throughput_mode="elastic",
                tags={**args.tags, "Name": self._name},
            ),
            opts=self._child,
        )
        targets = [
            efs.MountTarget(
                f"{self._name}-in-{zone}",
                efs.MountTargetArgs(file_system_id=made.id, subnet_id=subnet, security_groups=[group.id]),
                opts=self._child,
            )
            for zone, subnet in args.subnet_ids.items()
        ]
        StorageClass(
            f"{self._name}-class",
            StorageClassInitArgs(
                metadata=ObjectMetaArgs(name="weights"),
                provisioner="efs.csi.aws.com",
                parameters={
                    "provisioningMode": "efs-ap",
                    "fileSystemId": made.id,
                    "directoryPerms": "700",
                    "uid": "10001",  # the user of the serving chart's pods
                    "gid": "10001",
                },
                reclaim_policy="Delete",
                volume_binding_mode="Immediate",
            ),
            opts=pulumi.ResourceOptions.merge(self._in_cluster, pulumi.ResourceOptions(depends_on=targets)),
        )

    def _lustre(self, group: ec2.SecurityGroup) -> None:
        args = self._args
        made = fsx.LustreFileSystem(
            f"{self._name}-files",
            fsx.LustreFileSystemArgs(
                subnet_ids=next(iter(args.subnet_ids.values())),
                storage_capacity=args.size_gib,
                deployment_type="PERSISTENT_2",
                per_unit_storage_throughput=250,
                data_compression_type="LZ4",
                kms_key_id=args.key_arn,
                security_group_ids=[group.id],
                skip_final_backup=True,  # weights can be fetched again
                tags={**args.tags, "Name": self._name},
            ),
            opts=self._child,
        )
        volume = PersistentVolume(
            f"{self._name}-volume",
            PersistentVolumeInitArgs(
                metadata=ObjectMetaArgs(name=self._name),
                spec=PersistentVolumeSpecArgs(
                    capacity={"storage": f"{args.size_gib}Gi"},
                    access_modes=["ReadWriteMany"],
                    mount_options=["flock"],
                    persistent_volume_reclaim_policy="Retain",
                    storage_class_name="",
                    csi=CSIPersistentVolumeSourceArgs(
                        driver="fsx.csi.aws.com",
                        volume_handle=made.id,
                        volume_attributes={"dnsname": made.dns_name, "mountname": made.mount_name},
                    ),
                ),
            ),
            opts=self._in_cluster,
        )
        PersistentVolumeClaim(
            f"{self._name}-claim",
            PersistentVolumeClaimInitArgs(
                metadata=ObjectMetaArgs(name="weights", namespace=args.namespace),
                spec=PersistentVolumeClaimSpecArgs(
                    access_modes=["ReadWriteMany"],
                    storage_class_name="",
                    volume_name=volume.metadata.apply(lambda metadata: metadata.name or ""),
                    resources=VolumeResourceRequirementsArgs(requests={"storage": f"{args.size_gib}Gi"}),
                ),
            ),
            opts=self._in_cluster,
        )
