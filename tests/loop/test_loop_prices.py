"""The prices by which the control loop scales."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from math import inf
from pathlib import Path

import pytest

from controller.autoscale.capacity import gpu_seconds_per_request
from controller.config.load import load_settings
from controller.core.pools import Pool
from controller.core.samples import PoolSample
from controller.loop.demand import Demand
from controller.loop.observe import sample_of
from controller.loop.prices import PriceBook
from tests.loop.loop_values import sample

SETTINGS = load_settings(None, {}, today=date(2026, 11, 1), state_dir=Path("unused"))
BUILT_IN = SETTINGS.pools["llama-8b"]
POOL = replace(BUILT_IN, spill=replace(BUILT_IN.spill, to=("gpt-4o", "claude-3-5-sonnet")))


EVERYBODY = frozenset(SETTINGS.providers)


def asked(pool: Pool, input_tokens: float, output_tokens: float) -> PoolSample:
    """What is measured when requests of this size come."""
    demand = Demand(span_s=20.0, arrivals_per_s=1.0, input_tokens=input_tokens, output_tokens=output_tokens)
    found = sample_of(pool, SETTINGS.step_times[pool.name], [], {}, demand=demand, now_s=0.0)
    assert found is not None
    return found


def test_prices_are_for_the_requests_that_came_last() -> None:
    """None before the first; while nothing comes those of before stand."""
    book = PriceBook(replace(SETTINGS, pools={POOL.name: POOL}), EVERYBODY)
    quiet = sample()
    assert book.now(POOL, quiet) is None
    first = book.now(POOL, asked(POOL, 1155.0, 211.0))
    assert first is not None
    assert book.now(POOL, quiet) == book.now(POOL, None) == first
    longer = book.now(POOL, asked(POOL, 100.0, 2000.0))
    assert longer is not None
    assert longer.spill_usd_per_replica_s != first.spill_usd_per_replica_s
    assert min(longer.spill_usd_per_replica_s, first.spill_usd_per_replica_s) > 10 * first.replica_usd_per_s


def test_a_replica_costs_its_share_of_the_instance_an_hour() -> None:
    """As the catalogue has it."""
    found = PriceBook(SETTINGS, EVERYBODY).now(BUILT_IN, asked(BUILT_IN, 500.0, 100.0))
    assert found is not None
    assert found.replica_usd_per_s * 3600 == pytest.approx(1.212)
    assert found.start_usd == pytest.approx(found.replica_usd_per_s * POOL.scale.cold_start_s)


def test_a_pool_that_may_not_spill_has_nobody_to_buy_from() -> None:
    """And one whose GPUs nobody knows has no prices."""
    seen = asked(POOL, 500.0, 100.0)
    alone = replace(POOL, spill=replace(POOL.spill, to=()))
    found = PriceBook(replace(SETTINGS, pools={POOL.name: alone}), EVERYBODY).now(alone, seen)
    assert found is not None
    assert found.spill_usd_per_replica_s == inf
    keyless = PriceBook(SETTINGS, frozenset()).now(BUILT_IN, seen)
    assert keyless is not None
    assert keyless.spill_usd_per_replica_s == inf
    strange = replace(POOL, instance_type="dgx-under-the-desk")
    assert PriceBook(replace(SETTINGS, pools={POOL.name: strange}), EVERYBODY).now(strange, seen) is None
    unmeasured = replace(seen, request_gpu_s=None)
    assert PriceBook(SETTINGS, EVERYBODY).now(BUILT_IN, unmeasured) is None


def test_a_start_costs_what_it_was_learned_to_take() -> None:
    """Else what is configured."""
    found = PriceBook(SETTINGS, EVERYBODY).now(BUILT_IN, asked(BUILT_IN, 500.0, 100.0), cold_start_s=80.0)
    assert found is not None
    assert found.start_usd == pytest.approx(found.replica_usd_per_s * 80.0)


def test_what_providers_take_is_the_sum_of_their_limits() -> None:
    """Per minute and request, and so in replicas; without a limit at one of them there is none."""
    seen = asked(POOL, 500.0, 100.0)
    pools = {POOL.name: POOL}
    unlimited = {name: replace(one, requests_per_min=None) for name, one in SETTINGS.providers.items()}
    free = PriceBook(replace(SETTINGS, pools=pools, providers=unlimited), EVERYBODY).now(POOL, seen)
    limited = {name: replace(one, requests_per_min=600) for name, one in SETTINGS.providers.items()}
    found = PriceBook(replace(SETTINGS, pools=pools, providers=limited), EVERYBODY).now(POOL, seen)
    assert free is not None
    assert found is not None
    assert free.spill_limit_replicas == inf
    cost_s = gpu_seconds_per_request(
        SETTINGS.step_times[POOL.name], POOL.engine, POOL.slo, input_tokens=500.0, output_tokens=100.0
    )
    assert found.spill_limit_replicas == pytest.approx(2 * 10.0 * cost_s)  # OpenAI and Anthropic
