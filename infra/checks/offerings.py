"""Whether the region is known, its zones take a cluster, and each zone has the instance types asked of it."""

from __future__ import annotations

from collections.abc import Iterator

from controller.catalogue import load_catalogue
from controller.catalogue.document import Document, Place
from controller.catalogue.refusals import problem_at
from controller.core.errors import Problem
from infra.checks.words import one_of, unknown
from infra.regions import eks_zones, load_region, network_zones, offering_zones, region_names
from infra.schema import GpuPoolSettings, StackSettings


def check_region(settings: StackSettings, document: Document) -> Iterator[Problem]:
    """The region alone: without it nothing can be said of zones and offerings."""
    if settings.region not in region_names():
        yield unknown(document, ("region",), "region", settings.region, region_names())


def check_zones(settings: StackSettings, document: Document) -> Iterator[Problem]:
    """Zones of the network: there, each once, at least two, as many as asked."""
    region, network = settings.region, settings.network
    allowed, chosen = eks_zones(region), network.availability_zones
    for index, zone in enumerate(chosen):
        place: Place = ("network", "availability_zones", index)
        if zone not in allowed:
            yield unknown(document, place, f"zone for EKS in {region}", zone, allowed)
        elif zone in chosen[:index]:
            yield problem_at(document, place, "stands twice", "each zone once", zone)
    if chosen and len(chosen) < 2:
        yield problem_at(
            document, ("network", "availability_zones"), "EKS needs two zones", "two to four zones", ", ".join(chosen)
        )
    if not chosen and network.az_count > len(allowed):
        yield problem_at(
            document, ("network", "az_count"), f"{region} has fewer zones", f"2 to {len(allowed)}", network.az_count
        )


def check_offerings(settings: StackSettings, document: Document) -> Iterator[Problem]:
    """Instance types of GPU pools and core nodes, in the region and in the zones of the network."""
    network = network_zones(settings.region, settings.network.az_count, settings.network.availability_zones)
    for name, pool in settings.gpu_pools.items():
        yield from _check_pool(settings.region, name, pool, network, document)
    kind, place = settings.core_nodes.instance_type, ("core_nodes", "instance_type")
    offered = offering_zones(settings.region, kind)
    if kind in load_catalogue().gpus:
        yield problem_at(document, place, "has GPUs, which core nodes do not use", "a type without GPUs", kind)
    elif not offered:
        yield unknown(
            document, place, f"instance type among those known in {settings.region}", kind, _core_types(settings.region)
        )
    elif missing := [zone for zone in network if zone not in offered]:
        yield problem_at(
            document, place, f"is not offered in {', '.join(missing)}", f"a type that is in {', '.join(network)}", kind
        )


def _check_pool(
    region: str, name: str, pool: GpuPoolSettings, network: tuple[str, ...], document: Document
) -> Iterator[Problem]:
    shapes, kind = load_catalogue().gpus, pool.instance_type
    place: Place = ("gpu_pools", name, "instance_type")
    if kind not in shapes:
        yield unknown(document, place, "GPU instance type in the catalogue", kind, shapes)
        return
    offered = offering_zones(region, kind)
    if not offered:
        yield problem_at(document, place, f"is not offered in {region}", one_of(_gpu_types(region)), kind)
        return
    both = [zone for zone in network if zone in offered]
    for index, zone in enumerate(pool.availability_zones):
        at: Place = ("gpu_pools", name, "availability_zones", index)
        if zone not in network:
            yield problem_at(document, at, "is not a zone of the network", one_of(network), zone)
        elif zone not in offered:
            yield problem_at(document, at, f"does not have {kind}", one_of(both or offered), zone)
    if not both:
        yield problem_at(
            document, place, f"is in none of the network's zones {', '.join(network)}",
            f"zones of {region} that have it: {', '.join(offered)} (spillway:network.availability_zones)", kind,
        )  # fmt: skip


def _gpu_types(region: str) -> list[str]:
    return [kind for kind in load_catalogue().gpus if kind in load_region(region).offerings]


def _core_types(region: str) -> list[str]:
    return [kind for kind in load_region(region).offerings if kind not in load_catalogue().gpus]
