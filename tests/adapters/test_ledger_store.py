"""The ledger: nothing lost, nothing twice, budgets never overshot."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from controller.adapters.ledger_reader import open_reader
from controller.adapters.ledger_store import LedgerStore
from controller.config.settings import BudgetSettings
from controller.core.ledger import AttemptRecord, LedgerEntry
from controller.core.money import Usage
from controller.core.requests import TargetKind

NOON_S = 1_790_000_000.0 // 86_400 * 86_400 + 43_200
CENT_NANOUSD = 10_000_000

ENTRY = LedgerEntry(
    request_id="r-1",
    at_s=NOON_S,
    tenant="acme",
    key_id="k1",
    operation="chat",
    requested_model="auto",
    task="code",
    complexity="medium",
    status=200,
    target_kind=TargetKind.EXTERNAL,
    target="openai",
    model_key="gpt-4o-mini",
    model_id="gpt-4o-mini-2024-07-18",
    replica_id=None,
    usage=Usage(input_tokens=100, output_tokens=20, cached_input_tokens=60, estimated=False),
    cost_nanousd=CENT_NANOUSD,
    spilled=True,
    reason="spilling",
    chain=("llama-8b", "openai"),
    attempts=(
        AttemptRecord(
            target="llama-8b",
            kind=TargetKind.OWN,
            model_key="llama-8b-self",
            replica_id="llama-8b-1",
            outcome="no connection",
            status=None,
            started_after_s=0.001,
            took_s=0.002,
        ),
        AttemptRecord(
            target="openai",
            kind=TargetKind.EXTERNAL,
            model_key="gpt-4o-mini",
            replica_id=None,
            outcome="answered",
            status=200,
            started_after_s=0.004,
            took_s=0.4,
        ),
    ),
    predicted_ttft_s=0.25,
    ttft_s=0.31,
    e2e_s=0.41,
    error=None,
    simulated=True,
    stream=True,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database that does not exist yet, in a folder with a space."""
    return tmp_path / "state dir" / "spillway.db"


@pytest.fixture
def book(path: Path) -> Iterator[LedgerStore]:
    """A ledger where acme may buy for ten cents a day, nobody else has a limit."""
    ledger = LedgerStore(path, BudgetSettings(usd_per_day={"acme": Decimal("0.10")}), now_s=NOON_S)
    yield ledger
    ledger.close()


def test_an_entry_comes_back_as_it_was_posted(book: LedgerStore) -> None:
    """Every field survives the round trip, attempts and chain included."""
    book.post(ENTRY)
    assert book.flush()
    assert book.reader.find("r-1") == ENTRY
    assert book.reader.find("r-2") is None


def test_close_writes_everything_posted_before(path: Path) -> None:
    """Rows still queued when close() is called are on the disk when it returns."""
    book = LedgerStore(path, BudgetSettings(), now_s=NOON_S, group_commit_s=0.2)
    for at in range(5_000):
        book.post(replace(ENTRY, request_id=f"r-{at}"))
    book.close()
    reader = open_reader(path)
    assert sum(total.requests for total in reader.totals(by="tenant")) == 5_000
    reader.close()


def test_a_second_post_of_an_id_changes_nothing(book: LedgerStore) -> None:
    """Stored once, paid once, within a batch and across batches."""
    book.post(ENTRY)
    book.post(replace(ENTRY, cost_nanousd=5 * CENT_NANOUSD))
    assert book.flush()
    book.post(replace(ENTRY, status=500))
    assert book.flush()
    assert book.reader.find("r-1") == ENTRY
    assert book.spent_nanousd("acme") == CENT_NANOUSD


