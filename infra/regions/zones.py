"""Which zones a network spans and which of them have an instance type."""

from __future__ import annotations

from collections.abc import Sequence

from infra.regions.load import load_region

WITHOUT_EKS = frozenset({"use1-az3", "usw1-az2", "cac1-az3"})  # docs.aws.amazon.com/eks, network requirements


def eks_zones(region: str) -> tuple[str, ...]:
    """Zones of the region whose subnets EKS takes, such as us-east-1a."""
    return tuple(region + letter for letter, zone_id in load_region(region).zones.items() if zone_id not in WITHOUT_EKS)


def network_zones(region: str, az_count: int, chosen: Sequence[str]) -> tuple[str, ...]:
    """The chosen zones, or the first so many of the region."""
    return tuple(chosen) or eks_zones(region)[:az_count]


def offering_zones(region: str, instance_type: str) -> tuple[str, ...]:
    """Zones of the region that offer the instance type; none if it is not there or nothing is known of it."""
    return tuple(region + letter for letter in load_region(region).offerings.get(instance_type, ""))


def pool_zones(region: str, instance_type: str, network: Sequence[str], chosen: Sequence[str]) -> tuple[str, ...]:
    """Zones in which a pool's nodes may stand: the chosen ones, or those of the network that have its type."""
    offered = offering_zones(region, instance_type)
    return tuple(chosen) or tuple(zone for zone in network if zone in offered)
