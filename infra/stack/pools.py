"""GPU pools as managed groups or as Karpenter's, and what starts and ends their nodes."""

from __future__ import annotations

from datetime import UTC, datetime

import pulumi

from controller.catalogue import load_catalogue
from infra.components.gpu_pool import Block, Capacity, GpuPool, GpuPoolArgs, OnDemand, Reserved, Spot
from infra.components.karpenter import Karpenter, KarpenterArgs, NodePoolSpec
from infra.components.node_autoscaling import NodeAutoscaling, NodeAutoscalingArgs
from infra.regions import pool_zones
from infra.schema import Block as BlockSettings
from infra.schema import GpuPoolSettings, Reservation, StackSettings
from infra.schema import OnDemand as OnDemandSettings
from infra.stack.foundation import Foundation


def make_pools(settings: StackSettings, base: Foundation) -> list[pulumi.Resource]:
    """Nodes with GPUs are there, or come when pods ask for them."""
    kind = settings.node_autoscaling.kind
    by_karpenter = {
        name: pool
        for name, pool in settings.gpu_pools.items()
        if kind == "karpenter" and not isinstance(pool.capacity, BlockSettings)
    }
    made: list[pulumi.Resource] = [
        GpuPool(
            f"{settings.name}-{name}",
            _pool(settings, base, name, pool),
            opts=base.options(base.network_addons, base.node_role),
        )
        for name, pool in settings.gpu_pools.items()
        if name not in by_karpenter
    ]
    if kind == "karpenter":
        karpenter = _karpenter(settings, base, by_karpenter)
        made.append(Karpenter(f"{settings.name}-karpenter", karpenter, opts=base.options(*base.nodes_ready)))
    elif kind == "cluster-autoscaler":
        made.append(
            NodeAutoscaling(
                f"{settings.name}-autoscaling",
                NodeAutoscalingArgs(
                    cluster_name=settings.name,
                    region=settings.region,
                    idle_s=settings.node_autoscaling.scale_down_idle_s,
                    provider=base.cluster.provider,
                    tags=base.tags,
                ),
                opts=base.options(*base.nodes_ready, *made),
            )
        )
    return made


def gpus_of(instance_type: str) -> int:
    """GPUs of one node."""
    return load_catalogue().gpus[instance_type].gpus


def _zones(settings: StackSettings, base: Foundation, pool: GpuPoolSettings) -> tuple[str, ...]:
    return pool_zones(settings.region, pool.instance_type, base.zones, pool.availability_zones)


def _pool(settings: StackSettings, base: Foundation, name: str, pool: GpuPoolSettings) -> GpuPoolArgs:
    return GpuPoolArgs(
        cluster_name=base.cluster.cluster_name,
        version=settings.cluster.version,
        node_role_arn=base.node_role.arn,
        subnet_ids=tuple(base.network.node_subnet_ids[zone] for zone in _zones(settings, base, pool)),
        pool=name,
        instance_type=pool.instance_type,
        gpus=gpus_of(pool.instance_type),
        min_nodes=pool.min_nodes,
        desired_nodes=pool.desired_nodes,
        max_nodes=pool.max_nodes,
        capacity=_capacity(pool),
        disk_gib=pool.disk_gib,
        disk_throughput_mib_per_s=pool.disk_throughput_mib_per_s,
        local_disks=pool.local_nvme,
        placement_group=pool.placement_group,
        labels=pool.labels,
        autoscaled=settings.node_autoscaling.kind == "cluster-autoscaler",
        tags=base.tags,
    )


def _capacity(pool: GpuPoolSettings) -> Capacity:
    match pool.capacity:
        case OnDemandSettings():
            return OnDemand()
        case Reservation() as reservation:
            return Reserved(reservation_id=reservation.id)
        case BlockSettings() as block:
            return Block(
                reservation_id=block.id, starts_at=block.starts_at, ends_at=block.ends_at, now=datetime.now(UTC)
            )
        case spot:
            return Spot(fallback=spot.fallback == "on-demand")


def _karpenter(settings: StackSettings, base: Foundation, pools: dict[str, GpuPoolSettings]) -> KarpenterArgs:
    said = settings.node_autoscaling
    return KarpenterArgs(
        cluster_name=settings.name,
        region=settings.region,
        account_id=base.account_id,
        node_role_arn=base.node_role.arn,
        node_role_name=base.node_role.name,
        subnet_ids=tuple(base.network.node_subnet_ids.values()),
        security_group_id=base.cluster.security_group_id,
        pools={name: _node_pool(settings, base, pool) for name, pool in pools.items()},
        idle_s=said.scale_down_idle_s,
        expire_after_hours=said.expire_after_hours,
        provider=base.cluster.provider,
        tags=base.tags,
    )


def _node_pool(settings: StackSettings, base: Foundation, pool: GpuPoolSettings) -> NodePoolSpec:
    types: tuple[str, ...]
    reservation_id = None
    match _capacity(pool):
        case Reserved() as reserved:
            types, reservation_id = ("reserved",), reserved.reservation_id
        case Spot(fallback=True):
            types = ("spot", "on-demand")
        case Spot():
            types = ("spot",)
        case _:
            types = ("on-demand",)
    return NodePoolSpec(
        instance_type=pool.instance_type,
        zones=_zones(settings, base, pool),
        capacity_types=types,
        reservation_id=reservation_id,
        gpus=gpus_of(pool.instance_type),
        max_nodes=pool.max_nodes,
        disk_gib=pool.disk_gib,
        disk_throughput_mib_per_s=pool.disk_throughput_mib_per_s,
        local_disks=pool.local_nvme,
        labels=pool.labels,
    )
