"""What AWS's own service models (botocore) say of the value of an input: enums, patterns, lengths, ranges."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import botocore.session

from tests.infra.doubles.wire import Failure, Value, Values

# The call that makes a resource: service, operation, and the member of its input with the fields (None: all of it).
CALLS: dict[str, tuple[str, str, str | None]] = {
    "autoscaling/schedule:Schedule": ("autoscaling", "PutScheduledUpdateGroupAction", None),
    "budgets/budget:Budget": ("budgets", "CreateBudget", "Budget"),
    "cloudwatch/logGroup:LogGroup": ("logs", "CreateLogGroup", None),
    "cloudwatch/metricAlarm:MetricAlarm": ("cloudwatch", "PutMetricAlarm", None),
    "ec2/eip:Eip": ("ec2", "AllocateAddress", None),
    "ec2/flowLog:FlowLog": ("ec2", "CreateFlowLogs", None),
    "ec2/launchTemplate:LaunchTemplate": ("ec2", "CreateLaunchTemplate", "LaunchTemplateData"),
    "ec2/natGateway:NatGateway": ("ec2", "CreateNatGateway", None),
    "ec2/placementGroup:PlacementGroup": ("ec2", "CreatePlacementGroup", None),
    "ec2/subnet:Subnet": ("ec2", "CreateSubnet", None),
    "ec2/vpc:Vpc": ("ec2", "CreateVpc", None),
    "ec2/vpcEndpoint:VpcEndpoint": ("ec2", "CreateVpcEndpoint", None),
    "ecr/pullThroughCacheRule:PullThroughCacheRule": ("ecr", "CreatePullThroughCacheRule", None),
    "ecr/repository:Repository": ("ecr", "CreateRepository", None),
    "ecr/repositoryCreationTemplate:RepositoryCreationTemplate": ("ecr", "CreateRepositoryCreationTemplate", None),
    "efs/fileSystem:FileSystem": ("efs", "CreateFileSystem", None),
    "efs/mountTarget:MountTarget": ("efs", "CreateMountTarget", None),
    "eks/accessEntry:AccessEntry": ("eks", "CreateAccessEntry", None),
    "eks/addon:Addon": ("eks", "CreateAddon", None),
    "eks/cluster:Cluster": ("eks", "CreateCluster", None),
    "eks/nodeGroup:NodeGroup": ("eks", "CreateNodegroup", None),
    "eks/podIdentityAssociation:PodIdentityAssociation": ("eks", "CreatePodIdentityAssociation", None),
    "fsx/lustreFileSystem:LustreFileSystem": ("fsx", "CreateFileSystem", "LustreConfiguration"),
    "iam/policy:Policy": ("iam", "CreatePolicy", None),
    "iam/role:Role": ("iam", "CreateRole", None),
    "kms/alias:Alias": ("kms", "CreateAlias", None),
    "kms/key:Key": ("kms", "CreateKey", None),
    "rds/instance:Instance": ("rds", "CreateDBInstance", None),
    "rds/subnetGroup:SubnetGroup": ("rds", "CreateDBSubnetGroup", None),
    "s3/bucket:Bucket": ("s3", "CreateBucket", None),
    "secretsmanager/secret:Secret": ("secretsmanager", "CreateSecret", None),
    "sns/topic:Topic": ("sns", "CreateTopic", None),
    "sqs/queue:Queue": ("sqs", "CreateQueue", None),
}


@cache
def _session() -> botocore.session.Session:
    return botocore.session.Session()


@cache
def _shape(token: str) -> Any:
    service, operation, member = CALLS[token]
    shape = _session().get_service_model(service).operation_model(operation).input_shape
    return shape.members[member] if member else shape


def check(token: str, values: Values) -> list[Failure]:
    """What AWS refuses by its model; inputs that the model does not name are not judged."""
    place = token.partition(":")[2]
    if place not in CALLS:
        return []
    noun = CALLS[place][1].removeprefix("Create")  # what is made is called `name` here and RoleName there
    found = _of_structure(_shape(place), {**values, f"{noun}Name": values.get("name")}, "")
    return [Failure("name" if one.path == f"{noun}Name" else one.path, one.reason) for one in found]


def _plain(name: str) -> str:
    return name.lower().removesuffix("s")


def _of_structure(shape: Any, values: Mapping[str, Value], path: str) -> Iterator[Failure]:
    members = {_plain(name): member for name, member in shape.members.items()}
    for name, value in values.items():
        member = members.get(_plain(name))
        if member is not None:
            yield from _of_value(member, value, f"{path}.{name}" if path else name)


def _of_value(shape: Any, value: Value, path: str) -> Iterator[Failure]:
    if shape.type_name == "structure" and isinstance(value, Mapping):
        yield from _of_structure(shape, value, path)
    elif shape.type_name == "list" and isinstance(value, list):
        for index, one in enumerate(value):
            yield from _of_value(shape.member, one, f"{path}[{index}]")
    elif shape.type_name == "string" and isinstance(value, str):
        yield from _of_text(shape, value, path)
    elif shape.type_name in ("integer", "long", "double") and isinstance(value, int | float):
        yield from _of_number(shape, value, path)


def _of_text(shape: Any, value: str, path: str) -> Iterator[Failure]:
    if getattr(shape, "enum", None) and value not in shape.enum:
        yield Failure(path, f"{value!r} is not one of {', '.join(sorted(shape.enum))}")
    limits = shape.metadata
    pattern = limits.get("pattern")
    if pattern and not _matches(pattern, value):
        yield Failure(path, f"{value!r} does not match {pattern}")
    if not limits.get("min", 0) <= len(value) <= limits.get("max", len(value)):
        yield Failure(
            path, f"{value!r} has {len(value)} characters, allowed {limits.get('min', 0)} to {limits.get('max')}"
        )


def _of_number(shape: Any, value: float, path: str) -> Iterator[Failure]:
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    if (least is not None and value < least) or (most is not None and value > most):
        yield Failure(path, f"{value} is not between {least} and {most}")


def _matches(pattern: str, value: str) -> bool:
    try:
        return re.search(rf"\A(?:{pattern})\Z", value) is not None
    except re.error:  # a pattern of Java's that Python has not
        return True
