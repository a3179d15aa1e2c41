"""The page of the books: read once for all who ask, seldom, and never waited for longer than a person would."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Mapping
from decimal import Decimal

from controller.adapters.database import DatabaseUnavailable
from controller.gateway.books_page import KEPT_S, BooksPage


class Books:
    """A ledger that a test answers for."""

    def __init__(self, patience_s: float = 10.0) -> None:
        self.reads = 0
        self.now_s = 0.0
        self.may = threading.Event()
        self.may.set()
        self.error: Exception | None = None
        self.page = BooksPage(self.read, lambda: self.now_s, patience_s=patience_s)

    def read(self) -> Mapping[str, object]:
        self.reads += 1
        self.may.wait(10.0)
        if self.error is not None:
            raise self.error
        return {"spend_today": {"requests": self.reads, "bought_usd": Decimal("0.000000001")}, "tenants": []}

    async def requests(self) -> int | None:
        body = await self.page.body()
        return None if body is None else json.loads(body)["spend_today"]["requests"]


async def test_many_who_ask_are_one_reading() -> None:
    """All at once, and again within some seconds: the database is asked once; later anew."""
    books = Books()
    assert await asyncio.gather(*(books.requests() for _ in range(20))) == [1] * 20
    books.now_s += KEPT_S - 0.1
    assert await books.requests() == 1
    books.now_s += 0.2
    assert await books.requests() == 2


async def test_amounts_stay_exact() -> None:
    """A billionth of a dollar is text."""
    body = await Books().page.body()
    assert body is not None
    assert json.loads(body)["spend_today"]["bought_usd"] == "1E-9"


async def test_a_database_that_is_away_is_said_and_asked_again() -> None:
    """None for who asked; the next one gets what there is then."""
    books = Books()
    books.error = DatabaseUnavailable("away")
    assert await books.requests() is None
    books.error = None
    assert await books.requests() == 2


async def test_who_asks_does_not_wait_for_a_slow_one() -> None:
    """None after a while; the reading goes on, no second one begins, and its end is the next one's answer."""
    books = Books(patience_s=0.05)
    books.may.clear()
    try:
        assert await books.requests() is None
        assert await books.requests() is None
    finally:
        books.may.set()
    while books.page._body is None:
        await asyncio.sleep(0.01)
    assert (await books.requests(), books.reads) == (1, 1)
