"""The ledger in both databases: nothing lost, nothing twice, budgets never overshot."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import select

from controller.adapters.database import open_database
from controller.adapters.database_tables import spend
from controller.adapters.ledger_reader import open_reader
from controller.adapters.ledger_store import LedgerStore
from controller.core.ledger import LedgerEntry, Verdict
from controller.core.money import Usage
from controller.core.requests import TargetKind
from controller.routing.budget import SpendLimits, hour_limits, hour_of
from tests.adapters.ledger_values import (
    CENT_NANOUSD,
    ENTRY,
    NOON_S,
    entry,
    open_store,
    sums,
    unlimited,
    wish,
)

GRANTED, DAY, MONTH, UNAVAILABLE = Verdict.GRANTED, Verdict.DAY_SPENT, Verdict.MONTH_SPENT, Verdict.UNAVAILABLE
HOUR = Verdict.POOL_HOUR_SPENT


@pytest.fixture
def book(place: Path | str, tmp_path: Path) -> Iterator[LedgerStore]:
    """A ledger where acme may buy for ten cents a day, nobody else has a limit."""
    store = open_store(place, tmp_path)
    yield store
    store.close()


def reserved(book: LedgerStore, *ids: str, cents: float = 1, **changes: object) -> list[Verdict]:
    """What the reservations were told, one after the other."""

    async def ask() -> list[Verdict]:
        return [await book.reserve(wish(name, cents, **changes)) for name in ids]

    return asyncio.run(ask())


def test_an_entry_comes_back_as_it_was_posted(book: LedgerStore) -> None:
    """Every field survives the round trip, attempts and chain included."""
    own = entry("r-2", target_kind=TargetKind.OWN)
    book.post(ENTRY)
    book.post(own)
    assert book.flush()
    assert (book.reader.find("r-1"), book.reader.find("r-2")) == (ENTRY, own)
    assert book.reader.find("r-3") is None


def test_close_writes_everything_posted_before(place: Path | str, tmp_path: Path) -> None:
    """Rows still queued when close() is called are in the database when it returns."""
    book = open_store(place, tmp_path, group_commit_s=0.2)
    for at in range(1_000):
        book.post(entry(f"r-{at}", target_kind=TargetKind.OWN if at % 2 else TargetKind.EXTERNAL))
    book.close()
    reader = open_reader(place)
    assert sum(total.requests for total in reader.totals(by="tenant")) == 1_000
    reader.close()


@pytest.mark.parametrize("kind", [TargetKind.OWN, TargetKind.EXTERNAL])
def test_a_second_post_of_an_id_changes_nothing(book: LedgerStore, kind: TargetKind) -> None:
    """Stored once, paid once, within a group and across groups."""
    first = entry("r-1", target_kind=kind)
    book.post(first)
    book.post(entry("r-1", target_kind=kind, cost_nanousd=5 * CENT_NANOUSD))
    assert book.flush()
    book.post(entry("r-1", target_kind=kind, status=500))
    assert book.flush()
    assert book.reader.find("r-1") == first
    assert sums(book) == (1 if kind is TargetKind.EXTERNAL else 0, 0)


def test_a_thousand_at_once_on_a_budget_for_ten(book: LedgerStore) -> None:
    """Exactly ten of 1,000 concurrent reservations are granted, and spent + reserved stays within the limit."""

    async def ask() -> list[Verdict]:
        return await asyncio.gather(*(book.reserve(wish(f"r-{at}")) for at in range(1_000)))

    verdicts = asyncio.run(ask())
    assert verdicts.count(GRANTED) <= 10
    assert set(verdicts) <= {GRANTED, DAY, UNAVAILABLE}
    assert book.flush()
    assert sums(book) == (0, verdicts.count(GRANTED))
    for at, verdict in enumerate(verdicts):
        if verdict is GRANTED:
            book.post(entry(f"r-{at}"))
    assert book.flush()
    assert sums(book) == (verdicts.count(GRANTED), 0)


def test_the_limit_is_exact(book: LedgerStore) -> None:
    """The tenth cent is granted, one nano-USD more is not."""
    assert reserved(book, *(f"r-{at}" for at in range(10))) == [GRANTED] * 10
    assert reserved(book, "one more", cents=1e-7) == [DAY]
    book.post(entry("r-0"))
    assert reserved(book, "one more", cents=1e-7) == [DAY]
    assert sums(book) == (1, 9)


def test_what_was_set_aside_comes_back(book: LedgerStore) -> None:
    """void frees it, a cheaper settlement frees the rest, an own pool's entry costs no budget."""
    assert reserved(book, "a", cents=10) == [GRANTED]
    assert reserved(book, "b") == [DAY]
    book.void("a")
    book.void("never heard of")
    assert reserved(book, "b", cents=10) == [GRANTED]
    book.post(entry("b"))
    assert reserved(book, "c", cents=9) == [GRANTED]
    book.post(entry("c", target_kind=TargetKind.OWN))
    assert book.flush()
    assert sums(book) == (1, 0)


