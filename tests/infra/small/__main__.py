"""A small program for the doubles themselves: a network, a cluster with a group of nodes, an object and a release."""

from __future__ import annotations

import json

import pulumi
import pulumi_kubernetes as k8s
from pulumi_aws import ec2, eks, iam
from pulumi_kubernetes.core.v1 import ConfigMap, ConfigMapInitArgs, Namespace, NamespaceInitArgs
from pulumi_kubernetes.helm.v3 import Release, ReleaseArgs, RepositoryOptsArgs
from pulumi_kubernetes.meta.v1 import ObjectMetaArgs

config = pulumi.Config()
ZONES = ("us-east-1a", "us-east-1b")


def role(name: str, service: str, policies: list[str]) -> tuple[iam.Role, list[iam.RolePolicyAttachment]]:
    """A role for a service of AWS, with policies of AWS's own."""
    trust = {"Statement": [{"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}]}
    made = iam.Role(name, assume_role_policy=json.dumps(trust))
    attached = [
        iam.RolePolicyAttachment(f"{name}-{policy}", role=made.name, policy_arn=f"arn:aws:iam::aws:policy/{policy}")
        for policy in policies
    ]
    return made, attached


vpc = ec2.Vpc("net", cidr_block="10.0.0.0/16")
gateway = ec2.InternetGateway("gateway", vpc_id=vpc.id)
table = ec2.RouteTable("out", vpc_id=vpc.id)
route = ec2.Route("out", route_table_id=table.id, destination_cidr_block="0.0.0.0/0", gateway_id=gateway.id)
subnets, ways = [], [route]
for number, zone in enumerate(ZONES):
    subnet = ec2.Subnet(f"net-{zone}", vpc_id=vpc.id, cidr_block=f"10.0.{number}.0/24", availability_zone=zone)
    ways.append(ec2.RouteTableAssociation(f"net-{zone}", subnet_id=subnet.id, route_table_id=table.id))
    subnets.append(subnet)
cluster_role, cluster_policies = role("cluster", "eks.amazonaws.com", ["AmazonEKSClusterPolicy"])
cluster = eks.Cluster(
    "cluster",
    role_arn=cluster_role.arn,
    version="1.34",
    vpc_config=eks.ClusterVpcConfigArgs(subnet_ids=[subnet.id for subnet in subnets]),
    opts=pulumi.ResourceOptions(depends_on=cluster_policies),
)
node_role, node_policies = role(
    "node", "ec2.amazonaws.com", ["AmazonEKSWorkerNodePolicy", "AmazonEC2ContainerRegistryPullOnly"]
)
nodes = eks.NodeGroup(
    config.get("pool") or "nodes",
    cluster_name=cluster.name,
    node_role_arn=node_role.arn,
    subnet_ids=[subnet.id for subnet in subnets],
    instance_types=["g5.2xlarge"],
    scaling_config=eks.NodeGroupScalingConfigArgs(
        min_size=0, desired_size=config.require_int("nodes"), max_size=config.require_int("nodes")
    ),
    opts=pulumi.ResourceOptions(depends_on=[*node_policies, *ways], aliases=[pulumi.Alias(name="nodes")]),
)


def kubeconfig(said: list[str]) -> str:
    """As a client would have it."""
    name, endpoint, authority = said
    cluster_of_it = {"server": endpoint, "certificate-authority-data": authority}
    return json.dumps({"apiVersion": "v1", "kind": "Config", "clusters": [{"name": name, "cluster": cluster_of_it}]})


provider = k8s.Provider(
    "cluster",
    kubeconfig=pulumi.Output.all(cluster.name, cluster.endpoint, cluster.certificate_authority.data).apply(kubeconfig),
)
inside = pulumi.ResourceOptions(provider=provider, depends_on=[nodes])
space = Namespace("space", NamespaceInitArgs(metadata=ObjectMetaArgs(name="small")), opts=inside)
ConfigMap(
    "told",
    ConfigMapInitArgs(metadata=ObjectMetaArgs(name="told", namespace=space.metadata.name), data={"vpc": vpc.id}),
    opts=pulumi.ResourceOptions(provider=provider),
)
Release(
    "device-plugin",
    ReleaseArgs(
        name="device-plugin",
        namespace=space.metadata.name,
        chart="nvidia-device-plugin",
        version="0.18.0",
        repository_opts=RepositoryOptsArgs(repo="https://nvidia.github.io/k8s-device-plugin"),
        values={"tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}]},
    ),
    opts=pulumi.ResourceOptions(provider=provider),
)
pulumi.export("cluster", cluster.name)
pulumi.export("token", config.get_secret("token"))
