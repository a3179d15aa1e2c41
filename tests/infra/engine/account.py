"""An account of the AWS double in this process, with a network and a cluster in it, for tests of what it refuses."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.infra.doubles.aws import Aws
from tests.infra.doubles.wire import Failure, Resource

TOKENS = {
    "vpc": "aws:ec2/vpc:Vpc",
    "more": "aws:ec2/vpcIpv4CidrBlockAssociation:VpcIpv4CidrBlockAssociation",
    "subnet": "aws:ec2/subnet:Subnet",
    "gateway": "aws:ec2/internetGateway:InternetGateway",
    "table": "aws:ec2/routeTable:RouteTable",
    "route": "aws:ec2/route:Route",
    "association": "aws:ec2/routeTableAssociation:RouteTableAssociation",
    "address": "aws:ec2/eip:Eip",
    "nat": "aws:ec2/natGateway:NatGateway",
    "group": "aws:ec2/securityGroup:SecurityGroup",
    "rule": "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule",
    "endpoint": "aws:ec2/vpcEndpoint:VpcEndpoint",
    "template": "aws:ec2/launchTemplate:LaunchTemplate",
    "role": "aws:iam/role:Role",
    "attached": "aws:iam/rolePolicyAttachment:RolePolicyAttachment",
    "cluster": "aws:eks/cluster:Cluster",
    "nodes": "aws:eks/nodeGroup:NodeGroup",
    "addon": "aws:eks/addon:Addon",
    "identity": "aws:eks/podIdentityAssociation:PodIdentityAssociation",
    "tag": "aws:autoscaling/tag:Tag",
    "logs": "aws:cloudwatch/logGroup:LogGroup",
    "subnets": "aws:rds/subnetGroup:SubnetGroup",
    "database": "aws:rds/instance:Instance",
    "bucket": "aws:s3/bucket:Bucket",
    "object": "aws:s3/bucketObjectv2:BucketObjectv2",
}
CLUSTER, NODES = "eks.amazonaws.com", "ec2.amazonaws.com"


@dataclass
class Account:
    """Names of objects here lead to their identities."""

    aws: Aws
    ids: dict[str, str] = field(default_factory=dict)

    def check(self, kind: str, /, **inputs: Any) -> list[Failure]:
        """What a preview refuses."""
        return self.aws.check(_resource(kind, "x"), inputs, {})[1]

    def make(self, kind: str, name: str, /, **inputs: Any) -> dict[str, Any]:
        """The object stands; what AWS says of it."""
        named, failures = self.aws.check(_resource(kind, name), inputs, {})
        assert failures == []
        self.ids[name], outputs = self.aws.create(_resource(kind, name), named, preview=False)
        return outputs

    def drop(self, kind: str, name: str) -> None:
        """It is gone."""
        self.aws.delete(_resource(kind, name), self.ids[name])


def _resource(kind: str, name: str) -> Resource:
    return Resource(f"urn:pulumi:test::test::{TOKENS[kind]}::{name}")


def trust(service: str) -> str:
    """A policy by which a service of AWS may act as a role."""
    return json.dumps(
        {"Statement": [{"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}]}
    )


def new_account(folder: Path) -> Account:
    """Two zones with a way out, a cluster, a role for nodes."""
    folder.mkdir()
    account = Account(Aws(folder))
    ids = account.ids
    account.make("vpc", "vpc", cidrBlock="10.0.0.0/16")
    account.make("gateway", "gateway", vpcId=ids["vpc"])
    account.make("table", "table", vpcId=ids["vpc"])
    account.make("route", "way", routeTableId=ids["table"], destinationCidrBlock="0.0.0.0/0", gatewayId=ids["gateway"])
    for number, zone in enumerate(("a", "b")):
        where = {"cidrBlock": f"10.0.{number}.0/24", "availabilityZone": f"us-east-1{zone}"}
        account.make("subnet", f"subnet-{zone}", vpcId=ids["vpc"], **where)
        account.make("association", f"association-{zone}", subnetId=ids[f"subnet-{zone}"], routeTableId=ids["table"])
    for name, service, policies in (
        ("cluster", CLUSTER, ["AmazonEKSClusterPolicy"]),
        ("node", NODES, ["AmazonEKSWorkerNodePolicy", "AmazonEC2ContainerRegistryPullOnly"]),
    ):
        account.make("role", f"{name}-role", name=f"{name}-role", assumeRolePolicy=trust(service))
        for policy in policies:
            account.make("attached", policy, role=f"{name}-role", policyArn=f"arn:aws:iam::aws:policy/{policy}")
    subnets = [ids["subnet-a"], ids["subnet-b"]]
    account.make(
        "cluster",
        "cluster",
        name="cluster",
        roleArn=role_arn("cluster"),
        version="1.34",
        vpcConfig={"subnetIds": subnets},
    )
    return account


def role_arn(name: str) -> str:
    """Of a role of new_account."""
    return f"arn:aws:iam::123456789012:role/{name}-role"


def node_group(account: Account, **changes: Any) -> dict[str, Any]:
    """Inputs of a node group that AWS would make, with these changes."""
    inputs = {
        "clusterName": "cluster",
        "nodeGroupName": "nodes",
        "nodeRoleArn": role_arn("node"),
        "subnetIds": [account.ids["subnet-a"], account.ids["subnet-b"]],
        "instanceTypes": ["g5.2xlarge"],
        "scalingConfig": {"minSize": 0, "desiredSize": 1, "maxSize": 1},
        **changes,
    }
    return {key: value for key, value in inputs.items() if value is not None}
