"""Numbers of nodes, and capacity that is bought ahead: blocks with their days, reservations."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta

from controller.catalogue.document import Document, Place
from controller.catalogue.refusals import problem_at
from controller.core.errors import Problem
from infra.schema import Block, CoreNodeSettings, GpuPoolSettings, StackSettings

BLOCK_DAYS_MAX = 182  # docs.aws.amazon.com/AWSEC2: 1 to 14 days, then by weeks up to 182
BLOCK_DAYS_BY_DAY = 14


def check_nodes(settings: StackSettings, document: Document) -> Iterator[Problem]:
    """min <= desired <= max of every group of nodes, and somebody who adds nodes where max is more than desired."""
    yield from _check_counts(settings.core_nodes, ("core_nodes",), document)
    for name, pool in settings.gpu_pools.items():
        yield from _check_counts(pool, ("gpu_pools", name), document)
    if settings.core_nodes.desired_nodes < 1:
        yield problem_at(
            document, ("core_nodes", "desired_nodes"), "the system has nowhere to run", "1 or more",
            settings.core_nodes.desired_nodes,
        )  # fmt: skip


def _check_counts(group: CoreNodeSettings | GpuPoolSettings, above: Place, document: Document) -> Iterator[Problem]:
    low, wanted, high = group.min_nodes, group.desired_nodes, group.max_nodes
    if high < 1:
        yield problem_at(document, (*above, "max_nodes"), "a group without nodes is of no use", "1 or more", high)
    if low > high:
        yield problem_at(document, (*above, "min_nodes"), "is above max_nodes", f"0 to {high}", low)
    elif not low <= wanted <= high:
        yield problem_at(
            document, (*above, "desired_nodes"), "is not between min_nodes and max_nodes", f"{low} to {high}", wanted
        )


def check_blocks(settings: StackSettings, document: Document, today: date) -> Iterator[Problem]:
    """Capacity blocks: one zone, an end after the start, of a length that is sold, not over."""
    for name, pool in settings.gpu_pools.items():
        if isinstance(pool.capacity, Block):
            yield from _check_block(name, pool, pool.capacity, document, today)


def _check_block(name: str, pool: GpuPoolSettings, block: Block, document: Document, today: date) -> Iterator[Problem]:
    above: Place = ("gpu_pools", name, "capacity")
    now = datetime.combine(today, time(), UTC)
    length = block.ends_at - block.starts_at
    if length <= timedelta(0):
        yield problem_at(
            document, (*above, "ends_at"), "is not after starts_at", f"after {block.starts_at.isoformat()}",
            block.ends_at.isoformat(),
        )  # fmt: skip
    elif length > timedelta(days=BLOCK_DAYS_MAX):
        yield problem_at(
            document, (*above, "ends_at"), f"the block is {length.days} days long", f"1 to {BLOCK_DAYS_MAX} days",
            block.ends_at.isoformat(),
        )  # fmt: skip
    if block.ends_at <= now:
        yield problem_at(
            document, (*above, "ends_at"), f"the block is over since {block.ends_at.date()}",
            f"after {today.isoformat()}: buy another one, or another kind of capacity", block.ends_at.isoformat(),
        )  # fmt: skip
    if len(pool.availability_zones) != 1:
        yield problem_at(
            document, ("gpu_pools", name, "availability_zones"), "a capacity block is in one zone",
            "the one zone of the block", ", ".join(pool.availability_zones) or "none",
        )  # fmt: skip
    if pool.desired_nodes > 0 and not block.is_open(now):
        yield problem_at(
            document, ("gpu_pools", name, "desired_nodes"),
            f"the block opens at {block.starts_at.isoformat()}: no node can start before", "0 until then",
            pool.desired_nodes, severity="warning",
        )  # fmt: skip
