"""The plan against the figures worked out by hand: node prices, memory, sums, the budget."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from stacks import TODAY, changed

from infra.plan import Plan, plan, table
from infra.regions import load_region
from infra.schema import StackSettings
from infra.settings import load_plan

INFRA = Path(__file__).parents[2] / "infra"
A100 = "gpu_pools.a100"
BLOCK = {
    "kind": "capacity-block",
    "id": "cr-0123456789abcdef0",
    "starts_at": "2026-12-01T11:30:00Z",
    "ends_at": "2026-12-08T11:30:00Z",
}


def planned(changes: dict[str, object]) -> Plan:
    """The plan of the good stack with changes."""
    return plan(StackSettings.model_validate(changed(changes)), today=TODAY)


def test_prod_costs_what_its_nodes_and_services_cost() -> None:
    """2 x g5.2xlarge and one p4d.24xlarge by the month as known, the rest by list prices; within the budget."""
    _, whole = load_plan(INFRA / "Pulumi.prod.yaml", today=TODAY)
    assert [(row.pool, row.nodes, round(row.usd_per_month or 0, 2)) for row in whole.pools] == [
        ("a10g", 2, 1769.52),
        ("a100", 1, 16029.08),
    ]
    assert {row.what: round(row.usd_per_month or 0, 2) for row in whole.costs} == {
        "EKS control plane 1.35": 73.00,
        "core nodes": 378.43,
        "NAT gateways": 98.55,
        "interface endpoints": 87.60,
        "load balancer": 16.43,
        "disks of nodes": 72.00,
        "database": 94.90,
        "database storage": 11.50,
    }
    assert whole.total_usd_per_month == pytest.approx(18631.01, abs=0.01)
    assert whole.most_usd_per_month == pytest.approx(18631.01 + 1769.52, abs=0.01)
    assert (whole.unpriced, whole.problems) == ((), ())


def test_prod_fills_its_a100s_and_every_model_fits() -> None:
    """Mixtral bf16 and the 70B in int8, four GPUs each, as the arithmetic says."""
    _, whole = load_plan(INFRA / "Pulumi.prod.yaml", today=TODAY)
    assert [(row.gpus_used, row.nodes * row.gpus_per_node) for row in whole.pools] == [(2, 2), (8, 8)]
    assert [(row.name, row.tensor_parallel, round(row.weights_gib_per_gpu, 2), row.verdict) for row in whole.rows] == [
        ("llama-8b", 1, 14.96, "fits"),
        ("mixtral-8x7b", 4, 21.75, "good"),
        ("llama-70b", 4, 16.43, "good"),
    ]
    assert whole.rows[1].kv_cache_tokens == 367_392
    assert whole.rows[1].sequences == pytest.approx(367_392 / 16_384)


@pytest.mark.parametrize("stack", ["dev", "eu"])
def test_the_other_stacks_that_ship_can_be_built(stack: str) -> None:
    """They differ from prod in size and region; what has no price there is named."""
    settings, whole = load_plan(INFRA / f"Pulumi.{stack}.yaml", today=TODAY)
    assert whole.errors == ()
    priced = load_region(settings.region).services.nat_gateway_usd_per_hour is not None
    assert ("NAT gateways" in whole.unpriced) is not priced


BOUGHT: dict[str, tuple[dict[str, object], str, float, float, float]] = {
    # name: (changes, how it is bought, $ an hour, $ a month, $ a month at most)
    "on-demand": ({}, "on demand", 21.957642, 16029.08, 16029.08),
    "own-price": ({f"{A100}.usd_per_hour": 15.0}, "on demand", 15.0, 10950.0, 10950.0),
    "reservation": (
        {f"{A100}.capacity": {"kind": "capacity-reservation", "id": "cr-0123456789abcdef0"}},
        "reservation cr-0123456789abcdef0", 21.957642, 16029.08, 16029.08,
    ),
    "spot": (
        {f"{A100}.capacity": {"kind": "spot", "fallback": "none"}}, "spot", 14.1051, 14.1051 * 730, 14.1051 * 730,
    ),
    "spot-that-falls-back": (
        {f"{A100}.capacity": {"kind": "spot"}}, "spot, else on demand", 14.1051, 14.1051 * 730, 16029.08,
    ),
    "spot-whose-price-is-not-known": (
        {f"{A100}.instance_type": "p5.48xlarge", f"{A100}.capacity": {"kind": "spot"}}, "spot, else on demand", 55.04,
        55.04 * 730, 55.04 * 730,
    ),
    "block": (
        {"region": "us-east-2", f"{A100}.capacity": BLOCK, f"{A100}.availability_zones": ["us-east-2a"]},
        "block 2026-12-01 to 2026-12-08", 14.75, 14.75 * 24 * 7, 14.75 * 24 * 7,
    ),
    "none-yet": ({f"{A100}.desired_nodes": 0}, "on demand", 21.957642, 0.0, 16029.08),
}  # fmt: skip


@pytest.mark.parametrize("row", BOUGHT)
def test_nodes_cost_what_they_are_bought_for(row: str) -> None:
    """By the hour, by the month, and by the month with the most nodes."""
    changes, bought, usd_per_hour, usd_per_month, most = BOUGHT[row]
    whole = planned(changes)
    pool = whole.pools[1]
    assert (pool.bought, pool.usd_per_hour) == (bought, usd_per_hour)
    assert pool.usd_per_month == pytest.approx(usd_per_month, abs=0.01)
    others = whole.total_usd_per_month - usd_per_month
    assert whole.most_usd_per_month - others == pytest.approx(most, abs=0.01)


def test_what_has_no_price_is_named_and_not_counted() -> None:
    """A block where none is sold, a region without data: neither stops the rest from being planned."""
    block = {f"{A100}.capacity": BLOCK, f"{A100}.availability_zones": ["us-east-1a"]}
    whole = planned(block)
    assert whole.unpriced == ("pool a100",)
    assert "without pool a100" in table(whole)
    nowhere = planned({"region": "us-east-9"})
    assert (nowhere.costs, nowhere.unpriced) == ((), ("pool a10g", "pool a100"))
    assert [row.verdict for row in nowhere.rows] == ["fits", "good"]


def test_extended_support_costs_more() -> None:
    """Six times as much an hour, and the table says so."""
    changes: dict[str, object] = {"cluster.version": "1.33", "cluster.upgrade_support": "EXTENDED"}
    row = planned(changes).costs[0]
    assert (row.what, row.usd_per_month) == ("EKS control plane 1.33, extended support", pytest.approx(438.0))


def test_what_is_left_out_does_not_bill() -> None:
    """No load balancer, no endpoints but the free one, one NAT gateway, one database."""
    changes = {
        "edge": {"kind": "none"},
        "network.endpoints": ["s3"],
        "network.single_nat_gateway": True,
        "database": {"multi_az": False},
    }
    rows = {row.what: row.quantity for row in planned(changes).costs}
    assert "load balancer" not in rows
    assert "interface endpoints" not in rows
    assert (rows["NAT gateways"], rows["database"]) == ("1", "1 x db.t4g.medium")


WARNED: dict[str, tuple[dict[str, object], str, str]] = {
    "budget-at-max": ({"gpu_pools.a10g.max_nodes": 12}, "budget_usd_per_month", "may be exceeded: with every pool at"),
    "support-ends-soon": ({"cluster.version": "1.34"}, "cluster.version", "standard support ends on 2026-12-02"),
    "gpus-that-may-be-stranded": (
        {
            "cluster.bin_packing": False,
            f"{A100}.max_nodes": 2,
            "budget_usd_per_month": 40000,
            "models.small": {"model": "llama-8b-self", "pool": "a100"},
        },
        "cluster.bin_packing", "replicas of 1, 4 GPUs on a100 are spread over its nodes",
    ),
    "block-not-open": (
        {"region": "us-east-2", f"{A100}.capacity": BLOCK, f"{A100}.availability_zones": ["us-east-2a"]},
        f"{A100}.desired_nodes", "the block opens at 2026-12-01T11:30:00+00:00",
    ),
}  # fmt: skip


@pytest.mark.parametrize("row", WARNED)
def test_what_may_go_wrong_later_is_a_warning(row: str) -> None:
    """It does not keep the stack from being built."""
    changes, key, message = WARNED[row]
    whole = planned(changes)
    assert whole.errors == ()
    (found,) = [problem for problem in whole.problems if problem.key == f"spillway:{key}"]
    assert found.message.startswith(message)


def test_a_block_is_open_from_its_start_to_its_end() -> None:
    """Then its nodes may stand, and nothing is warned of."""
    changes = {"region": "us-east-2", f"{A100}.capacity": BLOCK, f"{A100}.availability_zones": ["us-east-2a"]}
    settings = StackSettings.model_validate(changed(changes))
    assert plan(settings, today=date(2026, 12, 2)).problems == ()


def test_the_table_shows_pools_models_costs_and_the_total() -> None:
    """One line each, as wide as needed; a model that does not fit with its arithmetic."""
    shown = table(planned({"models.mixtral.tensor_parallel": 2, "budget_usd_per_month": 1000}))
    assert "a100  1 x p4d.24xlarge  2 of 8     on demand   21.9576  16,029.08        16,029  4,591 to 10,297" in shown
    assert table(planned({"region": "us-east-2"})).count("10,768") == 1  # a block: 14.75 x 730
    assert "mixtral   a100: p4d.24xlarge  2   bf16   1         43.50    0          0.0 x 8,192  no" in shown
    assert "mixtral: 39.4 GiB x 0.90 = 35.46 usable per GPU - 43.50 bf16 weights" in shown
    assert "budget       1,000.00 a month: exceeded" in shown
    assert all(line == line.rstrip() for line in shown.splitlines())
    assert "unknown" in table(planned({"region": "us-west-2"}))
    assert "sequences" not in table(planned({"models": {}}))
