"""What a real gateway says of what can be bought, heard over its own port, and what the controller makes of it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from loop_values import POOL, STEPS, settings

from controller.adapters.gateway_scrape import GatewayScraper
from controller.config.load import load_settings
from controller.core.samples import GatewayCounters
from controller.loop.demand import Demand, DemandWindow
from controller.loop.observe import sample_of
from controller.loop.prices import PriceBook
from tests.faults.gateway_process import Setup, key_variable
from tests.faults.stub_scripts import answer, refuse
from tests.faults.world import World, eventually, world

pytestmark = pytest.mark.slow

SETTINGS = load_settings(None, {}, today=date(2026, 11, 1), state_dir=Path("unused"))
FIRST = "stub-first"
OPEN = {FIRST: "openai"}


def setup_of(**changes: object) -> Setup:
    """A gateway with a stub as its provider."""
    return Setup(changes=changes, environ={key_variable(FIRST): "key"})


async def scraped(here: World) -> GatewayCounters:
    """One scrape of the gateway's metrics."""
    scraper = GatewayScraper([f"http://127.0.0.1:{here.gateway.admin_port}"], 5.0)
    try:
        (found,) = (await scraper.scrape()).values()
    finally:
        await scraper.close()
    assert found is not None
    return found


def book() -> PriceBook:
    """The prices of a pool that may spill to the stub."""
    model = replace(SETTINGS.models["gpt-4o-mini"], key=FIRST, provider=FIRST)
    provider = replace(SETTINGS.providers["openai"], name=FIRST, requests_per_min=None)
    pool = replace(POOL, spill=replace(POOL.spill, to=(FIRST,)))
    made = replace(settings(pool), models={FIRST: model}, providers={FIRST: provider})
    return PriceBook(made, frozenset({FIRST}))


def test_an_outage_reaches_the_prices_and_its_end_too(tmp_path: Path) -> None:
    """The stub fails, the gateway's breaker opens, nothing can be bought; it answers again, and all can."""
    prices = book()
    seen = sample_of(
        POOL, STEPS, [], {}, demand=Demand(span_s=20.0, input_tokens=500.0, output_tokens=100.0), now_s=0.0
    )

    async def heard(here: World, start_s: int, seconds: int) -> None:
        counters = await scraped(here)
        for second in range(seconds):
            prices.hear(counters.providers, float(start_s + second))

    async def story() -> None:
        async with world(tmp_path, engines=0, providers=OPEN, setup=setup_of()) as here:
            (provider,) = here.providers
            await here.ask(model=FIRST)
            counters = await scraped(here)
            assert counters.providers[FIRST].keys_good == 1
            assert counters.providers[FIRST].answered >= 1
            provider.script = refuse(500)
            for _ in range(8):
                await here.ask(model=FIRST, stream=False)
            await heard(here, 0, 60)
            assert prices.words(POOL) == (f"{FIRST} takes nothing now",)
            found = prices.now(POOL, seen)
            assert found is not None
            assert found.spill_usd_per_replica_s == float("inf")
            provider.script = answer()

            async def is_back() -> bool:
                await here.ask(model=FIRST, stream=False)
                return (await scraped(here)).providers[FIRST].keys_good == 1

            await eventually(is_back, within_s=30.0, every_s=0.25)
            await heard(here, 60, 200)
            found = prices.now(POOL, seen)
            assert prices.words(POOL) == ()
            assert found is not None
            assert found.spill_usd_per_replica_s < float("inf")

    asyncio.run(story())


def test_spent_budgets_and_callers_own_words_are_counted(tmp_path: Path) -> None:
    """Requests whose tenant has nothing left, or that may not leave their pool, are told as bound."""
    limits = {"tenants": {"*": {"usd_per_day": 0.01}}}

    async def story() -> None:
        async with world(tmp_path, engines=1, providers=OPEN, setup=setup_of(**limits)) as here:
            window = DemandWindow()
            window.add(0.0, (await scraped(here)).pools["llama-8b"])
            await here.ask(**{"x-spillway-spill": "never"})
            await here.ask()
            counters = (await scraped(here)).pools["llama-8b"]
            assert window.add(10.0, counters).bound_ratio == 0.5
            told = await here.ask(model=FIRST, stream=False, fields={"max_tokens": 4096})  # up to 0.012 USD
            assert told.status == 429
            for _ in range(3):
                await here.ask()
            counters = (await scraped(here)).pools["llama-8b"]
            assert window.add(20.0, counters).bound_ratio == 4 / 5

    asyncio.run(story())
