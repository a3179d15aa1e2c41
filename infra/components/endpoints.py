"""Ways from the VPC to AWS that pass no NAT gateway: S3 by route, others by an interface in each private subnet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
from pulumi_aws import ec2, vpc


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointsArgs:
    """`names`: `s3` (a gateway, free) and others (interfaces, billed by the hour and zone). `cidrs`: who may call."""

    vpc_id: pulumi.Input[str]
    region: str
    names: frozenset[str]
    subnet_ids: tuple[pulumi.Input[str], ...]
    route_table_ids: tuple[pulumi.Input[str], ...]
    cidrs: tuple[str, ...]
    tags: Mapping[str, str]


class Endpoints(pulumi.ComponentResource):
    """Endpoints of the VPC; interface ones answer under the service's usual name."""

    def __init__(self, name: str, args: EndpointsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("spillway:infra:Endpoints", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        if "s3" in args.names:
            ec2.VpcEndpoint(
                f"{name}-s3",
                ec2.VpcEndpointArgs(
                    vpc_id=args.vpc_id,
                    service_name=f"com.amazonaws.{args.region}.s3",
                    vpc_endpoint_type="Gateway",
                    route_table_ids=args.route_table_ids,
                    tags={**args.tags, "Name": f"{name} s3"},
                ),
                opts=child,
            )
        interfaces = sorted(args.names - {"s3"})
        if interfaces:
            group = self._group(name, args)
            for service in interfaces:
                ec2.VpcEndpoint(
                    f"{name}-{service.replace('.', '-')}",
                    ec2.VpcEndpointArgs(
                        vpc_id=args.vpc_id,
                        service_name=f"com.amazonaws.{args.region}.{service}",
                        vpc_endpoint_type="Interface",
                        private_dns_enabled=True,
                        subnet_ids=args.subnet_ids,
                        security_group_ids=[group.id],
                        tags={**args.tags, "Name": f"{name} {service}"},
                    ),
                    opts=child,
                )
        self.register_outputs({})

    def _group(self, name: str, args: EndpointsArgs) -> ec2.SecurityGroup:
        child = pulumi.ResourceOptions(parent=self)
        group = ec2.SecurityGroup(
            f"{name}-callers",
            ec2.SecurityGroupArgs(
                vpc_id=args.vpc_id, description="HTTPS to the endpoints of the VPC", tags=dict(args.tags)
            ),
            opts=child,
        )
        for cidr in args.cidrs:
            vpc.SecurityGroupIngressRule(
                f"{name}-from-{cidr.replace('.', '-').replace('/', '-')}",
                vpc.SecurityGroupIngressRuleArgs(
                    security_group_id=group.id,
                    ip_protocol="tcp",
                    from_port=443,
                    to_port=443,
                    cidr_ipv4=cidr,
                    description="from the VPC",
                    tags=dict(args.tags),
                ),
                opts=child,
            )
        return group
