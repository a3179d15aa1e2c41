"""Add-ons of EKS that run on nodes: names, volumes, metrics for the pod autoscaler, the health of nodes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi

from infra.components.identity import PodIdentity, PodIdentityArgs
from infra.components.network_addons import ManagedAddonArgs, managed_addon

# What an add-on needs to act in AWS: its service account and AWS's own policy for it.
IDENTITIES = {
    "aws-ebs-csi-driver": ("ebs-csi-controller-sa", "AmazonEBSCSIDriverPolicy"),
    "aws-efs-csi-driver": ("efs-csi-controller-sa", "AmazonEFSCSIDriverPolicy"),
}
ALWAYS = ("aws-ebs-csi-driver", "coredns", "eks-node-monitoring-agent", "metrics-server")


@dataclass(frozen=True, slots=True, kw_only=True)
class AddonsArgs:
    """`extra`: add-ons beside those every stack has, such as `aws-efs-csi-driver`."""

    cluster_name: pulumi.Input[str]
    extra: tuple[str, ...]
    versions: Mapping[str, str]
    tags: Mapping[str, str]


class Addons(pulumi.ComponentResource):
    """The add-ons, each with the identity it needs."""

    def __init__(self, name: str, args: AddonsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("spillway:infra:Addons", name, None, opts)
        for addon in (*ALWAYS, *args.extra):
            after: list[pulumi.Resource] = []
            if addon in IDENTITIES:
                after.append(self._identity(f"{name}-{addon}", addon, args))
            managed_addon(
                f"{name}-{addon}",
                ManagedAddonArgs(
                    cluster_name=args.cluster_name,
                    addon=addon,
                    version=args.versions.get(addon),
                    values=None,
                    tags=args.tags,
                ),
                pulumi.ResourceOptions(parent=self, depends_on=after),
            )
        self.register_outputs({})

    def _identity(self, name: str, addon: str, args: AddonsArgs) -> PodIdentity:
        account, policy = IDENTITIES[addon]
        return PodIdentity(
            name,
            PodIdentityArgs(
                cluster_name=args.cluster_name,
                namespace="kube-system",
                service_account=account,
                managed={"driver": f"arn:aws:iam::aws:policy/service-role/{policy}"},
                tags=args.tags,
            ),
            opts=pulumi.ResourceOptions(parent=self),
        )
