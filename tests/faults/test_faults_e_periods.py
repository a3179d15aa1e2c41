"""Fault group E, periods: a day and a month that end while money is under way, and usage that is told again."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.faults.caller import ANSWERED
from tests.faults.gateway_process import PRICE_IN_NANOUSD, PRICE_OUT_NANOUSD, TIMEOUTS, Setup
from tests.faults.moved_clock import MovedClock
from tests.faults.play import play
from tests.faults.rows import row
from tests.faults.stub import INPUT_TOKENS, Exchange
from tests.faults.stub_scripts import DONE, LAST_CHUNK, STREAM_HEAD, answer, events, sse, usage_of
from tests.faults.world import World, eventually, world

pytestmark = [pytest.mark.faults, pytest.mark.timeout(120)]

BOUGHT = "stub-openai"
OUTSIDE = {BOUGHT: "openai"}
ALLOWED, CROWD = 10, 20
DEAREST_NANOUSD = 3_200_000  # the most that one request may cost: see test_faults_e_books
LIMIT_NANOUSD = DEAREST_NANOUSD * ALLOWED
BEFORE_S, JUST_AFTER_S = 3.0, 0.05  # so far from the end of the month the crowds come


def _end_of_month_s() -> float:
    """The end of a month in which nothing was bought yet: not this one."""
    first = datetime.now(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    for _ in range(3):
        first = (first + timedelta(days=32)).replace(day=1)
    return first.timestamp()


def _names(unix_s: float) -> tuple[str, str]:
    day = datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%d")
    return day, day[:7]


Sums = dict[str, tuple[int, int]]


def _sums(database: Path) -> Sums:
    """Per period (spent, reserved)."""
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=5)) as connection:
        found = connection.execute("select period, spent_nanousd, reserved_nanousd from spend where tenant = 'stubs'")
        return {period: (spent, reserved) for period, spent, reserved in found}


def _booked(database: Path, name: Callable[[float], str]) -> dict[str, int]:
    """What the ledger's rows of purchases add up to per period."""
    made: dict[str, int] = {}
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=5)) as connection:
        rows = connection.execute("select at_s, cost_nanousd from ledger where target_kind = 'external'")
        for at_s, cost_nanousd in rows:
            made[name(at_s)] = made.get(name(at_s), 0) + cost_nanousd
    return made


async def _watch_limits(database: Path, periods: set[str], most: dict[str, int]) -> None:
    while True:
        for period, (spent, reserved) in _sums(database).items():
            if period in periods:
                most[period] = max(most.get(period, 0), spent + reserved)
        await asyncio.sleep(0.05)


async def _buy(here: World, count: int) -> int:
    """How many of so many at once were bought; they end later."""
    provider = here.providers[0]
    before = len(provider.calls)
    for _ in range(count):
        here.asking(stream=False, model=BOUGHT)
    await asyncio.sleep(1.0)
    return len(provider.calls) - before


def test_e3_a_month_ends_under_way(tmp_path: Path) -> None:
    """A purchase belongs to the day and month it began in, both budgets hold on either side, and sums are conserved."""

    async def scene() -> None:
        clock = MovedClock(tmp_path / "clock" / "shift")
        limit = f"{LIMIT_NANOUSD / 1e9:.4f}"
        changes = {
            "tenants": {"stubs": {"usd_per_day": limit, "usd_per_month": limit}},
            "fallbacks": {},
            "gateway": {"timeouts": {**TIMEOUTS, "ledger_s": 1.0}},  # how quick the disk is, other rows judge
        }
        setup = Setup(changes=changes, wrapper=clock.wrapper)
        async with (
            world(tmp_path / "e3", providers=OUTSIDE, setup=setup) as here,
            row(here, "E3", "day and month end under way") as line,
        ):
            boundary_s, database = _end_of_month_s(), here.gateway.database
            before, after = _names(boundary_s - 1), _names(boundary_s + 1)
            clock.set(boundary_s - BEFORE_S)
            most: dict[str, int] = {}
            watching = asyncio.create_task(_watch_limits(database, {*before, *after}, most))
            here.providers[0].script = answer(first_after_s=6.0)
            line.injected()
            bought = [await _buy(here, CROWD)]
            assert clock.now_s() < boundary_s - 1.0, "the machine was too slow for the end of the month"
            spent, reserved = _sums(database)[before[0]]
            assert (spent, reserved > 0.9 * LIMIT_NANOUSD) == (0, True), "not set aside in the old day"
            await asyncio.sleep(boundary_s - clock.now_s() + JUST_AFTER_S)
            here.providers[0].script = answer(first_after_s=1.5)
            bought.append(await _buy(here, CROWD))
            line.detected()
            await asyncio.gather(*here.tasks)
            await here.ledger()
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
            line.figures.update(bought_before=bought[0], bought_after=bought[1])
            assert bought == [ALLOWED, ALLOWED]
            assert max(most.values()) <= LIMIT_NANOUSD, most
            await _conserved(database, before, after)
            line.healed()

    play(scene())


