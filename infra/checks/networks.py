"""Whether networks are of a size AWS takes, lie apart from each other, and hold the pods of every node.

With prefix delegation the VPC CNI takes whole /28 blocks for a node's pods, one more than it needs, besides one address
for the node itself (docs.aws.amazon.com/eks, `cni-increase-ip-addresses`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network
from itertools import combinations
from math import ceil

from controller.catalogue.document import Document, Place
from controller.catalogue.refusals import problem_at
from controller.core.errors import Problem
from infra.regions import instance_facts, network_zones, pool_zones
from infra.schema import StackSettings

LARGEST_PREFIX, SMALLEST_VPC_PREFIX = 16, 23  # AWS: /16 to /28; of a smaller VPC no subnets for four zones can be cut
_PRIVATE = tuple(map(IPv4Network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10")))
BLOCK_ADDRESSES, WARM_BLOCKS, RESERVED_ADDRESSES = (
    16,
    1,
    5,
)  # of a /28; kept ready for each node; kept by AWS in a subnet
_SERVICE_PREFIXES = (12, 24)  # docs.aws.amazon.com/eks: KubernetesNetworkConfigRequest


def check_networks(settings: StackSettings, document: Document) -> Iterator[Problem]:
    """Sizes, private ranges, overlaps."""
    network = settings.network
    named: dict[Place, str] = {
        ("network", "vpc_cidr"): network.vpc_cidr,
        ("cluster", "service_cidr"): settings.cluster.service_cidr,
    }
    if network.pods_cidr is not None:
        named["network", "pods_cidr"] = network.pods_cidr
    sizes: dict[Place, tuple[int, int]] = {
        ("network", "vpc_cidr"): (LARGEST_PREFIX, SMALLEST_VPC_PREFIX),
        ("cluster", "service_cidr"): _SERVICE_PREFIXES,
    }
    for place, cidr in named.items():
        largest, smallest = sizes.get(place, (LARGEST_PREFIX, 26))
        if not largest <= IPv4Network(cidr).prefixlen <= smallest:
            yield problem_at(document, place, "is of a size that cannot be", f"/{largest} to /{smallest}", cidr)
        if not any(IPv4Network(cidr).subnet_of(private) for private in _PRIVATE):
            allowed = f"inside {', '.join(map(str, _PRIVATE))}"
            yield problem_at(document, place, "is not a private network", allowed, cidr)
    for (first, one), (second, other) in combinations(named.items(), 2):
        if IPv4Network(one).overlaps(IPv4Network(other)):
            key = document.spelling.key(first)
            yield problem_at(document, second, f"overlaps {key} {one}", f"a network apart from {one}", other)


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """Addresses in one zone: what its nodes with their pods may need, and what the subnet has."""

    zone: str
    nodes: int
    needed: int
    available: int


def max_pods(vcpus: int) -> int:
    """Pods of one node with prefix delegation: what EKS recommends, 110 below 30 vCPUs and 250 above."""
    return 110 if vcpus < 30 else 250


def node_addresses(vcpus: int) -> int:
    """Addresses one node takes when it is full: whole blocks for its pods, one block ready, one for itself."""
    return (ceil(max_pods(vcpus) / BLOCK_ADDRESSES) + WARM_BLOCKS) * BLOCK_ADDRESSES + 1


def rooms(settings: StackSettings) -> tuple[Room, ...]:
    """Zone by zone, with every group at its most nodes, spread evenly, and one more of each while it is replaced."""
    network = settings.network
    zones = network_zones(settings.region, network.az_count, network.availability_zones)
    groups = [(settings.core_nodes.instance_type, settings.core_nodes.max_nodes, zones)]
    for pool in settings.gpu_pools.values():
        stands_in = pool_zones(settings.region, pool.instance_type, zones, pool.availability_zones)
        groups.append((pool.instance_type, pool.max_nodes, stands_in))
    return tuple(_room(settings, zone, groups) for zone in zones)


def _room(settings: StackSettings, zone: str, groups: list[tuple[str, int, tuple[str, ...]]]) -> Room:
    nodes = needed = 0
    for kind, most, zones in groups:
        if zone in zones and kind in instance_facts():
            here = ceil(most / len(zones)) + 1
            nodes += here
            needed += here * node_addresses(instance_facts()[kind].vcpus)
    pods, vpc = settings.network.pods_cidr, IPv4Network(settings.network.vpc_cidr)
    subnet = IPv4Network(pods).num_addresses // 4 if pods is not None else vpc.num_addresses // 8
    return Room(zone=zone, nodes=nodes, needed=needed, available=subnet - RESERVED_ADDRESSES)


def check_room(settings: StackSettings, document: Document) -> Iterator[Problem]:
    """The fullest zone has room for its nodes and all their pods."""
    pods = settings.network.pods_cidr
    place: Place = ("network", "vpc_cidr" if pods is None else "pods_cidr")
    fullest = max(rooms(settings), key=lambda room: room.needed - room.available)
    if fullest.needed <= fullest.available:
        return
    shares = 8 if pods is None else 4
    prefix = 32 - ceil_log2((fullest.needed + RESERVED_ADDRESSES) * shares)
    yield problem_at(
        document, place,
        f"is too small for the pods: {fullest.nodes} nodes in {fullest.zone} need {fullest.needed} addresses"
        f" in blocks of {BLOCK_ADDRESSES}, its subnet has {fullest.available}",
        f"/{prefix} or larger" if prefix >= LARGEST_PREFIX else "fewer max_nodes: even a /16 is too small",
        pods or settings.network.vpc_cidr,
    )  # fmt: skip


def ceil_log2(number: int) -> int:
    """The least power of two that is not below `number`, as its exponent."""
    return (number - 1).bit_length()
