"""Statements over any number of rows: each row once, in however many parts it is told to the database."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import func, select

from controller.adapters.database import open_database
from controller.adapters.database_tables import spend
from controller.adapters.ledger_money import _lock_sums
from controller.adapters.ledger_statements import ByKeys, Inserter


@pytest.mark.parametrize("count", [0, 1, 5, 7, 63, 64, 65, 100, 150])
def test_rows_are_inserted_once_and_found_by_their_keys(count: int, place: Path | str) -> None:
    """A second time changes nothing, and the older row of a key stays."""
    if isinstance(place, Path):
        place.parent.mkdir()
    engine = open_database(place)
    rows = [("acme", f"2026-{number}", number, 0) for number in range(count)]
    with engine.begin() as connection:
        inserter = Inserter(spend, engine.dialect)
        inserter.insert(connection, rows)
        inserter.insert(connection, [(tenant, period, 7_000, 1) for tenant, period, _, _ in rows])
        assert connection.scalar(select(func.count()).select_from(spend)) == count
        found = ByKeys(engine.dialect, _lock_sums, width=2).run(connection, [row[:2] for row in rows])
    engine.dispose()
    assert sorted(tuple(row) for row in found) == sorted(rows)
