"""Sums and exports of the ledger, alike on SQLite and PostgreSQL."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import arro3.io
import pytest
from sqlalchemy import Engine, insert

from controller.adapters import ledger_export
from controller.adapters.database import open_database
from controller.adapters.database_tables import ledger
from controller.adapters.ledger_export import NAMES, write_csv, write_whole
from controller.adapters.ledger_parquet import write_parquet
from controller.adapters.ledger_reader import LedgerReader
from controller.adapters.ledger_sums import BYS, By
from controller.core.usage_check import UsageLine
from tests.adapters.ledger_row import AT_S, ROW

DAY_S = 86_400.0
OWN = {"target_kind": "own", "target": "llama-8b", "model_key": "llama-8b-self", "spilled": False, "gpu_s": 1.5}
REFUSED = {"target_kind": None, "target": None, "model_key": None, "model_id": None, "status": 404, "cost_nanousd": 0,
           "input_tokens": 0, "cached_input_tokens": 0, "output_tokens": 0, "spilled": False}  # fmt: skip
ROWS = (
    ROW,
    {**ROW, **OWN, "request_id": "r-2", "at_s": AT_S + 10 * DAY_S, "task": "critique", "attempts": '[{"a": 1}, {}]'},
    {
        **ROW,
        "request_id": "r-3",
        "tenant": "beta",
        "key_id": "k2",
        "home_pool": None,
        "at_s": AT_S + 0.5,
        "usage_estimated": True,
    },
    {**ROW, **REFUSED, "request_id": "r-4", "error": "line\nbreak"},
    {**ROW, "request_id": "r-5", "simulated": True},
)


@pytest.fixture
def engine(place: Path | str) -> Iterator[Engine]:
    """A database with five requests: three bought, one of them simulated; one own, ten days later; one refused."""
    engine = open_database(place)
    with engine.begin() as connection:
        connection.execute(insert(ledger), ROWS)
    yield engine
    engine.dispose()


@pytest.mark.parametrize(
    ("by", "groups"),
    [
        ((), [((), 5)]),
        (("tenant",), [(("acme",), 4), (("beta",), 1)]),
        (("day",), [(("2026-09-21",), 4), (("2026-10-01",), 1)]),
        (("month", "tenant"), [(("2026-09", "acme"), 3), (("2026-09", "beta"), 1), (("2026-10", "acme"), 1)]),
        (
            ("target", "key"),
            [(("<none>", "k1"), 1), (("llama-8b", "k1"), 1), (("openai", "k1"), 2), (("openai", "k2"), 1)],
        ),
        (("pool", "target"), [
            (("<none>", "openai"), 1), (("llama-8b", "<none>"), 1), (("llama-8b", "llama-8b"), 1),
            (("llama-8b", "openai"), 2),
        ]),
        (("task",), [(("<none>",), 4), (("critique",), 1)]),
    ],
)  # fmt: skip
def test_any_dimensions_in_any_order(engine: Engine, by: tuple[By, ...], groups: list[tuple[object, int]]) -> None:
    """Each combination once, with its requests."""
    found = LedgerReader(engine).totals(by=by)
    assert sorted((total.groups, total.requests) for total in found) == sorted(groups)


def test_every_dimension_adds_up_to_the_same_whole(engine: Engine) -> None:
    """However it is cut, tokens, money and GPU seconds are those of all; types are plain numbers on both databases."""
    reader = LedgerReader(engine)
    (whole,) = reader.totals()
    assert (whole.input_tokens, whole.output_tokens, whole.gpu_s) == (400, 80, 1.5)
    assert (whole.bought_nanousd, whole.own_nanousd, whole.failed, whole.simulated) == (3_702, 1_234, 1, 1)
    for by in BYS:
        parts = reader.totals(by=(by,))
        for name in ("requests", "spilled", "input_tokens", "cached_input_tokens", "bought_nanousd", "own_nanousd"):
            assert sum(getattr(part, name) for part in parts) == getattr(whole, name)
        assert all(type(part.bought_nanousd) is int and type(part.input_tokens) is int for part in parts)


def test_a_span_ends_before_its_end(engine: Engine) -> None:
    """The beginning counts, the end does not; an empty span is one line of zeros, not none."""
    reader = LedgerReader(engine)
    assert reader.totals(since_s=AT_S, until_s=AT_S + 0.5)[0].requests == 3
    assert reader.totals(since_s=AT_S + 99 * DAY_S)[0].input_tokens == 0


def test_what_was_bought_leaves_out_own_and_simulated(engine: Engine) -> None:
    """By day and model id, with the guesses counted; what a simulated provider answered was not bought."""
    line = UsageLine(day="2026-09-21", model="gpt-4o-mini", requests=2, input_tokens=200, cached_input_tokens=120,
                     output_tokens=40, cost_nanousd=2_468, estimated=1)  # fmt: skip
    assert LedgerReader(engine).bought(["openai"], since_s=0, until_s=AT_S * 2) == (line,)
    assert LedgerReader(engine).bought(["groq"], since_s=0, until_s=AT_S * 2) == ()


def test_csv_and_parquet_hold_the_same(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every row in both, in chunks: texts with commas, quotes and line breaks, exact money, times to the ms."""
    monkeypatch.setattr(ledger_export, "CHUNK_ROWS", 2)
    reader, told, text = LedgerReader(engine), list[int](), io.StringIO()
    assert write_csv(text, reader.export_rows().chunks(), told.append) == reader.export_rows().count() == 5
    assert told == [2, 4, 5]
    assert write_parquet(tmp_path / "x.parquet", reader.export_rows().chunks()) == 5
    rows = list(csv.DictReader(io.StringIO(text.getvalue())))
    table = arro3.io.read_parquet(tmp_path / "x.parquet").read_all()
    columns = {name: [cell.as_py() for cell in table[name]] for name in NAMES}
    assert [row["request_id"] for row in rows] == columns["request_id"] == ["r-1", "r-4", "r-5", "r-3", "r-2"]
    assert columns["cost_usd"][0] == Decimal("0.000001234")
    assert rows[0]["cost_usd"] == "0.000001234"
    assert [row["reason"] for row in rows] == columns["reason"]
    assert columns["error"][1] == rows[1]["error"] == "line\nbreak"
    assert columns["at"][3].isoformat(timespec="milliseconds") == rows[3]["at"] == "2026-09-21T14:13:20.500+00:00"
    assert columns["attempts"][-1] == int(rows[-1]["attempts"]) == 2
    assert columns["simulated"] == [False, False, True, False, False]
    assert columns["home_pool"] == ["llama-8b", "llama-8b", "llama-8b", None, "llama-8b"]
    assert columns["gpu_s"][-1] == float(rows[-1]["gpu_s"]) == 1.5


def test_an_empty_span_is_a_file_with_a_head(engine: Engine, tmp_path: Path) -> None:
    """No rows are no failure: the columns are there, with their types."""
    rows = LedgerReader(engine).export_rows(since_s=AT_S, until_s=AT_S)
    assert write_parquet(tmp_path / "x.parquet", rows.chunks()) == 0
    assert arro3.io.read_parquet(tmp_path / "x.parquet").read_all().num_rows == 0


def test_a_file_is_whole_or_as_it_was(tmp_path: Path) -> None:
    """A write that breaks leaves the older file, and no draft."""
    file = tmp_path / "week.csv"
    file.write_text("older")

    def break_off(draft: Path) -> int:
        draft.write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_whole(file, break_off)
    assert file.read_text() == "older"
    assert list(tmp_path.iterdir()) == [file]
