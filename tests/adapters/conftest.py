"""A real PostgreSQL for the tests of the database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.adapters.postgres_server import PostgresServer, running_postgres


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A server for this run of tests."""
    with running_postgres() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Path | str:
    """A database that does not exist yet: a SQLite file in a folder with a space, then an empty one of PostgreSQL."""
    if request.param == "sqlite":
        return tmp_path / "state dir" / "spillway.db"
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.database()
