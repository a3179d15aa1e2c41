"""Who talked to whom in the VPC, kept in CloudWatch for some days."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
from pulumi_aws import cloudwatch, ec2, iam

from infra.components.iam_documents import Statement, policy, service_trust


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowLogsArgs:
    """`days`: how long they are kept."""

    vpc_id: pulumi.Input[str]
    days: int
    tags: Mapping[str, str]


class FlowLogs(pulumi.ComponentResource):
    """All traffic of the VPC, accepted and refused, in one log group."""

    def __init__(self, name: str, args: FlowLogsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("spillway:infra:FlowLogs", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        group = cloudwatch.LogGroup(
            f"{name}-group", cloudwatch.LogGroupArgs(retention_in_days=args.days, tags=dict(args.tags)), opts=child
        )
        role = iam.Role(
            f"{name}-role",
            iam.RoleArgs(assume_role_policy=service_trust("vpc-flow-logs.amazonaws.com"), tags=dict(args.tags)),
            opts=child,
        )
        writes = iam.RolePolicy(
            f"{name}-writes",
            iam.RolePolicyArgs(role=role.name, policy=group.arn.apply(_writes)),
            opts=child,
        )
        ec2.FlowLog(
            f"{name}-log",
            ec2.FlowLogArgs(
                vpc_id=args.vpc_id,
                traffic_type="ALL",
                log_destination_type="cloud-watch-logs",
                log_destination=group.arn,
                iam_role_arn=role.arn,
                max_aggregation_interval=600,
                tags=dict(args.tags),
            ),
            opts=pulumi.ResourceOptions(parent=self, depends_on=[writes]),
        )
        self.register_outputs({})


def _writes(group_arn: str) -> str:
    actions = ("logs:CreateLogStream", "logs:PutLogEvents", "logs:DescribeLogStreams")
    return policy(Statement(actions=actions, resources=(group_arn, f"{group_arn}:*")))
