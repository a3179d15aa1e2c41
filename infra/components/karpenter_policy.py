"""What Karpenter may do in AWS: start, tag and end instances of this cluster, and read what there is to start.

After the policy of Karpenter's own installation page, for one cluster and one node role.
"""

from __future__ import annotations

from dataclasses import dataclass

from infra.components.iam_documents import Statement, policy

MADE = ("fleet", "instance", "volume", "network-interface", "launch-template", "spot-instances-request")
READS = (
    "ec2:DescribeCapacityReservations",
    "ec2:DescribeImages",
    "ec2:DescribeInstanceStatus",
    "ec2:DescribeInstanceTypeOfferings",
    "ec2:DescribeInstanceTypes",
    "ec2:DescribeInstances",
    "ec2:DescribeLaunchTemplates",
    "ec2:DescribePlacementGroups",
    "ec2:DescribeSecurityGroups",
    "ec2:DescribeSpotPriceHistory",
    "ec2:DescribeSubnets",
    "iam:ListInstanceProfiles",
    "pricing:GetProducts",
)
PROFILE_CHANGES = (
    "iam:AddRoleToInstanceProfile",
    "iam:CreateInstanceProfile",
    "iam:DeleteInstanceProfile",
    "iam:RemoveRoleFromInstanceProfile",
    "iam:TagInstanceProfile",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class KarpenterScope:
    """The one cluster, node role and queue that the rights are for."""

    cluster_name: str
    region: str
    account_id: str
    node_role_arn: str
    queue_arn: str


def karpenter_policy(scope: KarpenterScope) -> str:
    """The document."""
    ec2 = f"arn:aws:ec2:{scope.region}:*"
    owned = f"kubernetes.io/cluster/{scope.cluster_name}"
    made = tuple(f"{ec2}:{kind}/*" for kind in MADE)
    given: dict[str, dict[str, str | list[str]]] = {
        "StringEquals": {f"aws:RequestTag/{owned}": "owned"},
        "StringLike": {"aws:RequestTag/karpenter.sh/nodepool": "*"},
    }
    has: dict[str, dict[str, str | list[str]]] = {
        "StringEquals": {f"aws:ResourceTag/{owned}": "owned"},
        "StringLike": {"aws:ResourceTag/karpenter.sh/nodepool": "*"},
    }
    profiles = f"arn:aws:iam::{scope.account_id}:instance-profile/*"
    cluster = f"arn:aws:eks:{scope.region}:{scope.account_id}:cluster/{scope.cluster_name}"
    return policy(
        Statement(actions=READS, resources=("*",)),
        Statement(
            actions=("ec2:RunInstances", "ec2:CreateFleet"),
            resources=(
                f"arn:aws:ec2:{scope.region}::image/*",
                f"arn:aws:ec2:{scope.region}::snapshot/*",
                *(f"{ec2}:{kind}/*" for kind in ("security-group", "subnet", "capacity-reservation")),
            ),
        ),
        Statement(
            actions=("ec2:RunInstances", "ec2:CreateFleet"), resources=(f"{ec2}:launch-template/*",), conditions=has
        ),
        Statement(
            actions=("ec2:RunInstances", "ec2:CreateFleet", "ec2:CreateLaunchTemplate"),
            resources=made,
            conditions=given,
        ),
        Statement(
            actions=("ec2:CreateTags",),
            resources=made,
            conditions={
                **given,
                "StringEquals": {
                    **given["StringEquals"],
                    "ec2:CreateAction": ["RunInstances", "CreateFleet", "CreateLaunchTemplate"],
                },
            },
        ),
        Statement(actions=("ec2:CreateTags",), resources=(f"{ec2}:instance/*",), conditions=has),
        Statement(
            actions=("ec2:TerminateInstances", "ec2:DeleteLaunchTemplate"),
            resources=(f"{ec2}:instance/*", f"{ec2}:launch-template/*"),
            conditions=has,
        ),
        Statement(actions=("ssm:GetParameter",), resources=(f"arn:aws:ssm:{scope.region}::parameter/aws/service/*",)),
        Statement(actions=("sqs:DeleteMessage", "sqs:GetQueueUrl", "sqs:ReceiveMessage"), resources=(scope.queue_arn,)),
        Statement(
            actions=("iam:PassRole",),
            resources=(scope.node_role_arn,),
            conditions={"StringEquals": {"iam:PassedToService": "ec2.amazonaws.com"}},
        ),
        Statement(actions=PROFILE_CHANGES, resources=(profiles,)),
        Statement(actions=("iam:GetInstanceProfile",), resources=(profiles,)),
        Statement(actions=("eks:DescribeCluster",), resources=(cluster,)),
    )
