"""Which network each subnet gets. Pure: the place of a zone never moves when another one is added."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network

MAX_ZONES = 4
SMALLEST_VPC_PREFIX = 23  # of its eighths one is cut in four, and AWS takes no subnet below /28


@dataclass(frozen=True, slots=True, kw_only=True)
class ZoneSubnets:
    """The subnets of one zone; `pods` is None where pods live in the private one."""

    zone: str
    private: str
    public: str
    pods: str | None


def zone_subnets(*, cidr: str, pods_cidr: str | None, zones: tuple[str, ...]) -> tuple[ZoneSubnets, ...]:
    """Subnets by zone: eighths of the VPC are private, a 32nd is public, a quarter of the pods' network holds pods."""
    network = IPv4Network(cidr)
    if not 1 <= len(zones) <= MAX_ZONES:
        raise ValueError(f"zones: {len(zones)} of them; allowed: 1 to {MAX_ZONES}")
    if network.prefixlen > SMALLEST_VPC_PREFIX:
        raise ValueError(f"cidr: {cidr} is too small; allowed: /16 to /{SMALLEST_VPC_PREFIX}")
    eighths = list(network.subnets(prefixlen_diff=3))
    public = list(eighths[MAX_ZONES].subnets(prefixlen_diff=2))
    pods = list(IPv4Network(pods_cidr).subnets(prefixlen_diff=2)) if pods_cidr else []
    return tuple(
        ZoneSubnets(
            zone=zone,
            private=str(eighths[place]),
            public=str(public[place]),
            pods=str(pods[place]) if pods else None,
        )
        for place, zone in enumerate(zones)
    )
