"""`spillway simulate`: figures beside the optimum for shipped workloads and own files; every bad option is one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from published import run as run_command
from typer.testing import Result

from controller.cli import simulate
from controller.cli.errors import EXIT_USAGE, CliError

AZURE = "TIMESTAMP,ContextTokens,GeneratedTokens\n"
ROWS = "".join(f"2026-01-01 00:{at // 60:02}:{at % 60:02}.{tenth}000000,100,10\n"
               for at in range(120) for tenth in range(0, 10, 2))  # fmt: skip


def run(*arguments: str) -> Result:
    """One call."""
    return run_command(simulate.register, "simulate", *arguments)


def told(*arguments: str) -> dict[str, Any]:
    """The document of a call that works."""
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    data: dict[str, Any] = json.loads(result.stdout)["data"]
    return data


def refused(*arguments: str) -> CliError:
    """The error of a call that must not work."""
    error = run(*arguments).exception
    assert isinstance(error, CliError), error
    assert error.exit_code == EXIT_USAGE
    return error


def test_a_shipped_workload_is_told_as_a_table_with_reasons() -> None:
    """Ours beside the optimum, and the last changes of the replica count."""
    result = run("step5x", "--decisions", "3")
    assert result.exit_code == 0, result.output
    assert "spillway (mode, start_patience_ratio 1) on step5x, 2.0 h" in result.stdout
    assert "times the optimum" in result.stdout
    assert "more than buying" in result.stdout


def test_an_own_file_is_taken_as_it_is_at_own_prices(tmp_path: Path) -> None:
    """600 requests in two minutes, every one of them, with its own prices."""
    file = tmp_path / "mine.csv"
    file.write_text(AZURE + ROWS)
    data = told(str(file), "--replica-usd-per-hour", "3.6", "--spill-usd-per-1k", "2", "--cold-start-s", "0",
                "--replica-requests-per-s", "1", "--max-replicas", "3", "--policy", "all-external")  # fmt: skip
    assert data["workload"] == "mine.csv"
    assert data["economics"] | {"replica_usd_per_s": 0.001, "spill_usd_per_request": 0.002} == data["economics"]
    assert data["outcome"]["offered"] == pytest.approx(550)  # the last, begun slot is left out
    assert data["outcome"]["spill_usd"] == pytest.approx(550 * 0.002)
    assert data["optimum"]["usd"] < data["outcome"]["usd"]


def test_an_own_file_is_scaled_when_that_is_asked_for(tmp_path: Path) -> None:
    """Busy moments then need eight replicas, whatever one of them does."""
    file = tmp_path / "mine.csv"
    file.write_text("t_s,rate_rps\n0,1\n600,2\n1200,2\n")
    data = told(str(file), "--replicas", "8", "--policy", "static-peak")
    assert data["gateway"] == "naive"
    assert data["outcome"]["peak_replicas"] >= 8
    assert data["economics"]["max_replicas"] == 16


def test_a_file_of_rates_has_chance_added_and_needs_no_scale(tmp_path: Path) -> None:
    """Two seeds meet other requests."""
    file = tmp_path / "mine.csv"
    file.write_text("t_s,rate_rps\n0,20\n600,20\n")
    one, two = (told(str(file), "--seed", seed)["outcome"]["offered"] for seed in ("1", "2"))
    assert one != two
    assert one == pytest.approx(24_000, rel=0.05)


@pytest.mark.parametrize("seconds", ["0", "240"])
def test_nobody_to_buy_from_and_no_cold_start_are_answered(seconds: str) -> None:
    """An infinite price means that nothing may be spilled; null in JSON."""
    data = told("step2x", "--replicas", "1", "--spill-usd-per-1k", "inf", "--cold-start-s", seconds)
    assert data["economics"]["spill_usd_per_request"] is None
    assert data["outcome"]["spilled"] == 0


def test_timeline_and_page_are_written(tmp_path: Path) -> None:
    """A PNG, and a page that begins with the run in a sentence."""
    plot, html = tmp_path / "a.png", tmp_path / "a.html"
    result = run("zero-to-n", "--replicas", "2", "--plot", str(plot), "--html", str(html))
    assert result.exit_code == 0, result.output
    assert plot.read_bytes().startswith(b"\x89PNG")
    text = html.read_text(encoding="utf-8")
    assert "spillway on zero-to-n" in text.split("</p>")[0]
    assert "http" not in text


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("nope",), "no workload 'nope'|az24-conv-week"),
        (("--policy", "nope"), "policy is 'nope'; it must be one of spillway, static-peak"),
        (("--pool", "nope"), "pool is 'nope'; it must be one of 8b-a100, 70b-4xa100, 8b-l4"),
        (("--prices", "nope"), "prices is 'nope'; it must be one of frontier, same-weights"),
        (("--gateway", "nope"), "--gateway is nope|it must be one of valve, mode, naive, none"),
        (("--knob", "nan"), "--knob is nan|it must be a finite number > 0"),
        (("--knob", "0"), "--knob is 0|it must be a finite number > 0"),
        (("--replica-usd-per-hour", "nan"), "replica_usd_per_s is nan; it must be a number >= 0"),
        (("--replica-usd-per-hour", "inf"), "replica_usd_per_s is inf; it must be a finite number"),
        (("--spill-usd-per-1k", "nan"), "spill_usd_per_request is nan; it must be a number >= 0 or inf"),
        (("--spill-usd-per-1k", "-1"), "spill_usd_per_request is -0.001; it must be a number >= 0 or inf"),
        (("--replica-requests-per-s", "0"), "replica_requests_per_s is 0; it must be a number > 0"),
        (("--replica-requests-per-s", "inf"), "replica_requests_per_s is inf; it must be a finite number"),
        (("--cold-start-s", "nan"), "cold_start_s is nan; it must be a number >= 0"),
        (("--cold-start-s", "inf"), "cold_start_s is inf; it must be a finite number"),
        (("--min-replicas", "-1"), "min_replicas is -1; it must be an integer >= 0"),
        (("--cold-start-s", "-5"), "cold_start_s is -5; it must be a number >= 0"),
        (
            ("--max-replicas", "2", "--min-replicas", "3"),
            "max_replicas is 2; it must be an integer >= min_replicas (3)",
        ),
        (("--plot", "no/such/folder/a.png"), "cannot write no/such/folder/a.png|there is no folder"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_bad_option_is_one_clear_line(arguments: tuple[str, ...], says: str) -> None:
    """With name, value and what is allowed, before anything is run."""
    error = refused(*arguments)
    assert all(words in f"{error.what}: {error.why}" for words in says.split("|")), f"{error.what}: {error.why}"


@pytest.mark.parametrize(
    ("rows", "offered"),
    [
        ("0,2\n600,4\n3000,2\n", 600 * (2 + 4 + 2)),
        ("3000,2\n600,4\n0,2\n", 600 * (2 + 4 + 2)),
        ("0,2\n600,0\n1200,2\n", 600 * (2 + 2)),
        ("0,2\n", 600 * 2),
    ],
    ids=["a gap is no demand", "rows in any order", "a rate of zero", "a single row is ten minutes"],
)
def test_a_file_with_holes_is_answered(tmp_path: Path, rows: str, offered: float) -> None:
    """What it says is what was asked for, whatever the order; where it says nothing nobody asked."""
    file = tmp_path / "mine.csv"
    file.write_text("t_s,rate_rps\n" + rows)
    data = told(str(file))
    assert data["outcome"]["offered"] == pytest.approx(offered, rel=0.1)  # chance is added
    assert data["outcome"]["attained"] == pytest.approx(data["outcome"]["offered"])


@pytest.mark.parametrize("bounds", [("1", "1"), ("0", "1"), ("0", "0")], ids=["one", "at most one", "none"])
def test_pools_of_one_replica_or_none_are_answered(bounds: tuple[str, str]) -> None:
    """What they cannot serve is bought."""
    data = told("step2x", "--replicas", "4", "--min-replicas", bounds[0], "--max-replicas", bounds[1])
    assert data["outcome"]["peak_replicas"] <= int(bounds[1])
    assert data["outcome"]["attained"] == data["outcome"]["offered"]
    assert data["outcome"]["spilled"] >= 0.5 * data["outcome"]["offered"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a,b\n1,2\n", "columns must be those of"),
        (AZURE, ""),
        (AZURE + "yesterday,1,1\n", "yesterday"),
        ("t_s,rate_rps\n0,nan\n", "nan"),
        ("t_s,rate_rps\n0,0\n600,0\n", "every rate of the trace is 0"),
    ],
    ids=["wrong columns", "no rows", "no time", "nan", "all zero"],
)
def test_a_bad_file_is_one_clear_line(tmp_path: Path, text: str, says: str) -> None:
    """It names the file or the line, and what stands there."""
    file = tmp_path / "mine.csv"
    file.write_text(text)
    error = refused(str(file), "--replicas", "2")
    assert says in error.why
    assert "\n" not in error.why
