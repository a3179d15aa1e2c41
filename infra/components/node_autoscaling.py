"""What adds and removes nodes of managed groups when pods wait or nodes idle: the cluster autoscaler."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as k8s

from infra.components.charts import ChartArgs, release
from infra.components.iam_documents import Statement, policy
from infra.components.identity import PodIdentity, PodIdentityArgs

ACCOUNT = "cluster-autoscaler"
READS = (
    "autoscaling:DescribeAutoScalingGroups",
    "autoscaling:DescribeAutoScalingInstances",
    "autoscaling:DescribeLaunchConfigurations",
    "autoscaling:DescribeScalingActivities",
    "autoscaling:DescribeTags",
    "ec2:DescribeImages",
    "ec2:DescribeInstanceTypes",
    "ec2:DescribeLaunchTemplateVersions",
    "ec2:GetInstanceTypesFromInstanceRequirements",
    "eks:DescribeNodegroup",
)
# Spot first; where it has nothing the group of the same pool that rents on demand.
PRIORITIES = "20:\n  - .*-spot-.*\n10:\n  - .*\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeAutoscalingArgs:
    """`idle_s`: how long a node may be unneeded before it goes."""

    cluster_name: str
    region: str
    idle_s: int
    provider: k8s.Provider
    tags: Mapping[str, str]


class NodeAutoscaling(pulumi.ComponentResource):
    """The cluster autoscaler; it may change the groups of this cluster and no other."""

    def __init__(self, name: str, args: NodeAutoscalingArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("spillway:infra:NodeAutoscaling", name, None, opts)
        identity = PodIdentity(
            f"{name}-identity",
            PodIdentityArgs(
                cluster_name=args.cluster_name,
                namespace="kube-system",
                service_account=ACCOUNT,
                policy=_rights(args.cluster_name, args.region),
                tags=args.tags,
            ),
            opts=pulumi.ResourceOptions(parent=self),
        )
        release(
            f"{name}-autoscaler",
            ChartArgs(
                chart="cluster-autoscaler",
                release="cluster-autoscaler",
                namespace="kube-system",
                values={
                    "cloudProvider": "aws",
                    "awsRegion": args.region,
                    "autoDiscovery": {"clusterName": args.cluster_name},
                    "rbac": {"serviceAccount": {"create": True, "name": ACCOUNT}},
                    "expanderPriorities": PRIORITIES,
                    "extraArgs": {
                        "expander": "priority",
                        "scale-down-unneeded-time": f"{args.idle_s}s",
                        "skip-nodes-with-system-pods": False,
                        "balance-similar-node-groups": True,
                    },
                },
            ),
            parent=self,
            provider=args.provider,
            depends_on=[identity],
        )
        self.register_outputs({})


def _rights(cluster_name: str, region: str) -> str:
    return policy(
        Statement(actions=READS, resources=("*",)),
        Statement(
            actions=("autoscaling:SetDesiredCapacity", "autoscaling:TerminateInstanceInAutoScalingGroup"),
            resources=(f"arn:aws:autoscaling:{region}:*:autoScalingGroup:*:autoScalingGroupName/eks-*",),
            conditions={"StringEquals": {f"aws:ResourceTag/k8s.io/cluster-autoscaler/{cluster_name}": "owned"}},
        ),
    )
