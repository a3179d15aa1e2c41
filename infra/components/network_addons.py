"""Add-ons that must be there before the first node: its pods' network, and identities for pods."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
from pulumi_aws import eks

from infra.components.identity import PodIdentity, PodIdentityArgs

CNI_POLICY = "arn:aws:iam::aws:policy/AmazonEKS_CNI_Policy"
# A /28 at a time instead of single addresses: more pods on a node, fewer calls to EC2. Network policies are enforced.
CNI = {"enableNetworkPolicy": "true", "env": {"ENABLE_PREFIX_DELEGATION": "true", "WARM_PREFIX_TARGET": "1"}}


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkAddonsArgs:
    """`versions`: of add-ons by name; without one EKS takes its default for the cluster's version."""

    cluster_name: pulumi.Input[str]
    versions: Mapping[str, str]
    tags: Mapping[str, str]


class NetworkAddons(pulumi.ComponentResource):
    """vpc-cni, kube-proxy and the Pod Identity agent; node groups depend on them."""

    def __init__(self, name: str, args: NetworkAddonsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("spillway:infra:NetworkAddons", name, None, opts)
        identity = PodIdentity(
            f"{name}-cni",
            PodIdentityArgs(
                cluster_name=args.cluster_name,
                namespace="kube-system",
                service_account="aws-node",
                managed={"network": CNI_POLICY},
                tags=args.tags,
            ),
            opts=pulumi.ResourceOptions(parent=self),
        )
        for addon, values in (("eks-pod-identity-agent", None), ("kube-proxy", None), ("vpc-cni", CNI)):
            managed_addon(
                f"{name}-{addon}",
                ManagedAddonArgs(
                    cluster_name=args.cluster_name,
                    addon=addon,
                    version=args.versions.get(addon),
                    values=values,
                    tags=args.tags,
                ),
                pulumi.ResourceOptions(parent=self, depends_on=[identity] if addon == "vpc-cni" else []),
            )
        self.register_outputs({})


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagedAddonArgs:
    """An add-on of EKS; `values`: its configuration."""

    cluster_name: pulumi.Input[str]
    addon: str
    version: str | None
    values: Mapping[str, object] | None
    tags: Mapping[str, str]


def managed_addon(name: str, args: ManagedAddonArgs, opts: pulumi.ResourceOptions) -> eks.Addon:
    """An add-on that EKS installs and that goes with its resource; by-hand changes of it are undone by an update."""
    return eks.Addon(
        name,
        eks.AddonArgs(
            cluster_name=args.cluster_name,
            addon_name=args.addon,
            addon_version=args.version,
            configuration_values=None if args.values is None else json.dumps(args.values, sort_keys=True),
            resolve_conflicts_on_create="OVERWRITE",
            resolve_conflicts_on_update="OVERWRITE",
            preserve=False,
            tags=dict(args.tags),
        ),
        opts=opts,
    )
