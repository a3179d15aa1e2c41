"""What the load balancer controller may do in AWS: read what there is, change what carries the cluster's tag.

After the policy that the controller's project publishes, without what this stack never uses (Shield, Cognito,
outposts, IPAM); wildcards stand only where AWS offers no narrower resource.
"""

from __future__ import annotations

from infra.components.iam_documents import Statement, policy

TAG = "elbv2.k8s.aws/cluster"


def balancer_policy(cluster_name: str, region: str, account_id: str) -> str:
    """The document for one cluster."""
    ec2 = f"arn:aws:ec2:{region}:{account_id}"
    balancing = f"arn:aws:elasticloadbalancing:{region}:{account_id}"
    balancers = (f"{balancing}:loadbalancer/app/*", f"{balancing}:loadbalancer/net/*", f"{balancing}:targetgroup/*")
    listeners = (f"{balancing}:listener/*", f"{balancing}:listener-rule/*")
    is_ours: dict[str, dict[str, str | list[str]]] = {"StringEquals": {f"aws:ResourceTag/{TAG}": cluster_name}}
    becomes_ours: dict[str, dict[str, str | list[str]]] = {"StringEquals": {f"aws:RequestTag/{TAG}": cluster_name}}
    return policy(
        Statement(actions=_READS, resources=("*",)),
        Statement(actions=("ec2:CreateSecurityGroup",), resources=(f"{ec2}:vpc/*",)),
        Statement(
            actions=("ec2:CreateSecurityGroup", "ec2:CreateTags"),
            resources=(f"{ec2}:security-group/*",),
            conditions=becomes_ours,
        ),
        Statement(
            actions=("ec2:DeleteSecurityGroup", "ec2:CreateTags", "ec2:DeleteTags"),
            resources=(f"{ec2}:security-group/*",),
            conditions=is_ours,
        ),
        # Nodes' own group is changed too, so that balancers reach the pods.
        Statement(
            actions=("ec2:AuthorizeSecurityGroupIngress", "ec2:RevokeSecurityGroupIngress"),
            resources=(f"{ec2}:security-group/*",),
        ),
        Statement(
            actions=("elasticloadbalancing:CreateLoadBalancer", "elasticloadbalancing:CreateTargetGroup"),
            resources=balancers,
            conditions=becomes_ours,
        ),
        Statement(
            actions=tuple(f"elasticloadbalancing:{action}" for action in _LISTENERS),
            resources=(*balancers, *listeners),
        ),
        Statement(
            actions=("elasticloadbalancing:AddTags",),
            resources=(*balancers, *listeners),
            conditions={
                "StringEquals": {
                    "elasticloadbalancing:CreateAction": ["CreateTargetGroup", "CreateLoadBalancer", "CreateListener"]
                }
            },
        ),
        Statement(
            actions=tuple(f"elasticloadbalancing:{action}" for action in _CHANGES),
            resources=balancers,
            conditions=is_ours,
        ),
        Statement(
            actions=("elasticloadbalancing:RegisterTargets", "elasticloadbalancing:DeregisterTargets"),
            resources=(f"{balancing}:targetgroup/*",),
        ),
        Statement(
            actions=("wafv2:AssociateWebACL", "wafv2:DisassociateWebACL", "wafv2:GetWebACL"),
            resources=(f"arn:aws:wafv2:{region}:{account_id}:regional/webacl/*", f"{balancing}:loadbalancer/app/*"),
        ),
        Statement(actions=("elasticloadbalancing:SetWebACL",), resources=(f"{balancing}:loadbalancer/app/*",)),
    )


_READS = (
    *(
        f"ec2:Describe{what}"
        for what in (
            "AccountAttributes",
            "Addresses",
            "AvailabilityZones",
            "CoipPools",
            "Instances",
            "InternetGateways",
            "NetworkInterfaces",
            "RouteTables",
            "SecurityGroups",
            "Subnets",
            "Tags",
            "VpcPeeringConnections",
            "Vpcs",
        )
    ),
    "ec2:GetSecurityGroupsForVpc",
    *(
        f"elasticloadbalancing:Describe{what}"
        for what in (
            "CapacityReservation",
            "ListenerAttributes",
            "ListenerCertificates",
            "Listeners",
            "LoadBalancerAttributes",
            "LoadBalancers",
            "Rules",
            "SSLPolicies",
            "Tags",
            "TargetGroupAttributes",
            "TargetGroups",
            "TargetHealth",
            "TrustStores",
        )
    ),
    "acm:ListCertificates",
    "acm:DescribeCertificate",
    "wafv2:GetWebACLForResource",
)
_LISTENERS = (
    "CreateListener",
    "DeleteListener",
    "ModifyListener",
    "ModifyListenerAttributes",
    "AddListenerCertificates",
    "RemoveListenerCertificates",
    "CreateRule",
    "DeleteRule",
    "ModifyRule",
)
_CHANGES = (
    "AddTags",
    "RemoveTags",
    "DeleteLoadBalancer",
    "DeleteTargetGroup",
    "ModifyLoadBalancerAttributes",
    "ModifyTargetGroup",
    "ModifyTargetGroupAttributes",
    "SetIpAddressType",
    "SetSecurityGroups",
    "SetSubnets",
)
