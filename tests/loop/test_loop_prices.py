"""The prices by which the control loop scales."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from math import inf
from pathlib import Path

import pytest

from controller.autoscale.capacity import gpu_seconds_per_request
from controller.autoscale.prices import Prices
from controller.autoscale.scarcity import LIMIT_USED_RATIO
from controller.config.load import load_settings
from controller.core.pools import Pool
from controller.core.samples import PoolSample, ProviderCounters
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


def test_pools_that_spill_to_one_provider_share_what_it_takes() -> None:
    """Evenly at first, by what they spill then; one that nothing was asked of leaves all to the other."""
    other = replace(POOL, name="llama-8b-too")
    limited = {name: replace(one, requests_per_min=600) for name, one in SETTINGS.providers.items()}
    pools = {POOL.name: POOL, other.name: other}
    settings = replace(
        SETTINGS,
        pools=pools,
        providers=limited,
        step_times={**SETTINGS.step_times, other.name: SETTINGS.step_times[POOL.name]},
    )
    book = PriceBook(settings, EVERYBODY)
    seen = asked(POOL, 500.0, 100.0)

    def taken(pool: Pool, spilled_per_s: float, at_s: float) -> float:
        found = book.now(pool, replace(seen, at_s=at_s, spilled_per_s=spilled_per_s))
        assert found is not None
        return found.spill_limit_replicas

    whole = taken(POOL, 0.0, 0.0)
    assert [taken(pool, 0.0, 0.0) for pool in (other, POOL)] == pytest.approx([whole / 2, whole / 2])
    for at_s in range(10, 3000, 10):
        both = [taken(POOL, 3.0, float(at_s)), taken(other, 1.0, float(at_s))]
    assert both == pytest.approx([11 / 16 * whole, 5 / 16 * whole], rel=0.01)
    for at_s in range(3000, 9000, 10):
        both = [taken(POOL, 0.0, float(at_s)), taken(other, 1.0, float(at_s))]
    assert both == pytest.approx([whole / 8, 7 / 8 * whole], rel=0.01)


def heard(book: PriceBook, seconds: int, start_s: float = 0.0, **good: int) -> None:
    """So long the gateway says how many keys of each provider are good."""
    for second in range(seconds):
        told = {name: ProviderCounters(keys_good=count) for name, count in good.items()}
        book.hear(told, start_s + second)


def test_what_is_down_sells_nothing_until_it_is_back() -> None:
    """The next dearer provider counts; without any the price is infinite; afterwards all is as before."""
    book = PriceBook(replace(SETTINGS, pools={POOL.name: POOL}), EVERYBODY)
    before = book.now(POOL, asked(POOL, 500.0, 100.0))
    assert before is not None
    assert book.words(POOL) == ()
    heard(book, 60, openai=0, anthropic=1)
    dearer = book.now(POOL, sample())
    assert dearer is not None
    assert before.spill_usd_per_replica_s < dearer.spill_usd_per_replica_s < inf
    assert book.words(POOL) == ("openai takes nothing now",)
    heard(book, 60, 60.0, openai=0, anthropic=0)
    nobody = book.now(POOL, sample())
    assert nobody is not None
    assert nobody.spill_usd_per_replica_s == inf
    assert book.words(POOL) == ("anthropic takes nothing now", "openai takes nothing now")
    heard(book, 200, 120.0, openai=1, anthropic=1)
    assert book.now(POOL, sample()) == before


def bound(book: PriceBook, ratio: float, start_s: float, seconds: int = 600) -> Prices:
    """The prices after so long with this share of requests that may not be bought."""
    seen = replace(asked(POOL, 500.0, 100.0), arrivals_per_s=2.0, bound_ratio=ratio)
    for second in range(0, seconds, 10):
        found = book.now(POOL, replace(seen, at_s=start_s + second))
    assert found is not None
    return found


def test_requests_that_may_not_be_bought_limit_what_can_be() -> None:
    """Half of them: half of the work. Nearly all: nobody may be asked, until a fifth may be again."""
    unlimited = {name: replace(one, requests_per_min=None) for name, one in SETTINGS.providers.items()}
    book = PriceBook(replace(SETTINGS, pools={POOL.name: POOL}, providers=unlimited), EVERYBODY)
    free = bound(book, 0.0, 0.0)
    assert free.spill_limit_replicas == inf
    half = bound(book, 0.5, 1000.0)
    request_gpu_s = asked(POOL, 500.0, 100.0).request_gpu_s or 0.0
    assert LIMIT_USED_RATIO * half.spill_limit_replicas == pytest.approx(1.0 * request_gpu_s, rel=1e-3)
    assert half.spill_usd_per_replica_s == free.spill_usd_per_replica_s
    assert book.words(POOL) == ("50 % of requests may not be bought",)
    assert bound(book, 1.0, 2000.0).spill_usd_per_replica_s == inf
    assert bound(book, 0.9, 3000.0).spill_usd_per_replica_s == inf
    assert bound(book, 0.7, 4000.0).spill_usd_per_replica_s == free.spill_usd_per_replica_s
    assert bound(book, 0.0, 5000.0) == free
    assert book.words(BUILT_IN) == ()