async def _conserved(database: Path, before: tuple[str, str], after: tuple[str, str]) -> None:
    """What the rows add up to is what the sums say, nothing is set aside any more, and each side has its own ten."""
    await eventually(lambda: not any(reserved for _, reserved in _sums(database).values()), within_s=3.0)
    sums = {period: spent for period, (spent, _) in _sums(database).items() if spent}
    booked = {**_booked(database, lambda at_s: _names(at_s)[0]), **_booked(database, lambda at_s: _names(at_s)[1])}
    assert sums == booked
    cost_nanousd = INPUT_TOKENS * PRICE_IN_NANOUSD + 5 * PRICE_OUT_NANOUSD
    assert {sums[period] for period in (*before, *after)} == {ALLOWED * cost_nanousd}, sums


def _usage_again_and_again(exchange: Exchange) -> bytes:
    """Usage three times, growing as providers tell it; no event has an id."""
    made = [event.replace(b'"id":"c"', b'"id":""') for event in events(exchange, 3, usage=False, done=False)]
    usage = sse({"id": "", "choices": [], "usage": usage_of(3, exchange.call.input_tokens)})
    return b"".join([*made, usage, usage, usage, DONE])


async def _tells_usage_thrice(exchange: Exchange) -> None:
    exchange.call.made_tokens, exchange.call.told = 3, True
    data = _usage_again_and_again(exchange)
    await exchange.write(STREAM_HEAD)
    await exchange.chunk(data)
    await exchange.write(LAST_CHUNK)


def test_e3_usage_told_thrice_and_ids_that_are_none(tmp_path: Path) -> None:
    """Usage that comes three times is billed once; three calls under one id or an empty one are three rows."""

    async def scene() -> None:
        async with (
            world(tmp_path / "e3", providers=OUTSIDE) as here,
            row(here, "E3", "usage thrice, empty ids") as line,
        ):
            spent = sum(_booked(here.gateway.database, lambda at_s: "all").values())
            told, provider = [], here.providers[0]
            line.injected()
            for headers in ({"x_request_id": "the-same"}, {"x_request_id": ""}, {"idempotency_key": ""}, {}):
                for _ in range(3):
                    provider.queue = [_tells_usage_thrice]
                    told.append(await here.ask(model=BOUGHT, **headers))
            line.detected()
            assert {one.end for one in told if one.status != 400} == {ANSWERED}
            bought = [one for one in told if one.end == ANSWERED]
            line.figures["bought"] = len(bought)
            assert len(bought) >= 9, "more than the empty Idempotency-Key was refused"
            assert len({one.request_id for one in bought}) == len(bought), "an id was given twice"
            rows = await here.ledger()
            costs = {rows[one.request_id].cost_nanousd for one in bought}
            assert costs == {INPUT_TOKENS * PRICE_IN_NANOUSD + 3 * PRICE_OUT_NANOUSD}
            later = sum(_booked(here.gateway.database, lambda at_s: "all").values())
            assert later - spent == len(bought) * costs.pop()
            line.healed()

    play(scene())