def test_a_second_reservation_of_an_id_replaces_the_first(book: LedgerStore) -> None:
    """A request that falls back from one provider to the next holds one amount, not two; refused, it holds none."""
    assert reserved(book, "a", cents=6) == [GRANTED]
    assert reserved(book, "a", cents=7) == [GRANTED]
    assert sums(book) == (0, 7)
    book.void("a")
    assert reserved(book, "a", cents=2) == [GRANTED]
    assert sums(book) == (0, 2)
    assert reserved(book, "a", cents=11) == [DAY]
    assert sums(book) == (0, 0)


def test_month_and_day_hold_together(place: Path | str, tmp_path: Path) -> None:
    """The month refuses what the day would allow; a request belongs to the day it was accepted in, even if late."""
    limits = SpendLimits(day_nanousd=2 * CENT_NANOUSD, month_nanousd=3 * CENT_NANOUSD)
    book = open_store(place, tmp_path, lambda _: limits)
    first = 1_793_491_200.0  # 2026-11-01
    assert reserved(book, "a", "b", "c", at_s=first) == [GRANTED, GRANTED, DAY]
    assert reserved(book, "d", "e", at_s=first + 86_400) == [GRANTED, MONTH]
    assert reserved(book, "f", at_s=first + 30 * 86_400) == [GRANTED]
    for name, at_s in (("a", first), ("b", first), ("d", first + 86_400)):
        book.post(entry(name, at_s=at_s))
    assert book.flush()
    day, month = book.reader.spend(first)["acme"]
    assert (day.spent_nanousd, month.spent_nanousd) == (2 * CENT_NANOUSD, 3 * CENT_NANOUSD)
    assert reserved(book, "g", at_s=first + 86_400) == [MONTH]
    book.close()


def test_what_a_pool_may_spill_for_in_an_hour(place: Path | str, tmp_path: Path) -> None:
    """Exact over tenants and a restart; what came cheaper or was taken back is free again, own answers cost nothing."""
    limit_of = hour_limits({"llama-8b": Decimal("0.03")})
    book = open_store(place, tmp_path, unlimited, hour_limit_of=limit_of)
    of_pool = {"home_pool": "llama-8b"}
    assert reserved(book, "a", "b", cents=1.5, **of_pool) == [GRANTED, GRANTED]
    assert reserved(book, "c", cents=1e-7, tenant="other", **of_pool) == [HOUR]
    assert reserved(book, "d", cents=50, home_pool="mixtral-8x7b") == [GRANTED]
    assert reserved(book, "e", cents=50) == [GRANTED]
    assert reserved(book, "f", cents=3, at_s=NOON_S + 3600, **of_pool) == [GRANTED]
    book.post(entry("a", home_pool="llama-8b"))  # one cent
    book.void("b")
    book.post(entry("own", home_pool="llama-8b", target_kind=TargetKind.OWN, cost_nanousd=90 * CENT_NANOUSD))
    book.close()
    again = open_store(place, tmp_path, unlimited, hour_limit_of=limit_of)
    assert reserved(again, "g", "h", cents=2, **of_pool) == [GRANTED, HOUR]
    again.reconfigure(unlimited, hour_limits({"llama-8b": Decimal("0.05")}), 10.0)
    assert reserved(again, "h", cents=2, **of_pool) == [GRANTED]
    again.close()


def test_hours_of_pools_long_ago_go(place: Path | str, tmp_path: Path) -> None:
    """After two days, days and months of tenants stay."""
    now_s = time.time()
    book = open_store(place, tmp_path, unlimited)
    for name, at_s in (("now", now_s), ("old", now_s - 49 * 3600.0)):
        book.post(entry(name, at_s=at_s, home_pool="llama-8b"))
    book.close()
    again = open_store(place, tmp_path, unlimited)
    assert again.recovered()
    database = open_database(place, busy_timeout_ms=10_000)
    with database.connect() as connection:
        hours = [period for (period,) in connection.execute(select(spend.c.period)) if "T" in period]
    database.dispose()
    assert hours == [hour_of(now_s)]
    assert again.reader.spend(now_s - 49 * 3600.0)["acme"][0].spent_nanousd == CENT_NANOUSD
    again.close()


def test_tenants_do_not_share(book: LedgerStore) -> None:
    """One tenant's spent budget closes nobody else's."""
    assert reserved(book, "a", cents=10) == [GRANTED]
    assert reserved(book, "b", cents=1000, tenant="other") == [GRANTED]
    assert sums(book, "other") == (0, 1000)


