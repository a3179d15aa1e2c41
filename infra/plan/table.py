"""The plan as a table for people: `pulumi preview` and `spillway infra plan` print it."""

from __future__ import annotations

from collections.abc import Sequence

from infra.plan.values import HOURS_PER_MONTH, CostRow, ModelRow, Plan, PoolRow

_POOLS = ("pool", "nodes", "GPUs used", "bought", "$/h each", "$/month", "or on demand", "or spot", "or block")
_MODELS = ("model", "pool", "TP", "dtype", "replicas", "GiB/GPU", "KV tokens", "sequences", "fits")
_COSTS = ("besides", "how much", "$/month")


def table(plan: Plan) -> str:
    """Pools, models, everything else that bills, and the total against the budget; problems are not in it."""
    blocks = [f"{plan.name} in {plan.region}, 730 hours a month, list prices in USD"]
    blocks.append(_lines(_POOLS, [_pool(row) for row in plan.pools], right_from=4))
    if plan.rows:
        blocks.append(_lines(_MODELS, [_model(row) for row in plan.rows]))
    blocks.extend(f"{row.name}: {row.reason}" for row in plan.rows if not row.fits)
    blocks.append(_lines(_COSTS, [_cost(row) for row in plan.costs], right_from=2))
    blocks.append(_total(plan))
    return "\n\n".join(blocks) + "\n"


def _pool(row: PoolRow) -> tuple[str, ...]:
    price = "unknown" if row.usd_per_hour is None else f"{row.usd_per_hour:.4f}"
    nodes = f"{row.nodes} x {row.instance_type}" + (f", max {row.max_nodes}" if row.max_nodes != row.nodes else "")
    gpus = f"{row.gpus_used} of {row.nodes * row.gpus_per_node}"
    listed = "-" if row.on_demand_usd_per_hour is None else _month(row, row.on_demand_usd_per_hour)
    spot = "-" if row.spot_usd_per_hour is None else " to ".join(_month(row, price) for price in row.spot_usd_per_hour)
    block = "-" if row.block_usd_per_hour is None else _month(row, row.block_usd_per_hour)
    return row.pool, nodes, gpus, row.bought, price, _usd(row.usd_per_month), listed, spot, block


def _month(row: PoolRow, usd_per_hour: float) -> str:
    """What all nodes would cost in a month at another price; not to the cent, as it is there to be compared."""
    return f"{usd_per_hour * row.nodes * HOURS_PER_MONTH:,.0f}"


def _model(row: ModelRow) -> tuple[str, ...]:
    sequences = f"{row.sequences:.1f} x {row.max_model_len_tokens:,}"
    return (
        row.name, f"{row.pool}: {row.instance_type}", str(row.tensor_parallel), row.dtype, str(row.replicas),
        f"{row.weights_gib_per_gpu:.2f}", f"{row.kv_cache_tokens:,}", sequences, row.verdict,
    )  # fmt: skip


def _cost(row: CostRow) -> tuple[str, ...]:
    return row.what, row.quantity, _usd(row.usd_per_month)


def _total(plan: Plan) -> str:
    over = plan.total_usd_per_month > plan.budget_usd_per_month
    lines = [
        f"total    {plan.total_usd_per_month:>12,.2f} a month"
        + (f", without {', '.join(plan.unpriced)}" if plan.unpriced else ""),
        f"at most  {plan.most_usd_per_month:>12,.2f} a month, with every pool at max_nodes and no spot",
        f"budget   {plan.budget_usd_per_month:>12,.2f} a month" + (": exceeded" if over else ""),
    ]
    return "\n".join(lines)


def _usd(amount: float | None) -> str:
    return "unknown" if amount is None else f"{amount:,.2f}"


def _lines(heads: Sequence[str], rows: Sequence[Sequence[str]], right_from: int = 99) -> str:
    """Columns as wide as their widest cell; those from `right_from` on are numbers and end together."""
    widths = [max(len(row[column]) for row in (heads, *rows)) for column in range(len(heads))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if column >= right_from else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in (heads, *rows)
    )
