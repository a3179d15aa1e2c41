"""What everything else stands on: key, network, images, cluster, its own nodes and their add-ons."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from infra.components.addons import Addons, AddonsArgs
from infra.components.cluster import Cluster, ClusterArgs
from infra.components.core_nodes import CoreNodes, CoreNodesArgs
from infra.components.key import Key, KeyArgs
from infra.components.network import Network, NetworkArgs
from infra.components.network_addons import NetworkAddons, NetworkAddonsArgs
from infra.components.node_role import NodeRole, NodeRoleArgs
from infra.components.registry import Registry, RegistryArgs
from infra.components.storage_class import Gp3Class, Gp3ClassArgs
from infra.regions import network_zones
from infra.schema.stack import STACK_TAG, StackSettings
from infra.stack.order import after as ordered

IMAGES = ("ops", "engine")  # of our own charts
ARM_FAMILIES = ("a1", "c6g", "c7g", "c8g", "m6g", "m7g", "m8g", "r6g", "r7g", "r8g", "t4g")


@dataclass(frozen=True, slots=True, kw_only=True)
class Foundation:
    """Parts that later ones name. `nodes_ready`: what pods need before they can be scheduled and get volumes."""

    aws: aws.Provider
    tags: dict[str, str]
    zones: tuple[str, ...]
    key: Key
    network: Network
    registry: Registry
    cluster: Cluster
    account_id: pulumi.Output[str]
    node_role: NodeRole
    network_addons: NetworkAddons
    storage: Gp3Class
    nodes_ready: list[pulumi.Resource]

    def options(self, *after: pulumi.Resource) -> pulumi.ResourceOptions:
        """Of a component with resources of AWS and of the cluster."""
        return ordered(*after, providers=[self.aws, self.cluster.provider])


def make_foundation(settings: StackSettings) -> Foundation:
    """The cluster has nodes that run the system's own pods."""
    name = settings.name
    tags = {STACK_TAG: name, "managed-by": "pulumi", **settings.tags}
    provider = aws.Provider("aws", aws.ProviderArgs(region=settings.region))
    only_aws = pulumi.ResourceOptions(providers=[provider])
    zones = network_zones(settings.region, settings.network.az_count, settings.network.availability_zones)
    key = Key(f"{name}-key", KeyArgs(alias=name, keep=settings.database.deletion_protection, tags=tags), opts=only_aws)
    network = Network(f"{name}-network", _network(settings, zones, tags), opts=only_aws)
    registry = Registry(f"{name}-registry", _registry(settings, key, tags), opts=only_aws)
    cluster = Cluster(
        f"{name}-eks",
        _cluster(settings, network, key, tags),
        # Nodes and controllers reach AWS by the network's routes until the last of them is gone.
        opts=ordered(network, providers=[provider]),
    )
    account_id = cluster.arn.apply(lambda arn: arn.split(":")[4])
    node_role = NodeRole(
        f"{name}-node-role",
        NodeRoleArgs(
            region=settings.region,
            account_id=account_id,
            cache_prefixes=tuple(registry.cache_prefixes.values()),
            tags=tags,
        ),
        opts=only_aws,
    )
    network_addons = NetworkAddons(
        f"{name}-network-addons",
        NetworkAddonsArgs(cluster_name=cluster.cluster_name, versions={}, tags=tags),
        opts=only_aws,
    )
    core = CoreNodes(
        f"{name}-core",
        _core_nodes(settings, network, cluster, node_role, tags),
        opts=ordered(network_addons, node_role, providers=[provider]),
    )
    addons = Addons(
        f"{name}-addons",
        AddonsArgs(cluster_name=cluster.cluster_name, extra=_drivers(settings), versions={}, tags=tags),
        opts=ordered(core, providers=[provider]),
    )
    storage = Gp3Class(
        f"{name}-storage",
        Gp3ClassArgs(provider=cluster.provider, tags=tags),
        opts=ordered(addons, providers=[provider, cluster.provider]),
    )
    return Foundation(
        aws=provider,
        tags=tags,
        zones=zones,
        key=key,
        network=network,
        registry=registry,
        cluster=cluster,
        account_id=account_id,
        node_role=node_role,
        network_addons=network_addons,
        storage=storage,
        nodes_ready=[core, addons, storage],
    )


def _network(settings: StackSettings, zones: tuple[str, ...], tags: dict[str, str]) -> NetworkArgs:
    said = settings.network
    return NetworkArgs(
        cidr=said.vpc_cidr,
        pods_cidr=said.pods_cidr,
        zones=zones,
        region=settings.region,
        cluster_name=settings.name,
        single_nat_gateway=said.single_nat_gateway,
        endpoints=frozenset(said.endpoints),
        flow_logs_days=said.flow_logs_days if said.flow_logs else None,
        tags=tags,
    )


def _registry(settings: StackSettings, key: Key, tags: dict[str, str]) -> RegistryArgs:
    said = settings.registry
    return RegistryArgs(
        prefix=settings.name,
        repositories=tuple(dict.fromkeys((*IMAGES, *said.repositories))),
        pull_through=frozenset(said.pull_through),
        scan_on_push=said.scan_on_push,
        untagged_days=said.untagged_days,
        key_arn=key.arn,
        force_destroy=not settings.cluster.deletion_protection,
        tags=tags,
    )


def _cluster(settings: StackSettings, network: Network, key: Key, tags: dict[str, str]) -> ClusterArgs:
    said = settings.cluster
    return ClusterArgs(
        cluster_name=settings.name,
        region=settings.region,
        version=said.version,
        subnet_ids=tuple(network.private_subnet_ids.values()),
        public_endpoint_cidrs=said.public_endpoint_cidrs,
        admin_role_arns=said.admin_role_arns,
        key_arn=key.arn,
        bin_packing=said.bin_packing,
        deletion_protection=said.deletion_protection,
        upgrade_support=said.upgrade_support,
        logs=tuple(sorted(said.control_plane_logs)),
        logs_days=said.control_plane_logs_days,
        tags=tags,
    )


def _core_nodes(
    settings: StackSettings, network: Network, cluster: Cluster, node_role: NodeRole, tags: dict[str, str]
) -> CoreNodesArgs:
    said = settings.core_nodes
    return CoreNodesArgs(
        cluster_name=cluster.cluster_name,
        version=settings.cluster.version,
        node_role_arn=node_role.arn,
        subnet_ids=tuple(network.node_subnet_ids.values()),
        instance_type=said.instance_type,
        arm=said.instance_type.partition(".")[0].rstrip("dn") in ARM_FAMILIES,
        min_nodes=said.min_nodes,
        desired_nodes=said.desired_nodes,
        max_nodes=said.max_nodes,
        disk_gib=said.disk_gib,
        autoscaled=settings.node_autoscaling.kind == "cluster-autoscaler",
        tags=tags,
    )


def _drivers(settings: StackSettings) -> tuple[str, ...]:
    cache = settings.model_store.cache
    return () if cache == "none" else (f"aws-{cache}-csi-driver",)
