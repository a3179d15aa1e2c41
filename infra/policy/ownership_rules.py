"""Whose a resource is, and that what cannot be made again is not lost by mistake. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from infra.policy.resources import Judged, Limits, at

STATEFUL = frozenset(
    {"aws:eks/cluster:Cluster", "aws:kms/key:Key", "aws:rds/instance:Instance", "aws:s3/bucket:Bucket"}
)
# A key that is needed only while something is on its way can be made again.
PASSING = "-alarms-key"
TAGGED = frozenset(
    f"aws:{place}"
    for place in (
        "amp/scraper:Scraper",
        "amp/workspace:Workspace",
        "budgets/budget:Budget",
        "cloudwatch/logGroup:LogGroup",
        "cloudwatch/metricAlarm:MetricAlarm",
        "ec2/eip:Eip",
        "ec2/flowLog:FlowLog",
        "ec2/internetGateway:InternetGateway",
        "ec2/launchTemplate:LaunchTemplate",
        "ec2/natGateway:NatGateway",
        "ec2/placementGroup:PlacementGroup",
        "ec2/routeTable:RouteTable",
        "ec2/securityGroup:SecurityGroup",
        "ec2/subnet:Subnet",
        "ec2/vpc:Vpc",
        "ec2/vpcEndpoint:VpcEndpoint",
        "ecr/repository:Repository",
        "efs/fileSystem:FileSystem",
        "eks/accessEntry:AccessEntry",
        "eks/addon:Addon",
        "eks/cluster:Cluster",
        "eks/nodeGroup:NodeGroup",
        "eks/podIdentityAssociation:PodIdentityAssociation",
        "fsx/lustreFileSystem:LustreFileSystem",
        "iam/role:Role",
        "kms/key:Key",
        "rds/instance:Instance",
        "rds/parameterGroup:ParameterGroup",
        "rds/subnetGroup:SubnetGroup",
        "s3/bucket:Bucket",
        "sns/topic:Topic",
        "sqs/queue:Queue",
        "wafv2/webAcl:WebAcl",
    )
)


def tagged(one: Judged, limits: Limits) -> Iterator[str]:
    """Everything that bills can be found by the tags that the pack's configuration asks for."""
    if one.kind not in TAGGED:
        return
    missing = [tag for tag in limits.required_tags if not any(at(one.inputs, "tags", tag))]
    if missing:
        yield f"lacks the tags {', '.join(missing)}"


def protected(one: Judged) -> Iterator[str]:
    """`protect`, and AWS's own protection where there is one."""
    if one.kind not in STATEFUL or one.name.endswith(PASSING):
        return
    if not one.is_protected:
        yield "holds what cannot be made again; `protect` must be set"
    if one.kind in {"aws:eks/cluster:Cluster", "aws:rds/instance:Instance"} and not one.inputs.get(
        "deletionProtection"
    ):
        yield "can be deleted in the console; deletionProtection must be true"