def test_a_thousand_at_once_on_a_budget_for_ten(book: LedgerStore) -> None:
    """Exactly ten of 1,000 concurrent reservations are granted, and spent + reserved stays within the limit."""
    gate = threading.Barrier(20)

    def fifty(worker: int) -> list[str]:
        gate.wait(timeout=10)
        ids = [f"r-{worker}-{at}" for at in range(50)]
        return [name for name in ids if book.reserve(name, "acme", CENT_NANOUSD, NOON_S)]

    with ThreadPoolExecutor(max_workers=20) as pool:
        granted = [name for names in pool.map(fifty, range(20)) for name in names]
    assert len(granted) == 10
    assert book.reserved_nanousd("acme") == 10 * CENT_NANOUSD
    for name in granted:
        book.post(replace(ENTRY, request_id=name))
    assert book.reserved_nanousd("acme") == 0
    assert book.spent_nanousd("acme") == 10 * CENT_NANOUSD
    assert not book.reserve("one more", "acme", 1, NOON_S)


def test_what_was_set_aside_comes_back(book: LedgerStore) -> None:
    """void frees it, a cheaper settlement frees the rest, an own pool's entry costs no budget."""
    assert book.reserve("a", "acme", 10 * CENT_NANOUSD, NOON_S)
    assert not book.reserve("b", "acme", CENT_NANOUSD, NOON_S)
    book.void("a")
    book.void("never heard of")
    assert book.reserve("b", "acme", 10 * CENT_NANOUSD, NOON_S)
    book.post(replace(ENTRY, request_id="b"))
    assert book.reserve("c", "acme", 9 * CENT_NANOUSD, NOON_S)
    book.post(replace(ENTRY, request_id="c", target_kind=TargetKind.OWN))
    assert book.reserved_nanousd("acme") == 0
    assert book.spent_nanousd("acme") == CENT_NANOUSD


def test_a_second_reservation_of_an_id_replaces_the_first(book: LedgerStore) -> None:
    """A request that falls back from one provider to the next holds one amount, not two."""
    assert book.reserve("a", "acme", 6 * CENT_NANOUSD, NOON_S)
    assert book.reserve("a", "acme", 7 * CENT_NANOUSD, NOON_S)
    assert book.reserved_nanousd("acme") == 7 * CENT_NANOUSD


def test_the_default_budget_is_for_each_other_tenant(path: Path) -> None:
    """`*` limits every tenant without a line of its own, each by itself."""
    book = LedgerStore(path, BudgetSettings(usd_per_day={"*": Decimal("0.01"), "big": Decimal(1)}), now_s=NOON_S)
    assert book.reserve("a", "one", CENT_NANOUSD, NOON_S)
    assert not book.reserve("b", "one", 1, NOON_S)
    assert book.reserve("c", "two", CENT_NANOUSD, NOON_S)
    assert book.reserve("d", "big", 100 * CENT_NANOUSD, NOON_S)
    book.close()


def test_the_budget_starts_again_at_midnight_utc(book: LedgerStore) -> None:
    """Yesterday's spend does not count today, and a request accepted yesterday is not charged to today."""
    assert book.reserve("a", "acme", 10 * CENT_NANOUSD, NOON_S)
    book.post(replace(ENTRY, request_id="a", cost_nanousd=10 * CENT_NANOUSD))
    assert book.reserve("b", "acme", CENT_NANOUSD, NOON_S + 43_200)
    assert book.spent_nanousd("acme") == 0
    book.post(replace(ENTRY, request_id="late"))
    assert book.spent_nanousd("acme") == 0


def test_a_restart_remembers_what_was_spent_today(path: Path) -> None:
    """Spend is read back at start; own pools and other days do not count."""
    budgets = BudgetSettings(usd_per_day={"acme": Decimal("0.02")})
    first = LedgerStore(path, budgets, now_s=NOON_S)
    first.post(ENTRY)
    first.post(replace(ENTRY, request_id="own", target_kind=TargetKind.OWN))
    first.post(replace(ENTRY, request_id="old", at_s=NOON_S - 86_400))
    first.close()
    second = LedgerStore(path, budgets, now_s=NOON_S)
    assert second.spent_nanousd("acme") == CENT_NANOUSD
    assert second.reserve("a", "acme", CENT_NANOUSD, NOON_S)
    assert not second.reserve("b", "acme", 1, NOON_S)
    second.close()


