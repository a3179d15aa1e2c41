"""What a stack needs of an account, worked out of its settings alone."""

from __future__ import annotations

from infra.regions import network_zones, pool_zones
from infra.schema import Block, Reservation, StackSettings

_IMAGE = "/aws/service/eks/optimized-ami/{version}/amazon-linux-2023/x86_64/{variant}/recommended/image_id"


def zones_needed(settings: StackSettings) -> tuple[str, ...]:
    """Zones that the network spans."""
    network = settings.network
    return network_zones(settings.region, network.az_count, network.availability_zones)


def instance_zones(settings: StackSettings) -> dict[str, tuple[str, ...]]:
    """Zones in which each instance type has to be offered."""
    zones = zones_needed(settings)
    needed = {settings.core_nodes.instance_type: zones}
    for pool in settings.gpu_pools.values():
        kind = pool.instance_type
        of_pool = pool_zones(settings.region, kind, zones, pool.availability_zones)
        needed[kind] = tuple(dict.fromkeys((*needed.get(kind, ()), *of_pool)))
    return needed


def image_parameters(settings: StackSettings) -> tuple[str, ...]:
    """Public parameters of the images: AL2023 for core nodes, AL2023 with NVIDIA's driver for GPUs."""
    version = settings.cluster.version
    return tuple(_IMAGE.format(version=version, variant=variant) for variant in ("standard", "nvidia"))


def reservation_ids(settings: StackSettings) -> dict[str, str]:
    """By pool, what it has reserved."""
    return {
        name: pool.capacity.id
        for name, pool in settings.gpu_pools.items()
        if isinstance(pool.capacity, Reservation | Block)
    }


def secrets_needed(settings: StackSettings) -> dict[str, str]:
    """Entries of Secrets Manager that must be there before the first pod starts, and what each holds."""
    named = settings.secrets
    needed = {named.gateway or f"{settings.name}/gateway": "JSON with engine-key and pepper"}
    if named.hf_token is not None:
        needed[named.hf_token] = "the token that fetches weights"
    return needed | {entry: f"the value of {variable}" for variable, entry in named.provider_keys.items()}
