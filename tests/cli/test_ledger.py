"""`spillway ledger`: sums are exact, the export is whole."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from controller.cli import ledger
from controller.cli.errors import EXIT_USAGE, CliError
from controller.core.money import Usage
from controller.core.requests import TargetKind
from tests.adapters.ledger_values import ENTRY as SAMPLE
from tests.adapters.ledger_values import open_store, unlimited

AT_S = 1_790_000_000.0

ENTRY = replace(
    SAMPLE,
    request_id="req-1",
    at_s=AT_S,
    task=None,
    complexity="simple",
    usage=Usage(input_tokens=100, output_tokens=20, cached_input_tokens=60),
    cost_nanousd=1_234,
    reason="pool full, with a comma",
    attempts=(),
    predicted_ttft_s=None,
    stream=False,
    gpu_s=None,
)


def _run(state_dir: Path, *arguments: str) -> Result:
    app = typer.Typer()
    app.callback()(lambda: None)
    ledger.register(app)
    return CliRunner().invoke(app, ["ledger", *arguments, "--state-dir", str(state_dir)])


@pytest.fixture
def state_dir(tmp_path: Path) -> Path:
    """A state folder with three requests: bought, own pool a day later, refused."""
    book = open_store(tmp_path / "spillway.db", tmp_path, unlimited)
    book.post(ENTRY)
    own = replace(ENTRY, target_kind=TargetKind.OWN, target="llama-8b", model_key="llama-8b-self", spilled=False)
    book.post(replace(own, request_id="req-2", at_s=AT_S + 86_400, simulated=False))
    book.post(replace(ENTRY, request_id="req-3", target_kind=None, target=None, status=404, cost_nanousd=0))
    book.close()
    return tmp_path


def test_the_report_sums_to_the_nano_dollar(state_dir: Path) -> None:
    """Money is exact text in JSON, bought and own apart."""
    result = _run(state_dir, "report", "--by", "target", "--json")
    data = json.loads(result.stdout)["data"]
    by_group = {total["target"]: total for total in data["totals"]}
    assert data["by"] == ["target"]
    assert data["total"]["bought_usd"] == "0.000001234"
    assert by_group["openai"]["bought_usd"] == "0.000001234"
    assert by_group["openai"]["own_usd"] == "0"
    assert by_group["llama-8b"]["own_usd"] == "0.000001234"
    assert by_group["<none>"]["failed"] == 1


@pytest.mark.parametrize("by", ["tenant", "key", "model", "target", "pool", "task", "day", "month", "pool,target,day"])
def test_the_report_as_a_table(state_dir: Path, by: str) -> None:
    """Every grouping prints its columns, a total where there are several rows, and says that some were simulated."""
    result = _run(state_dir, "report", "--by", by)
    head, *rows = result.stdout.splitlines()
    assert head.split()[: by.count(",") + 1] == by.upper().split(",")
    assert (rows[-1].split()[0] == "TOTAL") is (len(rows) > 1)
    assert "simulated" in result.stderr


def test_the_export_has_a_row_per_request(state_dir: Path, tmp_path: Path) -> None:
    """CSV on stdout and into a file, cells with commas intact."""
    rows = list(csv.DictReader(_run(state_dir, "export").stdout.splitlines()))
    assert {row["request_id"] for row in rows} == {"req-1", "req-2", "req-3"}
    assert rows[0]["reason"] == "pool full, with a comma"
    assert rows[0]["cost_usd"] == "0.000001234"
    file = tmp_path / "out.csv"
    result = _run(state_dir, "export", "--since", "2026-09-22", "--output", str(file))
    assert "1 rows" in result.stderr
    assert file.read_text().count("\n") == 2


def test_the_export_as_parquet(state_dir: Path, tmp_path: Path) -> None:
    """By the file's ending or by --format; how many rows is said in words or as JSON."""
    for name, extra in (("a.parquet", ()), ("b.pq", ("--format", "parquet"))):
        result = _run(state_dir, "export", "--out", str(tmp_path / name), "--json", *extra)
        assert json.loads(result.stdout)["data"]["rows"] == 3
        assert (tmp_path / name).read_bytes()[:4] == b"PAR1"


@pytest.mark.parametrize(
    "arguments", [("--format", "parquet"), ("--json",), ("--out", "none/x.csv")], ids=["stdout", "json", "no folder"]
)
def test_an_export_that_has_no_place_is_refused(state_dir: Path, arguments: tuple[str, ...]) -> None:
    """Exit code 2, and nothing on stdout."""
    result = _run(state_dir, "export", *arguments)
    assert isinstance(result.exception, CliError)
    assert result.exception.exit_code == EXIT_USAGE
    assert result.stdout == ""


def test_an_empty_span_says_so(state_dir: Path) -> None:
    """Nothing served is words on stderr, not an empty table."""
    result = _run(state_dir, "report", "--since", "2030-01-01")
    assert result.stdout == ""
    assert "nothing was served" in result.stderr
    assert json.loads(_run(state_dir, "report", "--since", "2030-01-01", "--json").stdout)["data"]["totals"] == []


def test_no_ledger_yet_is_one_clear_line(tmp_path: Path) -> None:
    """Where a controller has run but no gateway: nothing is created and the fix is named."""
    (tmp_path / "run").mkdir()
    error = _run(tmp_path, "report").exception
    assert isinstance(error, CliError)
    assert error.fix == "spillway up"
    assert [file.name for file in tmp_path.iterdir()] == ["run"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("--since", "yesterday"), ("--by", "phase"), ("--by", "day,day"), ("--by", ""), ("--until", "soon"),
        ("--since", "2026-11-02", "--until", "2026-11-01"),
    ],
)  # fmt: skip
def test_wrong_options_are_refused(state_dir: Path, arguments: tuple[str, ...]) -> None:
    """Exit code 2 with the allowed values."""
    error = _run(state_dir, "report", *arguments).exception
    assert isinstance(error, CliError)
    assert error.exit_code == EXIT_USAGE


@pytest.mark.parametrize(
    ("text", "expected_s"),
    [("all", 0.0), ("90s", AT_S - 90), ("30m", AT_S - 1_800), ("7d", AT_S - 604_800), ("1970-01-02", 86_400.0)],
)
def test_since_reads_spans_and_dates(text: str, expected_s: float) -> None:
    """Spans count back from now, dates are UTC midnights."""
    assert ledger.instant_s(text, "--since", now_s=AT_S) == expected_s