def test_a_restart_remembers_what_was_spent_and_reserved(place: Path | str, tmp_path: Path) -> None:
    """Sums are in the database; own pools and other days do not count."""
    first = open_store(place, tmp_path)
    assert reserved(first, "held", cents=4) == [GRANTED]
    first.post(ENTRY)
    first.post(entry("own", target_kind=TargetKind.OWN))
    first.post(entry("old", at_s=NOON_S - 86_400))
    first.close()
    second = open_store(place, tmp_path)
    assert sums(second) == (1, 4)
    assert reserved(second, "a", "b", cents=5) == [GRANTED, DAY]
    second.close()


def test_a_caller_who_leaves_while_waiting_holds_nothing(book: LedgerStore) -> None:
    """A reservation that nobody hears of is given back."""

    async def leave() -> None:
        tasks = [asyncio.create_task(book.reserve(wish(f"r-{at}"))) for at in range(10)]
        await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0.2)

    asyncio.run(leave())
    assert book.flush()
    assert sums(book) == (0, 0)


@pytest.mark.parametrize(
    "bad",
    [
        entry("bad", requested_model="\ud800"),
        entry("bad", requested_model="a\0b"),
        entry("bad", usage=Usage(input_tokens=2**63, output_tokens=0)),
        entry("bad", cost_nanousd=2**70),
    ],
    ids=["lone surrogate", "NUL", "tokens over 64 bits", "money over 64 bits"],
)
@pytest.mark.parametrize("kind", [TargetKind.OWN, TargetKind.EXTERNAL])
def test_a_row_that_cannot_be_stored_stops_no_other(book: LedgerStore, bad: LedgerEntry, kind: TargetKind) -> None:
    """What no database holds is made holdable; the row and its neighbours are there."""
    book.post(ENTRY)
    book.post(
        entry(
            "bad", requested_model=bad.requested_model, usage=bad.usage, cost_nanousd=bad.cost_nanousd, target_kind=kind
        )
    )
    book.post(entry("r-2", target_kind=kind))
    assert book.flush()
    assert {found.request_id for found in book.reader.recent(10)} == {"r-1", "bad", "r-2"}
    assert book.lost_entries == 0


def test_a_wish_that_cannot_be_stored_is_made_storable(book: LedgerStore) -> None:
    """A model's name with NUL in it is a caller's to send: it must not stop the ledger."""
    assert reserved(book, "a", requested_model="a\0b") == [GRANTED]
    assert sums(book) == (0, 1)


def test_totals_and_entries(book: LedgerStore) -> None:
    """Sums are exact per tenant, model, target and day; a span cuts them; export order is by time."""
    book.post(ENTRY)
    own = {"target_kind": TargetKind.OWN, "target": "llama-8b", "model_key": "llama-8b-self", "spilled": False}
    book.post(entry("r-2", at_s=NOON_S + 1, simulated=False, **own))
    refused = {"target_kind": None, "target": None, "model_key": None, "spilled": False, "status": 404}
    book.post(entry("r-3", at_s=NOON_S + 86_400, tenant="b", cost_nanousd=0, **refused))
    assert book.flush()
    by_tenant = {total.group: total for total in book.reader.totals(by="tenant")}
    assert (by_tenant["acme"].requests, by_tenant["acme"].spilled, by_tenant["acme"].simulated) == (2, 1, 1)
    assert by_tenant["acme"].bought_nanousd == by_tenant["acme"].own_nanousd == CENT_NANOUSD
    assert by_tenant["acme"].input_tokens == 200
    assert (by_tenant["b"].failed, by_tenant["b"].bought_nanousd) == (1, 0)
    assert {total.group for total in book.reader.totals(by="model")} == {"<none>", "gpt-4o-mini", "llama-8b-self"}
    assert {total.group for total in book.reader.totals(by="target")} == {"<none>", "openai", "llama-8b"}
    assert [total.requests for total in book.reader.totals(by="day")] == [2, 1]
    span = {"since_s": NOON_S + 1, "until_s": NOON_S + 2}
    assert [total.requests for total in book.reader.totals(by="day", **span)] == [1]
    assert [found.request_id for found in book.reader.entries()] == ["r-1", "r-2", "r-3"]
    assert [found.request_id for found in book.reader.entries(**span)] == ["r-2"]


def test_rows_of_own_pools_never_touch_the_money(place: Path | str, tmp_path: Path) -> None:
    """Rows of own pools make no sums, and share commits."""
    book = open_store(place, tmp_path, unlimited)
    for at in range(1_000):
        book.post(entry(f"r-{at}", target_kind=TargetKind.OWN))
    assert book.flush()
    assert book.reader.spend(NOON_S) == {}
    book.close()
