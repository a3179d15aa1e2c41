"""`spillway ledger verify`: equal books are exit 0, drift is 1 with the figures, and no check is never 0."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import typer
from sqlalchemy import insert
from typer.testing import CliRunner, Result

from controller.adapters.database import open_database
from controller.adapters.database_tables import ledger as ledger_table
from controller.cli import ledger
from controller.cli.errors import EXIT_USAGE, CliError
from tests.adapters.ledger_row import ROW

DAY = datetime(2026, 1, 20, tzinfo=UTC)
TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
USAGE = {"object": "organization.usage.completions.result", "input_tokens": 300, "output_tokens": 60,
         "input_cached_tokens": 180, "num_model_requests": 3, "model": "gpt-4o-mini-2024-07-18"}  # fmt: skip
COST = {"object": "organization.costs.result", "amount": {"value": 0.000003702, "currency": "usd"}}


def _page(*results: object, day: datetime = DAY) -> dict[str, object]:
    start_s = int(day.timestamp())
    return {"data": [{"start_time": start_s, "end_time": start_s + 86_400, "results": results}], "has_more": False}


@pytest.fixture
def state_dir(tmp_path: Path) -> Path:
    """A state folder with three purchases on one day."""
    engine = open_database(tmp_path / "spillway.db")
    rows = [{**ROW, "request_id": f"r-{hour}", "at_s": DAY.timestamp() + hour * 3_600} for hour in (0, 12, 23)]
    with engine.begin() as connection:
        connection.execute(insert(ledger_table), rows)
    engine.dispose()
    return tmp_path


def _verify(state_dir: Path, *documents: object, arguments: tuple[str, ...] = ()) -> Result:
    files = []
    for number, document in enumerate(documents):
        file = state_dir / f"export-{number}.json"
        file.write_text(document if isinstance(document, str) else json.dumps(document))
        files.append(str(file))
    app = typer.Typer()
    app.callback()(lambda: None)
    ledger.register(app)
    return CliRunner().invoke(app, ["ledger", "verify", *files, "--state-dir", str(state_dir), *arguments])


def test_equal_books_are_exit_0(state_dir: Path) -> None:
    """Tokens, requests and dollars agree, to the unit."""
    result = _verify(state_dir, _page(USAGE), _page(COST), arguments=("--tolerance-percent", "0"))
    assert result.exit_code == 0, result.output
    assert "equal: 5 figures agree" in result.stderr
    assert "2026-01-20" in result.stderr


def test_drift_is_exit_1_with_the_figures(state_dir: Path) -> None:
    """Each figure beyond the tolerance stands in the table, the others do not; JSON has them all."""
    off = _page({**USAGE, "output_tokens": 90})
    result = _verify(state_dir, off)
    assert result.exit_code == 1
    assert "output_tokens" in result.stdout
    assert "-33.3 %" in result.stdout
    assert "input_tokens" not in result.stdout
    data = json.loads(_verify(state_dir, off, arguments=("--json",)).stdout)["data"]
    assert data["verdict"] == "drift"
    assert data["tolerance_percent"] == 1.0
    assert {figure["figure"]: figure["is_drift"] for figure in data["figures"]} == {
        "requests": False, "input_tokens": False, "cached_input_tokens": False, "output_tokens": True,
    }  # fmt: skip
    assert _verify(state_dir, off, arguments=("--tolerance-percent", "34")).exit_code == 0


def test_purchases_the_provider_does_not_know_are_drift(state_dir: Path) -> None:
    """A day of theirs without usage is not "nothing to compare" when the ledger has some."""
    result = _verify(state_dir, _page())
    assert result.exit_code == 1
    assert "drift" in result.stderr


def test_bills_the_ledger_does_not_know_are_drift(state_dir: Path) -> None:
    """A model that was never bought here shows as such."""
    result = _verify(state_dir, _page(USAGE, {**USAGE, "model": "o9"}))
    assert result.exit_code == 1
    assert "o9" in result.stdout


@pytest.mark.parametrize(
    ("day", "words"),
    [(TODAY, "has ended"), (DAY - timedelta(days=9), "neither side")],
    ids=["today", "nothing on either side"],
)  # fmt: skip
def test_nothing_to_compare_is_never_0(state_dir: Path, day: datetime, words: str) -> None:
    """It says that it could not check, and why."""
    result = _verify(state_dir, _page(*([USAGE] if words == "has ended" else []), day=day))
    assert result.exit_code == 1
    assert "could not check" in result.stderr
    assert words in result.stderr


@pytest.mark.parametrize(
    ("documents", "arguments", "words"),
    [
        pytest.param(("no export",), (), "no known export", id="another file"),
        pytest.param(({**_page(USAGE), "has_more": True},), (), "has_more", id="pages missing"),
        pytest.param((_page(USAGE), "usage_date_utc,cost_usd\n2026-11-20,1\n"), (), "different", id="two providers"),
        pytest.param((_page(USAGE),), ("--provider", "nobody"), "nobody", id="unknown provider"),
    ],
)
def test_files_that_cannot_be_compared_are_exit_2(
    state_dir: Path, documents: tuple[object, ...], arguments: tuple[str, ...], words: str
) -> None:
    """One clear line with the reason."""
    error = _verify(state_dir, *documents, arguments=arguments).exception
    assert isinstance(error, CliError)
    assert error.exit_code == EXIT_USAGE
    assert words in f"{error.what} {error.why}"
