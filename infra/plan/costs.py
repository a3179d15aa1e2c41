"""Everything that bills besides GPU nodes, as far as a sourced price is known: the rest is named, not guessed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from infra.checks.versions import is_extended
from infra.plan.values import HOURS_PER_MONTH, CostRow
from infra.regions import (
    ServicePrices,
    eks_versions,
    load_region,
    network_zones,
    on_demand_usd_per_hour,
    region_names,
)
from infra.schema import StackSettings

NO_PRICE = "no price is known"


def cost_rows(settings: StackSettings, today: date) -> tuple[CostRow, ...]:
    """Control plane, core nodes, disks, ways out and in, endpoints, database."""
    if settings.region not in region_names():
        return ()
    region = load_region(settings.region)
    source = f"{region.services_source}, {region.services_as_of}"
    return (
        _control_plane(settings, today),
        _core_nodes(settings),
        *_services(settings, region.services, source),
        *_database(settings, region.services, source),
    )


def _control_plane(settings: StackSettings, today: date) -> CostRow:
    versions = eks_versions()
    extended = is_extended(settings.cluster, today)
    price = versions.extended_usd_per_hour if extended else versions.usd_per_hour
    what = f"EKS control plane {settings.cluster.version}" + (", extended support" if extended else "")
    return _row(what, 1, "", price * HOURS_PER_MONTH, f"aws.amazon.com/eks/pricing, {versions.as_of}")


def _core_nodes(settings: StackSettings) -> CostRow:
    nodes, region = settings.core_nodes, load_region(settings.region)
    price = on_demand_usd_per_hour(settings.region, nodes.instance_type)
    month = None if price is None else price * HOURS_PER_MONTH
    source = f"{region.usd_per_hour_source}, {region.usd_per_hour_as_of}"
    return _row("core nodes", nodes.desired_nodes, f" x {nodes.instance_type}", month, source)


def _services(settings: StackSettings, prices: ServicePrices, source: str) -> Iterator[CostRow]:
    network = settings.network
    zones = len(network_zones(settings.region, network.az_count, network.availability_zones))
    interfaces = len(network.endpoints - {"s3"})  # a gateway, free of charge
    pools = settings.gpu_pools.values()
    disks_gib = settings.core_nodes.desired_nodes * settings.core_nodes.disk_gib
    disks_gib += sum(pool.desired_nodes * pool.disk_gib for pool in pools)
    yield _row(
        "NAT gateways", 1 if network.single_nat_gateway else zones, "", _month(prices.nat_gateway_usd_per_hour), source
    )
    if interfaces:
        price = _month(prices.interface_endpoint_usd_per_hour)
        yield _row("interface endpoints", interfaces * zones, f" ({interfaces} in {zones} zones)", price, source)
    if settings.edge.kind != "none":
        yield _row("load balancer", 1, "", _month(prices.load_balancer_usd_per_hour), source)
    yield _row("disks of nodes", disks_gib, " GiB gp3", prices.gp3_usd_per_gib_month, source)


def _database(settings: StackSettings, prices: ServicePrices, source: str) -> Iterator[CostRow]:
    database = settings.database
    copies = 2 if database.multi_az else 1
    price = _month(prices.database_usd_per_hour.get(database.instance_class))
    yield _row("database", copies, f" x {database.instance_class}", price, source)
    yield _row(
        "database storage", copies * database.storage_gib, " GiB gp3", prices.database_gp3_usd_per_gib_month, source
    )


def _month(usd_per_hour: float | None) -> float | None:
    return None if usd_per_hour is None else usd_per_hour * HOURS_PER_MONTH


def _row(what: str, count: int, unit: str, usd_each: float | None, source: str) -> CostRow:
    """`count` things at `usd_each` a month."""
    month = None if usd_each is None else count * usd_each
    return CostRow(
        what=what, quantity=f"{count}{unit}", usd_per_month=month, price_source=NO_PRICE if month is None else source
    )
