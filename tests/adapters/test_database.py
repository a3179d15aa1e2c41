"""Opening the database: new, old, shared and too new ones, in SQLite and in PostgreSQL."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import insert, inspect, select

from controller.adapters import migrations
from controller.adapters.database import SCHEMA_VERSION, DatabaseUnavailable, SchemaTooNew, open_database, writing
from controller.adapters.database_tables import api_key, ledger, metadata, spend

VERSION_1 = Path(__file__).with_name("schema_1.sql")
NOON_S = 1_790_000_000.0 // 86_400 * 86_400 + 43_200  # 2026-09-21


def test_the_steps_lead_to_the_tables_of_today(place: Path | str) -> None:
    """Every table, column, key and index that the code knows is there after the migrations, and nothing else."""
    engine = open_database(place)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()


def test_the_newest_step_is_the_version_of_the_code() -> None:
    """Opening is quick because alembic is asked only when the number differs: so it must be right."""
    steps = ScriptDirectory(str(Path(migrations.__file__).parent))
    assert steps.get_current_head() == f"{SCHEMA_VERSION:04d}"


def test_eight_at_once_open_a_new_database(place: Path | str) -> None:
    """All of them find the tables; the steps ran once."""
    with ThreadPoolExecutor(max_workers=8) as pool:
        engines = list(pool.map(open_database, [place] * 8))
    for engine in engines:
        assert set(inspect(engine).get_table_names()) >= set(metadata.tables)
        engine.dispose()


def test_a_database_of_version_1_is_brought_up_without_loss(tmp_path: Path) -> None:
    """Keys and rows stay; what was bought counts in its day and month; own pools and refusals cost nothing."""
    path = tmp_path / "spillway.db"
    old = sqlite3.connect(path)
    old.executescript(VERSION_1.read_text(encoding="utf-8"))
    old.close()
    engine = open_database(path)
    with engine.connect() as connection:
        assert [row.public_id for row in connection.execute(select(api_key))] == ["aaaaaaaaaaaa"]
        rows = connection.execute(select(ledger).order_by(ledger.c.at_s)).all()
        assert [row.request_id for row in rows] == ["r-1", "r-2", "r-3", "r-4"]
        assert all(row.gpu_s is None and row.outcome_unknown is False for row in rows)
        spent = {(row.tenant, row.period): row.spent_nanousd for row in connection.execute(select(spend))}
    assert spent == {
        ("acme", "2026-09-20"): 5, ("acme", "2026-09-21"): 10, ("acme", "2026-09"): 15,
    }  # fmt: skip
    engine.dispose()
    again = open_database(path)
    assert len(inspect(again).get_table_names()) == len(metadata.tables) + 1
    again.dispose()


def test_a_newer_schema_is_refused_untouched(place: Path | str) -> None:
    """A database written by a later version is not opened, and the message says what to do."""
    engine = open_database(place)
    with engine.begin() as connection:
        if isinstance(place, Path):
            connection.exec_driver_sql(f"PRAGMA user_version={SCHEMA_VERSION + 1}")
        else:
            connection.exec_driver_sql(f"UPDATE alembic_version SET version_num='{SCHEMA_VERSION + 1:04d}'")
    engine.dispose()
    with pytest.raises(SchemaTooNew, match="upgrade spillway"):
        open_database(place)


def test_an_older_program_refuses_a_database_of_today(tmp_path: Path) -> None:
    """Version 1 looked at the number in SQLite's header: it must be higher than 1."""
    engine = open_database(tmp_path / "spillway.db")
    with engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA user_version").scalar_one() == SCHEMA_VERSION > 1
    engine.dispose()


def test_a_writer_holds_the_lock_from_its_first_moment(tmp_path: Path) -> None:
    """A transaction of `writing` that has only read is never refused when it writes."""
    engine = open_database(tmp_path / "spillway.db", busy_timeout_ms=0)
    row = {"tenant": "acme", "period": "2026-11", "spent_nanousd": 1, "reserved_nanousd": 0}
    with writing(engine).begin() as first:
        first.execute(select(spend))
        other = sqlite3.connect(tmp_path / "spillway.db", timeout=0)
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("DELETE FROM spend")
        other.close()
        first.execute(insert(spend), [row])
    engine.dispose()


def test_the_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    """The file has mode 0600 and runs in WAL, synced at each commit."""
    engine = open_database(tmp_path / "spillway.db")
    assert (tmp_path / "spillway.db").stat().st_mode & 0o777 == 0o600
    with engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar_one() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar_one() == 2
    engine.dispose()


def test_a_server_that_is_not_there_is_named(tmp_path: Path) -> None:
    """One line with the place and the reason, and without the password."""
    with pytest.raises(DatabaseUnavailable) as told:
        open_database(f"postgresql://user:hidden@/books?host={tmp_path}", patience_s=0.0)
    (line,) = str(told.value).splitlines()
    assert line.startswith("the database postgresql+psycopg://user:***@/books?host=")
    assert "does not answer: " in line
    assert "hidden" not in line