def test_a_locked_database_delays_rows_but_loses_none(path: Path, book: LedgerStore) -> None:
    """While another process holds the lock posts return at once; the rows follow when it lets go."""
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    started_s = time.monotonic()
    for at in range(100):
        book.post(replace(ENTRY, request_id=f"r-{at}", cost_nanousd=0))
    assert time.monotonic() - started_s < 0.05
    assert not book.flush(timeout_s=0.2)
    other.execute("COMMIT")
    other.close()
    assert book.flush()
    assert len(book.reader.recent(1_000)) == 100


def test_a_full_queue_refuses_purchases_and_counts_what_it_drops(path: Path) -> None:
    """The queue is bounded: behind it nothing more is bought, and dropped rows are counted."""
    book = LedgerStore(path, BudgetSettings(), now_s=NOON_S, queue_entries=5, group_commit_s=0.3)
    for at in range(8):
        book.post(replace(ENTRY, request_id=f"r-{at}"))
    assert not book.reserve("a", "acme", 1, NOON_S)
    assert book.lost_entries == 3
    assert book.backlog_entries == 5
    assert book.flush()
    assert book.reserve("a", "acme", 1, NOON_S)
    book.close()


@pytest.mark.parametrize(
    "bad",
    [
        replace(ENTRY, request_id="bad", requested_model="\ud800"),
        replace(ENTRY, request_id="bad", usage=Usage(input_tokens=2**63, output_tokens=0)),
    ],
    ids=["lone surrogate", "over 64 bits"],
)
def test_a_row_that_cannot_be_stored_stops_no_other(book: LedgerStore, bad: LedgerEntry) -> None:
    """One value SQLite cannot hold costs that row alone."""
    book.post(ENTRY)
    book.post(bad)
    book.post(replace(ENTRY, request_id="r-2"))
    assert book.flush()
    assert {entry.request_id for entry in book.reader.recent(10)} == {"r-1", "r-2"}
    assert book.lost_entries == 1


def test_totals_and_entries(book: LedgerStore) -> None:
    """Sums are exact per tenant, model, target and day; a span cuts them; export order is by time."""
    book.post(ENTRY)
    own = replace(ENTRY, target_kind=TargetKind.OWN, target="llama-8b", model_key="llama-8b-self", spilled=False)
    book.post(replace(own, request_id="r-2", at_s=NOON_S + 1, simulated=False))
    refused = replace(ENTRY, target_kind=None, target=None, model_key=None, spilled=False, status=404, cost_nanousd=0)
    book.post(replace(refused, request_id="r-3", at_s=NOON_S + 86_400, tenant="b"))
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
    assert [entry.request_id for entry in book.reader.entries()] == ["r-1", "r-2", "r-3"]
    assert [entry.request_id for entry in book.reader.entries(**span)] == ["r-2"]


def test_a_killed_process_loses_at_most_the_last_group(path: Path) -> None:
    """kill -9 while posting: what was flushed is there, every row is whole."""
    code = textwrap.dedent(
        """
        import sys
        from dataclasses import replace
        from pathlib import Path
        from controller.adapters.ledger_store import LedgerStore
        from controller.config.settings import BudgetSettings
        from tests.adapters.test_ledger_store import ENTRY
        book = LedgerStore(Path(sys.argv[1]), BudgetSettings())
        for at in range(10_000_000):
            book.post(replace(ENTRY, request_id=f"r-{at}"))
            if at % 100 == 99:
                book.flush()
                print(at, flush=True)
        """
    )
    child = [sys.executable, "-c", code, str(path)]
    repository = Path(__file__).parents[2]
    with subprocess.Popen(child, stdout=subprocess.PIPE, text=True, cwd=repository) as process:
        assert process.stdout is not None
        flushed = [int(process.stdout.readline()) for _ in range(5)][-1]
        os.kill(process.pid, signal.SIGKILL)
    reader = open_reader(path)
    assert {f"r-{at}" for at in range(flushed + 1)} <= {entry.request_id for entry in reader.entries()}
    reader.close()
