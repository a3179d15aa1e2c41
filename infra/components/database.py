"""PostgreSQL on RDS: the ledger, the keys of callers. The one thing of a stack that cannot be made again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
from pulumi_aws import ec2, rds, secretsmanager, vpc

PORT = 5432
# RDS changes the password by itself every week, and a gateway reads its own when it starts: once a year, planned.
ROTATION_DAYS = 365


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseArgs:
    """`keep`: no deletion, by AWS or by Pulumi, and a last snapshot. `client_group_ids`: who may connect, by key."""

    database: str
    version: str
    instance_class: str
    storage_gib: int
    max_storage_gib: int
    multi_az: bool
    backup_days: int
    keep: bool
    vpc_id: pulumi.Input[str]
    subnet_ids: tuple[pulumi.Input[str], ...]
    client_group_ids: Mapping[str, pulumi.Input[str]]
    key_arn: pulumi.Input[str]
    tags: Mapping[str, str]


class Database(pulumi.ComponentResource):
    """An encrypted instance without a public address; its password is made and kept by AWS, never seen here."""

    host: pulumi.Output[str]
    password_secret_arn: pulumi.Output[str]
    identifier: pulumi.Output[str]

    def __init__(self, name: str, args: DatabaseArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("spillway:infra:Database", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        self._name, self._args = name, args
        subnets = rds.SubnetGroup(
            f"{name}-subnets", rds.SubnetGroupArgs(subnet_ids=args.subnet_ids, tags=dict(args.tags)), opts=child
        )
        parameters = rds.ParameterGroup(
            f"{name}-parameters",
            rds.ParameterGroupArgs(
                family=f"postgres{args.version.partition('.')[0]}",
                parameters=[rds.ParameterGroupParameterArgs(name="rds.force_ssl", value="1")],
                tags=dict(args.tags),
            ),
            opts=child,
        )
        made = rds.Instance(
            f"{name}-instance",
            self._instance(subnets, parameters, self._group()),
            opts=pulumi.ResourceOptions(parent=self, protect=args.keep),
        )
        self.host, self.identifier = made.address, made.identifier
        self.password_secret_arn = made.master_user_secrets.apply(lambda made: made[0].secret_arn or "")
        secretsmanager.SecretRotation(
            f"{name}-rotation",
            secretsmanager.SecretRotationArgs(
                secret_id=self.password_secret_arn,
                rotate_immediately=False,
                rotation_rules=secretsmanager.SecretRotationRotationRulesArgs(automatically_after_days=ROTATION_DAYS),
            ),
            opts=child,
        )
        self.register_outputs({"host": self.host})

    def _group(self) -> ec2.SecurityGroup:
        child = pulumi.ResourceOptions(parent=self)
        group = ec2.SecurityGroup(
            f"{self._name}-group",
            ec2.SecurityGroupArgs(
                vpc_id=self._args.vpc_id, description="Pods to PostgreSQL", tags=dict(self._args.tags)
            ),
            opts=child,
        )
        for key, client in self._args.client_group_ids.items():
            vpc.SecurityGroupIngressRule(
                f"{self._name}-from-{key}",
                vpc.SecurityGroupIngressRuleArgs(
                    security_group_id=group.id,
                    referenced_security_group_id=client,
                    ip_protocol="tcp",
                    from_port=PORT,
                    to_port=PORT,
                    description=key,
                    tags=dict(self._args.tags),
                ),
                opts=child,
            )
        return group

    def _instance(
        self, subnets: rds.SubnetGroup, parameters: rds.ParameterGroup, group: ec2.SecurityGroup
    ) -> rds.InstanceArgs:
        args = self._args
        return rds.InstanceArgs(
            engine="postgres",
            engine_version=args.version,
            instance_class=args.instance_class,
            db_name=args.database,
            username="spillway",
            manage_master_user_password=True,
            master_user_secret_kms_key_id=args.key_arn,
            allocated_storage=args.storage_gib,
            max_allocated_storage=args.max_storage_gib,
            storage_type="gp3",
            storage_encrypted=True,
            kms_key_id=args.key_arn,
            multi_az=args.multi_az,
            publicly_accessible=False,
            db_subnet_group_name=subnets.name,
            parameter_group_name=parameters.name,
            vpc_security_group_ids=[group.id],
            backup_retention_period=args.backup_days,
            copy_tags_to_snapshot=True,
            auto_minor_version_upgrade=True,
            performance_insights_enabled=True,
            performance_insights_kms_key_id=args.key_arn,
            enabled_cloudwatch_logs_exports=["postgresql", "upgrade"],
            deletion_protection=args.keep,
            delete_automated_backups=not args.keep,
            skip_final_snapshot=not args.keep,
            final_snapshot_identifier=f"{self._name}-last" if args.keep else None,
            tags=dict(args.tags),
        )
