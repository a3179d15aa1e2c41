"""A database that is locked, full up or restarted: nothing is bought meanwhile, and no row is lost."""

from __future__ import annotations

import asyncio
import re
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from controller.core.ledger import Backlog, Verdict
from controller.core.requests import TargetKind
from controller.telemetry.gateway_metrics import registry_of, render
from controller.telemetry.ledger_metrics import LedgerMetrics
from tests.adapters.ledger_values import entry, open_store, sums, unlimited, wish
from tests.adapters.postgres_server import running_postgres


def _eventually(fact: Callable[[], bool], within_s: float) -> None:
    end_s = time.monotonic() + within_s
    while not fact():
        assert time.monotonic() < end_s, "deadline passed"
        time.sleep(0.02)


def _locked(path: Path) -> sqlite3.Connection:
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    return other


def test_a_locked_database_buys_nothing_and_loses_nothing(tmp_path: Path) -> None:
    """Reservations are refused, posts return at once; when the lock goes the rows follow, and money is bought again."""
    store = open_store(tmp_path / "spillway.db", tmp_path, unlimited, reserve_wait_s=0.05)
    assert store.recovered()
    other = _locked(tmp_path / "spillway.db")
    assert asyncio.run(store.reserve(wish("a"))) is Verdict.UNAVAILABLE
    for at in range(100):
        store.post(entry(f"r-{at}", target_kind=TargetKind.OWN if at % 2 else TargetKind.EXTERNAL))
    assert not store.flush(timeout_s=0.2)
    other.execute("COMMIT")
    other.close()
    assert store.flush()
    assert len(store.reader.recent(1_000)) == 100
    _eventually(lambda: asyncio.run(store.reserve(wish("b"))) is Verdict.GRANTED, within_s=10)
    store.void("b")
    assert store.flush()
    assert sums(store) == (50, 0)
    store.close()


def test_a_full_queue_refuses_purchases_and_goes_to_the_journal(tmp_path: Path) -> None:
    """What does not fit is written down beside the database, and comes in once that answers: no row is lost."""
    store = open_store(tmp_path / "spillway.db", tmp_path, unlimited, queue_entries=5)
    assert store.recovered()
    other = _locked(tmp_path / "spillway.db")
    for at in range(20):
        store.post(entry(f"r-{at}", target_kind=TargetKind.OWN if at % 2 else TargetKind.EXTERNAL))
    assert store.backlog().rows == 5
    assert len(list((tmp_path / "journal").iterdir())) == 1
    assert asyncio.run(store.reserve(wish("a"))) is Verdict.UNAVAILABLE
    other.execute("COMMIT")
    other.close()
    _eventually(lambda: len(store.reader.recent(100)) == 20, within_s=20)
    assert (sums(store), store.lost_entries) == ((10, 0), 0)
    _eventually(lambda: not list((tmp_path / "journal").iterdir()), within_s=5)
    store.close()


def test_what_waits_for_its_commit_is_counted_and_dated(tmp_path: Path) -> None:
    """From when the oldest row's request ended, reservations and voids not counted for that; nothing once it is in."""
    store = open_store(tmp_path / "spillway.db", tmp_path, unlimited)
    assert store.recovered()
    assert store.backlog() == Backlog()
    other = _locked(tmp_path / "spillway.db")
    now_s = time.time()
    store.post(entry("own", target_kind=TargetKind.OWN, at_s=now_s - 60.0, e2e_s=20.0))
    store.post(entry("own-later", target_kind=TargetKind.OWN, at_s=now_s - 90.0, e2e_s=80.0))
    found = store.backlog()
    assert found.rows == 2
    assert 40.0 <= found.oldest_s < 60.0
    store.post(entry("bought", target_kind=TargetKind.EXTERNAL, at_s=now_s - 100.0, e2e_s=0.5))
    found = store.backlog()
    assert found.rows == 3
    assert 99.0 < found.oldest_s < 120.0
    text = render(registry_of(LedgerMetrics(store.backlog))).decode()
    assert "spillway_ledger_backlog_rows 3.0" in text
    assert re.search(r"^spillway_ledger_backlog_oldest_seconds (99|1[01]\d)\.", text, re.MULTILINE)
    other.execute("COMMIT")
    other.close()
    assert store.flush()
    assert store.backlog() == Backlog()
    store.close()


def test_a_stop_while_the_database_is_stuck_leaves_a_journal_for_the_next_start(tmp_path: Path) -> None:
    """Rows and voids are replayed once, whoever starts next; a torn last line stops nothing."""
    path = tmp_path / "spillway.db"
    first = open_store(path, tmp_path, unlimited)
    assert asyncio.run(first.reserve(wish("gone"))) is Verdict.GRANTED
    other = _locked(path)
    first.void("gone")
    for at in range(20):
        first.post(entry(f"r-{at}", target_kind=TargetKind.OWN if at % 2 else TargetKind.EXTERNAL))
    first.close()
    (journal,) = (tmp_path / "journal").iterdir()
    journal.write_bytes(journal.read_bytes() + b'{"post": {"request_')
    other.execute("COMMIT")
    other.close()
    second = open_store(path, tmp_path, unlimited)
    assert second.recovered()
    assert len(second.reader.recent(100)) == 20
    assert sums(second) == (10, 0)
    assert list((tmp_path / "journal").iterdir()) == []
    second.close()


@pytest.mark.timeout(120)
def test_a_restart_of_postgresql_loses_nothing(tmp_path: Path) -> None:
    """Nothing is bought while it is gone, rows wait, and seconds after it is back both work again."""
    with running_postgres() as server:
        store = open_store(server.database(), tmp_path, unlimited)
        assert asyncio.run(store.reserve(wish("a"))) is Verdict.GRANTED
        server.stop()
        store.post(entry("a"))
        _eventually(lambda: asyncio.run(store.reserve(wish("b"))) is Verdict.UNAVAILABLE, within_s=10)
        for at in range(20):
            store.post(entry(f"r-{at}", target_kind=TargetKind.OWN))
        server.start()
        _eventually(lambda: asyncio.run(store.reserve(wish("c"))) is Verdict.GRANTED, within_s=20)
        assert store.flush()
        assert len(store.reader.recent(100)) == 21
        assert sums(store) == (1, 1)
        store.close()
