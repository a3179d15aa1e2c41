"""Who is told by mail: alarms of CloudWatch on what no pod can see, and the budget of the month."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
from pulumi_aws import budgets, cloudwatch, kms, sns

GIB = 1024**3


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """One figure of CloudWatch that is on the wrong side of `threshold` for three periods of five minutes."""

    namespace: str
    metric: str
    dimensions: Mapping[str, pulumi.Input[str]]
    statistic: str
    above: bool
    threshold: float
    says: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmsArgs:
    """`budget_percents`: of `budget_usd_per_month` spent, each mailed once; 100 also when it is only foreseen."""

    account_id: pulumi.Input[str]
    alarms: Mapping[str, Alarm]
    alarm_emails: tuple[str, ...]
    budget_usd_per_month: float
    budget_percents: tuple[int, ...]
    budget_emails: tuple[str, ...]
    tags: Mapping[str, str]


class Alarms(pulumi.ComponentResource):
    """A topic with its readers, the alarms that write to it, and a budget of the whole account."""

    def __init__(self, name: str, args: AlarmsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("spillway:infra:Alarms", name, None, opts)
        self._name, self._args = name, args
        self._child = pulumi.ResourceOptions(parent=self)
        if args.alarm_emails:
            topic = self._topic()
            for key, alarm in args.alarms.items():
                self._alarm(key, alarm, topic)
        if args.budget_emails and args.budget_usd_per_month > 0:
            self._budget()
        self.register_outputs({})

    def _topic(self) -> sns.Topic:
        args = self._args
        # CloudWatch cannot write to a topic under AWS's own key, so the topic has one that lets it.
        key = kms.Key(
            f"{self._name}-key",
            kms.KeyArgs(
                description="alarms on their way to readers",
                enable_key_rotation=True,
                deletion_window_in_days=7,
                policy=pulumi.Output.from_input(args.account_id).apply(_key_policy),
                tags=dict(args.tags),
            ),
            opts=self._child,
        )
        topic = sns.Topic(
            f"{self._name}-topic", sns.TopicArgs(kms_master_key_id=key.arn, tags=dict(args.tags)), opts=self._child
        )
        for email in args.alarm_emails:
            sns.TopicSubscription(
                f"{self._name}-to-{email.replace('@', '-at-')}",
                sns.TopicSubscriptionArgs(topic=topic.arn, protocol="email", endpoint=email),
                opts=self._child,
            )
        return topic

    def _alarm(self, key: str, alarm: Alarm, topic: sns.Topic) -> None:
        cloudwatch.MetricAlarm(
            f"{self._name}-{key}",
            cloudwatch.MetricAlarmArgs(
                alarm_description=alarm.says,
                namespace=alarm.namespace,
                metric_name=alarm.metric,
                dimensions=alarm.dimensions,
                statistic=alarm.statistic,
                period=300,
                evaluation_periods=3,
                datapoints_to_alarm=3,
                comparison_operator="GreaterThanThreshold" if alarm.above else "LessThanThreshold",
                threshold=alarm.threshold,
                treat_missing_data="notBreaching",
                alarm_actions=[topic.arn],
                ok_actions=[topic.arn],
                tags=dict(self._args.tags),
            ),
            opts=self._child,
        )

    def _budget(self) -> None:
        args = self._args
        kinds = [("ACTUAL", percent) for percent in args.budget_percents] + [("FORECASTED", 100)]
        budgets.Budget(
            f"{self._name}-budget",
            budgets.BudgetArgs(
                budget_type="COST",
                time_unit="MONTHLY",
                limit_amount=f"{args.budget_usd_per_month:.2f}",
                limit_unit="USD",
                notifications=[
                    budgets.BudgetNotificationArgs(
                        comparison_operator="GREATER_THAN",
                        notification_type=kind,
                        threshold=percent,
                        threshold_type="PERCENTAGE",
                        subscriber_email_addresses=args.budget_emails,
                    )
                    for kind, percent in kinds
                ],
                tags=dict(args.tags),
            ),
            opts=self._child,
        )


def database_alarms(identifier: pulumi.Input[str]) -> dict[str, Alarm]:
    """What goes wrong with the ledger before callers see it."""

    def alarm(metric: str, *, above: bool, threshold: float, says: str) -> Alarm:
        return Alarm(
            namespace="AWS/RDS",
            metric=metric,
            dimensions={"DBInstanceIdentifier": identifier},
            statistic="Average",
            above=above,
            threshold=threshold,
            says=says,
        )

    return {
        "database-cpu": alarm("CPUUtilization", above=True, threshold=80, says="the ledger's CPU is above 80 %"),
        "database-disk": alarm(
            "FreeStorageSpace", above=False, threshold=5 * GIB, says="the ledger has less than 5 GiB of disk left"
        ),
        "database-memory": alarm(
            "FreeableMemory", above=False, threshold=GIB / 5, says="the ledger has less than 200 MiB of memory left"
        ),
    }


def nat_alarms(gateways: Mapping[str, pulumi.Input[str]]) -> dict[str, Alarm]:
    """Ways out that have no port left, so that calls to providers fail; by zone."""
    return {
        f"nat-{zone}": Alarm(
            namespace="AWS/NATGateway",
            metric="ErrorPortAllocation",
            dimensions={"NatGatewayId": gateway},
            statistic="Sum",
            above=True,
            threshold=0,
            says=f"the NAT gateway of {zone} has no port left for new connections",
        )
        for zone, gateway in gateways.items()
    }


def _key_policy(account_id: str) -> str:
    owner = {
        "Sid": "Owner",
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{account_id}:root"},
        "Action": "kms:*",
        "Resource": "*",
    }
    alarms = {
        "Sid": "Alarms",
        "Effect": "Allow",
        "Principal": {"Service": "cloudwatch.amazonaws.com"},
        "Action": ["kms:Decrypt", "kms:GenerateDataKey*"],
        "Resource": "*",
        "Condition": {"StringEquals": {"aws:SourceAccount": account_id}},
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [owner, alarms]})
