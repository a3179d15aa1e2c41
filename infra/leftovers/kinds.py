"""What kind of thing an ARN names, and whether it goes on billing when nothing uses it."""

from __future__ import annotations

from dataclasses import dataclass

# service:type of an ARN -> (words, why it bills). What is not here is free of charge by itself.
BILLS = {
    "ec2:instance": ("instance", "by the second while it runs; its disks always"),
    "ec2:volume": ("disk", "by the GiB, attached or not"),
    "ec2:snapshot": ("snapshot", "by the GiB that changed"),
    "ec2:natgateway": ("NAT gateway", "by the hour"),
    "ec2:elastic-ip": ("address", "by the hour, used or not"),
    "ec2:vpc-endpoint": ("endpoint", "interface endpoints by the hour and zone"),
    "ec2:capacity-reservation": ("capacity reservation", "as if instances ran in it"),
    "elasticloadbalancing:loadbalancer": ("load balancer", "by the hour"),
    "eks:cluster": ("EKS control plane", "by the hour"),
    "eks:nodegroup": ("node group", "through its instances"),
    "autoscaling:autoScalingGroup": ("group of instances", "through its instances"),
    "rds:db": ("database", "by the hour, its storage always"),
    "rds:snapshot": ("database snapshot", "by the GiB"),
    "s3:": ("bucket", "by the GiB it holds"),
    "fsx:file-system": ("file system", "by the GiB, used or not"),
    "elasticfilesystem:file-system": ("file system", "by the GiB it holds"),
    "kms:key": ("key", "by the month until it is deleted"),
    "secretsmanager:secret": ("secret", "by the month"),
    "ecr:repository": ("repository of images", "by the GiB it holds"),
    "logs:log-group": ("logs", "by the GiB it holds"),
    "wafv2:regional": ("firewall", "by the month"),
    "aps:workspace": ("Prometheus workspace", "by the samples it takes and holds"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """Words for a kind of resource; `bills` is empty for what costs nothing by itself."""

    words: str
    bills: str
    id: str


def kind_of(arn: str) -> Kind:
    """The kind an ARN names: arn:partition:service:region:account:type/id, or ...:type:id."""
    service, rest = arn.split(":", 5)[2], arn.split(":", 5)[5]
    separator = "/" if "/" in rest and (":" not in rest or rest.index("/") < rest.index(":")) else ":"
    first, found, identifier = rest.partition(separator)
    kind = first if found else ""
    words, bills = BILLS.get(f"{service}:{kind}", (f"{service} {kind or 'resource'}", ""))
    return Kind(words=words, bills=bills, id=identifier if found else rest)
