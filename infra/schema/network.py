"""Where it stands: the VPC, its zones and what leaves it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from infra.schema.values import Cidr, Days, Section, Switch, ZoneName

Endpoint = Literal["s3", "ecr.api", "ecr.dkr", "sts", "eks", "eks-auth", "ec2", "logs", "secretsmanager"]


class NetworkSettings(Section):
    """A VPC over two to four zones, with a private and a public subnet in each; pods have a network of their own."""

    vpc_cidr: Cidr = "10.0.0.0/16"
    pods_cidr: Cidr | None = (
        "100.64.0.0/16"  # a secondary network of the VPC, one subnet of it a zone; None: pods in the VPC's
    )
    az_count: Annotated[int, Field(strict=True, ge=2, le=4)] = 3
    availability_zones: Annotated[
        tuple[ZoneName, ...], Field(max_length=4)
    ] = ()  # empty: the region's first `az_count`
    single_nat_gateway: Switch = False
    endpoints: frozenset[Endpoint] = frozenset({"s3", "ecr.api", "ecr.dkr", "sts", "eks"})
    flow_logs: Switch = True
    flow_logs_days: Days = 30
