"""The control plane of EKS: who reaches it, who may act in it, what it logs, how it packs pods."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as k8s
from pulumi_aws import cloudwatch, eks, iam

from infra.components.iam_documents import service_trust

CLUSTER_POLICY = "arn:aws:iam::aws:policy/AmazonEKSClusterPolicy"
ADMIN_POLICY = "arn:aws:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy"
# Weights of node scores: a full GPU node is worth more than an even spread of CPU.
PACKED = (("nvidia.com/gpu", 100), ("cpu", 1), ("memory", 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterArgs:
    """`public_endpoint_cidrs` empty: reached from the VPC alone. `bin_packing`: GPU nodes are filled one by one."""

    cluster_name: str
    region: str
    version: str
    subnet_ids: tuple[pulumi.Input[str], ...]
    public_endpoint_cidrs: tuple[str, ...]
    admin_role_arns: tuple[str, ...]
    key_arn: pulumi.Input[str]
    bin_packing: bool
    deletion_protection: bool
    upgrade_support: str
    logs: tuple[str, ...]
    logs_days: int
    tags: Mapping[str, str]


class Cluster(pulumi.ComponentResource):
    """A cluster without nodes, and the provider that speaks to its API by the caller's own AWS identity."""

    cluster_name: pulumi.Output[str]
    arn: pulumi.Output[str]
    endpoint: pulumi.Output[str]
    security_group_id: pulumi.Output[str]
    kubeconfig: pulumi.Output[str]
    provider: k8s.Provider

    def __init__(self, name: str, args: ClusterArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("spillway:infra:Cluster", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        role = iam.Role(
            f"{name}-role",
            iam.RoleArgs(assume_role_policy=service_trust("eks.amazonaws.com"), tags=dict(args.tags)),
            opts=child,
        )
        attached = iam.RolePolicyAttachment(
            f"{name}-role-cluster",
            iam.RolePolicyAttachmentArgs(role=role.name, policy_arn=CLUSTER_POLICY),
            opts=child,
        )
        # Made before the cluster, which else makes one that is kept for ever and never deleted.
        logs = cloudwatch.LogGroup(
            f"{name}-logs",
            cloudwatch.LogGroupArgs(
                name=f"/aws/eks/{args.cluster_name}/cluster", retention_in_days=args.logs_days, tags=dict(args.tags)
            ),
            opts=child,
        )
        cluster = eks.Cluster(
            f"{name}-cluster",
            _cluster_args(args, role.arn),
            opts=pulumi.ResourceOptions(parent=self, depends_on=[attached, logs], protect=args.deletion_protection),
        )
        self.cluster_name, self.arn, self.endpoint = cluster.name, cluster.arn, cluster.endpoint
        self.security_group_id = cluster.vpc_config.apply(lambda config: config.cluster_security_group_id or "")
        admins = [self._admin(name, arn, args) for arn in args.admin_role_arns]
        authority = cluster.certificate_authority.apply(lambda given: given.data or "")
        self.kubeconfig = pulumi.Output.all(cluster.name, cluster.endpoint, authority).apply(
            lambda parts: _kubeconfig(str(parts[0]), str(parts[1]), str(parts[2]), args.region)
        )
        self.provider = k8s.Provider(
            f"{name}-kubernetes",
            k8s.ProviderArgs(kubeconfig=self.kubeconfig, enable_server_side_apply=True),
            opts=pulumi.ResourceOptions(parent=self, depends_on=[cluster, *admins]),
        )
        self.register_outputs({"cluster_name": self.cluster_name, "endpoint": self.endpoint})

    def _admin(self, name: str, principal_arn: str, args: ClusterArgs) -> pulumi.Resource:
        key = principal_arn.rpartition("/")[2]
        entry = eks.AccessEntry(
            f"{name}-admin-{key}",
            eks.AccessEntryArgs(
                cluster_name=self.cluster_name, principal_arn=principal_arn, type="STANDARD", tags=dict(args.tags)
            ),
            opts=pulumi.ResourceOptions(parent=self),
        )
        return eks.AccessPolicyAssociation(
            f"{name}-admin-{key}",
            eks.AccessPolicyAssociationArgs(
                cluster_name=self.cluster_name,
                principal_arn=principal_arn,
                policy_arn=ADMIN_POLICY,
                access_scope=eks.AccessPolicyAssociationAccessScopeArgs(type="cluster"),
            ),
            opts=pulumi.ResourceOptions(parent=self, depends_on=[entry]),
        )


def _cluster_args(args: ClusterArgs, role_arn: pulumi.Input[str]) -> eks.ClusterArgs:
    public = bool(args.public_endpoint_cidrs)
    return eks.ClusterArgs(
        name=args.cluster_name,
        version=args.version,
        role_arn=role_arn,
        vpc_config=eks.ClusterVpcConfigArgs(
            subnet_ids=args.subnet_ids,
            endpoint_private_access=True,
            endpoint_public_access=public,
            public_access_cidrs=args.public_endpoint_cidrs if public else None,
        ),
        # Whoever creates the cluster has to install the releases in it.
        access_config=eks.ClusterAccessConfigArgs(
            authentication_mode="API", bootstrap_cluster_creator_admin_permissions=True
        ),
        bootstrap_self_managed_addons=False,
        encryption_config=eks.ClusterEncryptionConfigArgs(
            provider=eks.ClusterEncryptionConfigProviderArgs(key_arn=args.key_arn), resources=["secrets"]
        ),
        enabled_cluster_log_types=list(args.logs),
        kube_scheduler_config=_packing() if args.bin_packing else None,
        upgrade_policy=eks.ClusterUpgradePolicyArgs(support_type=args.upgrade_support),
        deletion_protection=args.deletion_protection,
        tags=dict(args.tags),
    )


def _packing() -> eks.ClusterKubeSchedulerConfigArgs:
    return eks.ClusterKubeSchedulerConfigArgs(
        node_resources_fit=eks.ClusterKubeSchedulerConfigNodeResourcesFitArgs(
            scoring_strategy=eks.ClusterKubeSchedulerConfigNodeResourcesFitScoringStrategyArgs(
                type="MostAllocated",
                resources=[
                    eks.ClusterKubeSchedulerConfigNodeResourcesFitScoringStrategyResourceArgs(name=name, weight=weight)
                    for name, weight in PACKED
                ],
            )
        )
    )


def _kubeconfig(cluster_name: str, endpoint: str, authority: str, region: str) -> str:
    token = ["eks", "get-token", "--cluster-name", cluster_name, "--region", region, "--output", "json"]
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {"name": cluster_name, "cluster": {"server": endpoint, "certificate-authority-data": authority}}
            ],
            "contexts": [{"name": cluster_name, "context": {"cluster": cluster_name, "user": cluster_name}}],
            "current-context": cluster_name,
            "users": [
                {
                    "name": cluster_name,
                    "user": {
                        "exec": {
                            "apiVersion": "client.authentication.k8s.io/v1beta1",
                            "command": "aws",
                            "args": token,
                            "interactiveMode": "Never",
                        }
                    },
                }
            ],
        }
    )
