"""What a replica costs, and its work elsewhere."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal
from math import inf
from pathlib import Path

import pytest

from controller.autoscale.prices import Prices, market_prices, request_usd
from controller.catalogue.load import load_catalogue
from controller.config.load import load_settings
from controller.core.money import Price

MINI = Price(
    usd_per_mtok_in=Decimal("0.15"),
    usd_per_mtok_out=Decimal("0.6"),
    usd_per_mtok_cached_in=Decimal("0.075"),
    source="list",
    as_of=date(2026, 1, 1),
)
POOLS = load_settings(None, {}, today=date(2026, 11, 1), state_dir=Path("unused")).pools
SHAPE = replace(
    next(iter(load_catalogue().gpus.values())), gpus=8, usd_per_hour=Decimal(36), instance_type="eight", source="test"
)


def test_a_request_costs_its_tokens() -> None:
    """Prices are per million tokens."""
    assert request_usd(MINI, 1000.0, 500.0) == pytest.approx(0.00015 + 0.0003)


def test_a_replica_pays_for_its_share_of_the_node_and_work_for_the_cheapest_model() -> None:
    """Two of eight GPUs at $36 an hour; a request that takes half a second of them costs twice as much per second."""
    pool = POOLS["llama-8b"]
    pool = replace(pool, engine=replace(pool.engine, tensor_parallel=2), scale=replace(pool.scale, home_use_ratio=1.0))
    dear = replace(MINI, usd_per_mtok_in=Decimal(50), usd_per_mtok_out=Decimal(100))
    found = market_prices(
        pool, SHAPE, [dear, replace(dear, usd_per_mtok_in=Decimal(20))], input_tokens=100, output_tokens=10,
        gpu_seconds_per_request=0.5,
    )  # fmt: skip
    assert found.replica_usd_per_s == pytest.approx(9 / 3600)
    assert found.spill_usd_per_replica_s == pytest.approx((100 * 20 + 10 * 100) / 1e6 / 0.5)
    assert found.start_usd == pytest.approx(9 / 3600 * pool.scale.cold_start_s)


def test_cheap_providers_do_not_empty_a_pool_unless_the_market_alone_decides() -> None:
    """A replica is kept from its `home_use_ratio` on; at 1 it never pays when buying costs less than it."""
    pool = POOLS["llama-8b"]
    sizes = {"input_tokens": 10.0, "output_tokens": 1.0, "gpu_seconds_per_request": 1.0}
    assert market_prices(pool, SHAPE, [MINI], **sizes).break_even_ratio == pytest.approx(pool.scale.home_use_ratio)
    alone = replace(pool, scale=replace(pool.scale, home_use_ratio=1.0))
    assert market_prices(alone, SHAPE, [MINI], **sizes).break_even_ratio == pytest.approx(1.0)


def test_what_costs_nothing_elsewhere_is_never_worth_a_replica() -> None:
    """No use pays for it."""
    assert Prices(replica_usd_per_s=1.0, spill_usd_per_replica_s=0.0, cold_start_s=1.0).break_even_ratio == inf


def test_nobody_to_ask() -> None:
    """Then no replica is ever too dear."""
    found = market_prices(
        POOLS["llama-8b"], SHAPE, [], input_tokens=1.0, output_tokens=1.0, gpu_seconds_per_request=1.0
    )
    assert found.spill_usd_per_replica_s == inf
    assert found.break_even_ratio == 0.0
