"""The VPC: a public and a private subnet in each zone, a network of their own for nodes and pods, the ways out of it.

Load balancers stand in the public subnets, the control plane's interfaces, endpoints and the database in the private
ones, nodes and their pods in those of the secondary network, so that pods never use up the addresses of the others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
from pulumi_aws import ec2

from infra.components.endpoints import Endpoints, EndpointsArgs
from infra.components.flow_logs import FlowLogs, FlowLogsArgs
from infra.components.subnets import ZoneSubnets, zone_subnets


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkArgs:
    """`flow_logs_days` None: no flow logs. `endpoints`: `s3` and names of interface endpoints such as `ecr.api`."""

    cidr: str
    pods_cidr: str | None
    zones: tuple[str, ...]
    region: str
    cluster_name: str
    single_nat_gateway: bool
    endpoints: frozenset[str]
    flow_logs_days: int | None
    tags: Mapping[str, str]


class Network(pulumi.ComponentResource):
    """A VPC whose subnets reach the internet: public ones directly, all others through NAT gateways."""

    vpc_id: pulumi.Output[str]
    public_subnet_ids: dict[str, pulumi.Output[str]]
    private_subnet_ids: dict[str, pulumi.Output[str]]
    node_subnet_ids: dict[str, pulumi.Output[str]]
    nat_gateway_ids: dict[str, pulumi.Output[str]]

    def __init__(self, name: str, args: NetworkArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("spillway:infra:Network", name, None, opts)
        self._name, self._args = name, args
        self._child = pulumi.ResourceOptions(parent=self)
        self._vpc = ec2.Vpc(
            f"{name}-vpc",
            ec2.VpcArgs(
                cidr_block=args.cidr, enable_dns_hostnames=True, enable_dns_support=True, tags=self._named("vpc")
            ),
            opts=self._child,
        )
        self.vpc_id = self._vpc.id
        # Rules of the default group are taken away: what is put into it by mistake talks to nobody.
        ec2.DefaultSecurityGroup(
            f"{name}-default-group",
            ec2.DefaultSecurityGroupArgs(vpc_id=self._vpc.id, tags=self._named("default, no rules")),
            opts=self._child,
        )
        layout = zone_subnets(cidr=args.cidr, pods_cidr=args.pods_cidr, zones=args.zones)
        self._make_subnets(layout)
        self._route(layout)
        if args.flow_logs_days is not None:
            FlowLogs(
                f"{name}-flow-logs",
                FlowLogsArgs(vpc_id=self._vpc.id, days=args.flow_logs_days, tags=args.tags),
                opts=self._child,
            )
        self.register_outputs({"vpc_id": self.vpc_id})

    def _named(self, what: str) -> dict[str, str]:
        return {**self._args.tags, "Name": f"{self._name} {what}"}

    def _subnet(
        self, kind: str, zone: str, cidr: str, tags: Mapping[str, str], after: list[pulumi.Resource]
    ) -> ec2.Subnet:
        return ec2.Subnet(
            f"{self._name}-{kind}-{zone}",
            ec2.SubnetArgs(
                vpc_id=self._vpc.id,
                availability_zone=zone,
                cidr_block=cidr,
                map_public_ip_on_launch=False,
                tags={**self._named(f"{kind} {zone}"), **tags},
            ),
            opts=pulumi.ResourceOptions(parent=self, depends_on=after),
        )

    def _make_subnets(self, layout: tuple[ZoneSubnets, ...]) -> None:
        args = self._args
        shared = {f"kubernetes.io/cluster/{args.cluster_name}": "shared"}
        after_pods: list[pulumi.Resource] = []
        if args.pods_cidr:
            after_pods.append(
                ec2.VpcIpv4CidrBlockAssociation(
                    f"{self._name}-pods-network",
                    ec2.VpcIpv4CidrBlockAssociationArgs(vpc_id=self._vpc.id, cidr_block=args.pods_cidr),
                    opts=self._child,
                )
            )
        self._public: dict[str, ec2.Subnet] = {}
        self._private: dict[str, ec2.Subnet] = {}
        self._nodes: dict[str, ec2.Subnet] = {}
        for zone in layout:
            outside = {**shared, "kubernetes.io/role/elb": "1"}
            inside = {**shared, "kubernetes.io/role/internal-elb": "1"}
            self._public[zone.zone] = self._subnet("public", zone.zone, zone.public, outside, [])
            self._private[zone.zone] = self._subnet("private", zone.zone, zone.private, inside, [])
            if zone.pods:
                nodes = {**shared, "karpenter.sh/discovery": args.cluster_name}
                self._nodes[zone.zone] = self._subnet("nodes", zone.zone, zone.pods, nodes, after_pods)
        self.public_subnet_ids = {zone: subnet.id for zone, subnet in self._public.items()}
        self.private_subnet_ids = {zone: subnet.id for zone, subnet in self._private.items()}
        self.node_subnet_ids = {zone: subnet.id for zone, subnet in (self._nodes or self._private).items()}

    def _route(self, layout: tuple[ZoneSubnets, ...]) -> None:
        gateway = ec2.InternetGateway(
            f"{self._name}-internet",
            ec2.InternetGatewayArgs(vpc_id=self._vpc.id, tags=self._named("internet")),
            opts=self._child,
        )
        public = self._table("public", list(self._public.items()))
        self._default_route("public", public, gateway_id=gateway.id)
        first = layout[0].zone
        nats = {
            zone.zone: self._nat(zone.zone, gateway)
            for zone in layout
            if zone.zone == first or not self._args.single_nat_gateway
        }
        self.nat_gateway_ids = {zone: nat.id for zone, nat in nats.items()}
        tables = [public]
        for zone in (zone.zone for zone in layout):
            subnets = [(f"private-{zone}", self._private[zone])]
            if zone in self._nodes:
                subnets.append((f"nodes-{zone}", self._nodes[zone]))
            table = self._table(f"private-{zone}", subnets)
            self._default_route(f"private-{zone}", table, nat_gateway_id=nats.get(zone, nats[first]).id)
            tables.append(table)
        Endpoints(
            f"{self._name}-endpoints",
            EndpointsArgs(
                vpc_id=self._vpc.id,
                region=self._args.region,
                names=self._args.endpoints,
                subnet_ids=tuple(self.private_subnet_ids.values()),
                route_table_ids=tuple(table.id for table in tables),
                cidrs=tuple(cidr for cidr in (self._args.cidr, self._args.pods_cidr) if cidr),
                tags=self._args.tags,
            ),
            opts=self._child,
        )

    def _table(self, kind: str, subnets: list[tuple[str, ec2.Subnet]]) -> ec2.RouteTable:
        table = ec2.RouteTable(
            f"{self._name}-{kind}-routes",
            ec2.RouteTableArgs(vpc_id=self._vpc.id, tags=self._named(f"{kind} routes")),
            opts=self._child,
        )
        for key, subnet in subnets:
            ec2.RouteTableAssociation(
                f"{self._name}-{key}-routes",
                ec2.RouteTableAssociationArgs(route_table_id=table.id, subnet_id=subnet.id),
                opts=self._child,
            )
        return table

    def _default_route(
        self,
        kind: str,
        table: ec2.RouteTable,
        *,
        gateway_id: pulumi.Input[str] | None = None,
        nat_gateway_id: pulumi.Input[str] | None = None,
    ) -> None:
        ec2.Route(
            f"{self._name}-{kind}-default",
            ec2.RouteArgs(
                route_table_id=table.id,
                destination_cidr_block="0.0.0.0/0",
                gateway_id=gateway_id,
                nat_gateway_id=nat_gateway_id,
            ),
            opts=self._child,
        )

    def _nat(self, zone: str, gateway: ec2.InternetGateway) -> ec2.NatGateway:
        # An internet gateway cannot be detached while public addresses are mapped, so both go before it.
        after = pulumi.ResourceOptions(parent=self, depends_on=[gateway])
        address = ec2.Eip(
            f"{self._name}-nat-{zone}", ec2.EipArgs(domain="vpc", tags=self._named(f"nat {zone}")), opts=after
        )
        return ec2.NatGateway(
            f"{self._name}-nat-{zone}",
            ec2.NatGatewayArgs(
                allocation_id=address.id, subnet_id=self._public[zone].id, tags=self._named(f"nat {zone}")
            ),
            opts=after,
        )
