"""What the nodes of a pool cost by the hour, as they are bought."""

from __future__ import annotations

from controller.catalogue import load_catalogue
from infra.checks.models import gpus_asked
from infra.plan.values import HOURS_PER_MONTH, PoolRow
from infra.regions import load_region, on_demand_usd_per_hour, region_names
from infra.schema import Block, GpuPoolSettings, Reservation, Spot, StackSettings


def pool_rows(settings: StackSettings) -> tuple[PoolRow, ...]:
    """Pools whose instance type the catalogue has, in the order of the settings."""
    shapes = load_catalogue().gpus
    return tuple(
        _row(settings, name, pool) for name, pool in settings.gpu_pools.items() if pool.instance_type in shapes
    )


def _row(settings: StackSettings, name: str, pool: GpuPoolSettings) -> PoolRow:
    listed = _listed(settings.region, pool.instance_type)
    price, source = _bought_at(settings.region, pool, listed)
    hours = _hours(pool)
    region = load_region(settings.region) if settings.region in region_names() else None
    return PoolRow(
        pool=name,
        instance_type=pool.instance_type,
        nodes=pool.desired_nodes,
        max_nodes=pool.max_nodes,
        gpus_per_node=load_catalogue().gpus[pool.instance_type].gpus,
        gpus_used=gpus_asked(settings, name),
        bought=_words(pool),
        usd_per_hour=price,
        usd_per_month=None if price is None else price * pool.desired_nodes * hours,
        on_demand_usd_per_hour=listed,
        spot_usd_per_hour=None if region is None else region.spot_usd_per_hour.get(pool.instance_type),
        block_usd_per_hour=None if region is None else region.block_usd_per_hour.get(pool.instance_type),
        price_source=source,
    )


def _listed(region: str, instance_type: str) -> float | None:
    return on_demand_usd_per_hour(region, instance_type) if region in region_names() else None


def _hours(pool: GpuPoolSettings) -> float:
    """Hours of a month that bill: a capacity block no longer than it is."""
    if isinstance(pool.capacity, Block):
        length_h = (pool.capacity.ends_at - pool.capacity.starts_at).total_seconds() / 3600
        return min(float(HOURS_PER_MONTH), max(0.0, length_h))
    return float(HOURS_PER_MONTH)


def _bought_at(region: str, pool: GpuPoolSettings, listed: float | None) -> tuple[float | None, str]:
    """USD for one node and hour, and who says so."""
    if pool.usd_per_hour is not None:
        return pool.usd_per_hour, "usd_per_hour of the pool"
    if region not in region_names():
        return None, "unknown region"
    data = load_region(region)
    if isinstance(pool.capacity, Spot):
        low_high = data.spot_usd_per_hour.get(pool.instance_type)
        if low_high is not None:
            return low_high[1], f"dearest zone, {data.spot_source}, {data.spot_as_of}"
    if isinstance(pool.capacity, Block):
        block = data.block_usd_per_hour.get(pool.instance_type)
        return (block, f"{data.block_source}, {data.block_as_of}") if block is not None else (None, "no price is known")
    if listed is None:
        return None, "no price is known"
    if pool.instance_type in data.usd_per_hour:
        return listed, f"{data.usd_per_hour_source}, {data.usd_per_hour_as_of}"
    shape = load_catalogue().gpus[pool.instance_type]
    return listed, f"{shape.source}, {shape.as_of}"


def _words(pool: GpuPoolSettings) -> str:
    capacity = pool.capacity
    if isinstance(capacity, Spot):
        return "spot, else on demand" if capacity.fallback == "on-demand" else "spot"
    if isinstance(capacity, Reservation):
        return f"reservation {capacity.id}"
    if isinstance(capacity, Block):
        return f"block {capacity.starts_at.date()} to {capacity.ends_at.date()}"
    return "on demand"


def most_usd_per_month(row: PoolRow) -> float | None:
    """With the most nodes, at the price on demand where spot may fall back to it."""
    price = row.on_demand_usd_per_hour if row.bought == "spot, else on demand" else row.usd_per_hour
    if price is None or row.usd_per_hour is None:
        return None
    share = (
        1.0 if not row.nodes else (row.usd_per_month or 0.0) / (row.usd_per_hour * row.nodes * HOURS_PER_MONTH or 1.0)
    )
    return price * row.max_nodes * HOURS_PER_MONTH * share
