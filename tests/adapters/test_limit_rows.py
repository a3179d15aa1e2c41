"""Requests and tokens per minute in the database: SQLite and PostgreSQL, many gateways, and nobody there."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path

import pytest
from sqlalchemy import select, text

from controller.adapters.database import open_database
from controller.adapters.database_tables import rate_minute
from controller.adapters.limit_rows import LimitRows
from controller.core.rate_limits import Amounts, LimitMove, LimitRow, LimitsUnavailable
from tests.adapters.postgres_server import running_postgres


def move(requests: int = 0, tokens: int = 0, *, tenant: str = "acme", minute: int = 29_833_333) -> LimitMove:
    """A wish of a tenant with 10 requests and 1,000 tokens per minute."""
    wish = Amounts(requests=requests, tokens=tokens)
    return LimitMove(tenant=tenant, minute=minute, wish=wish, requests_limit=10, tokens_limit=1000)


@pytest.fixture
def rows(place: Path | str) -> Iterator[LimitRows]:
    """Rows in a new database."""
    opened = LimitRows(place)
    yield opened
    opened.close()


def got(found: LimitRow) -> tuple[int, int]:
    """Requests and tokens that a gateway got."""
    return found.got.requests, found.got.tokens


def test_rows_give_until_the_limit_and_take_back(rows: LimitRows) -> None:
    """What is left, for each tenant and minute apart."""
    story = [
        (move(6, 400), (6, 400)),
        (move(6, 400), (4, 400)),
        (move(1, 400), (0, 200)),
        (move(-2, -50), (-2, -50)),
        (move(5, 60), (2, 50)),
        (move(5, tenant="zoo"), (5, 0)),
        (move(5, minute=29_833_334), (5, 0)),
        (move(), (0, 0)),
    ]
    assert [got(rows.move_now([wish])[0]) for wish, _ in story] == [given for _, given in story]
    assert rows.move_now([move()])[0].granted == Amounts(requests=10, tokens=1000)


def test_moves_are_answered_in_their_order(rows: LimitRows) -> None:
    """Whatever order they are made in."""
    moves = [move(number, tenant=tenant) for number, tenant in enumerate(["c", "a", "b"], 1)]
    assert [found.got.requests for found in rows.move_now(moves)] == [1, 2, 3]
    assert rows.move_now([]) == []


def test_an_event_loop_waits_without_standing_still(rows: LimitRows) -> None:
    """The same from a loop."""

    async def main() -> list[LimitRow]:
        return list(chain.from_iterable(await asyncio.gather(rows.move([move(6)]), rows.move([move(6)]))))

    assert sorted(found.got.requests for found in asyncio.run(main())) == [4, 6]


def test_eight_gateways_get_the_limit_together(place: Path | str) -> None:
    """80 transactions at once on two tenants, in opposite orders: exactly the limit, and nobody waits in a circle."""
    gateways = [LimitRows(place) for _ in range(8)]

    def one(number: int) -> list[int]:
        tenants = ["acme", "zoo"] if number % 2 else ["zoo", "acme"]
        moves = [move(1, 7, tenant=tenant) for tenant in tenants]
        return [found.got.requests for _ in range(10) for found in gateways[number].move_now(moves)]

    with ThreadPoolExecutor(max_workers=8) as threads:
        given = list(threads.map(one, range(8)))
    for gateway in gateways:
        gateway.close()
    assert sum(map(sum, given)) == 20
    engine = open_database(place)
    with engine.connect() as connection:
        found = connection.execute(select(rate_minute).order_by(rate_minute.c.tenant)).all()
    engine.dispose()
    assert [(row.tenant, row.requests, row.tokens) for row in found] == [("acme", 10, 560), ("zoo", 10, 560)]


def test_rows_of_an_hour_ago_go(rows: LimitRows, place: Path | str) -> None:
    """With the first move of a new minute."""
    rows.move_now([move(1, minute=1000), move(1, minute=1030)])
    rows.move_now([move(1, minute=1061)])
    engine = open_database(place)
    with engine.connect() as connection:
        minutes = connection.execute(select(rate_minute.c.minute).order_by(rate_minute.c.minute)).scalars().all()
    engine.dispose()
    assert minutes == [1030, 1061]


def test_a_server_that_is_gone_is_told_and_comes_back() -> None:
    """LimitsUnavailable while it is away, then the row as it was."""
    with running_postgres() as server:
        rows = LimitRows(server.database())
        rows.move_now([move(6)])
        server.stop("fast")
        for _ in range(2):
            with pytest.raises(LimitsUnavailable):
                rows.move_now([move(6)])
        server.start()
        assert got(rows.move_now([move(6)])[0]) == (4, 0)
        rows.close()


def test_a_locked_file_is_told(tmp_path: Path) -> None:
    """After a second of waiting."""
    path = tmp_path / "spillway.db"
    rows, engine = LimitRows(path), open_database(path)
    rows.move_now([move(1)])
    with engine.connect() as connection:
        connection.execution_options(spillway_begin="BEGIN IMMEDIATE").execute(text("SELECT 1"))
        with pytest.raises(LimitsUnavailable):
            rows.move_now([move(1)])
    engine.dispose()
    rows.close()
