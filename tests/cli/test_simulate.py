"""`spillway simulate`: figures beside the optimum for shipped workloads and own files; every bad option is one line."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from published import run as run_command
from typer.testing import Result

from controller.cli import simulate, simulate_report
from controller.cli.errors import EXIT_USAGE, CliError
from controller.replay.workloads import WORKLOADS

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
        (("--knob", "nan"), "--knob is nan|it must be a number above 0 to 1,000,000"),
        (("--knob", "0"), "--knob is 0|it must be a number above 0 to 1,000,000"),
        (("--replica-usd-per-hour", "nan"), "--replica-usd-per-hour is nan|it must be a number from 0 to 1,000,000"),
        (("--replica-usd-per-hour", "inf"), "--replica-usd-per-hour is inf|it must be a number from 0 to 1,000,000"),
        (("--spill-usd-per-1k", "nan"), "--spill-usd-per-1k is nan|it must be a number from 0 to 1,000,000 or inf"),
        (("--spill-usd-per-1k", "-1"), "--spill-usd-per-1k is -1|it must be a number from 0 to 1,000,000 or inf"),
        (("--replica-requests-per-s", "0"), "--replica-requests-per-s is 0|it must be a number above 0 to 1,000,000"),
        (
            ("--replica-requests-per-s", "inf"),
            "--replica-requests-per-s is inf|it must be a number above 0",
        ),
        (("--cold-start-s", "nan"), "--cold-start-s is nan|it must be a number from 0 to 1,000,000"),
        (("--cold-start-s", "inf"), "--cold-start-s is inf|it must be a number from 0 to 1,000,000"),
        (("--min-replicas", "-1"), "--min-replicas is -1|it must be a number from 0 to 1,000"),
        (("--cold-start-s", "-5"), "--cold-start-s is -5|it must be a number from 0 to 1,000,000"),
        (
            ("--max-replicas", "2", "--min-replicas", "3"),
            "--max-replicas is 2|it must be at least --min-replicas, 3",
        ),
        (("--max-replicas", "1001"), "--max-replicas is 1001|it must be a number from 0 to 1,000"),
        (("--plot", "no/such/folder/a.png"), "cannot write no/such/folder/a.png|there is no folder"),
        (("--html", "."), "cannot write .|it is a folder; it must be a file"),
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


def test_requests_that_are_too_long_for_the_pool_are_left_out(tmp_path: Path) -> None:
    """No replica could take them; how many is told."""
    file = tmp_path / "mine.csv"
    rows = [f"{at},{20_000 if at % 20_000 == 0 else 1000},100\n" for at in range(0, 120_000, 500)]
    file.write_text("arrival_ms,input_tokens,output_tokens\n" + "".join(rows))
    result = run(str(file), "--pool", "8b-l4", "--json")
    data = json.loads(result.stdout)["data"]
    assert (data["left_out_requests"], data["outcome"]["offered"]) == (6, pytest.approx(220 - 6))
    assert "note: 6 requests are left out: longer than the pool's 16384 tokens" in result.stderr
    file.write_text("arrival_ms,input_tokens,output_tokens\n" + rows[0])
    assert (
        "none of its 1 requests fits the 16384 tokens that 8b-l4 can hold" in refused(str(file), "--pool", "8b-l4").why
    )


def test_a_demand_of_more_replicas_than_there_are_is_refused(tmp_path: Path) -> None:
    """At once, and not by running out of memory; scaled down it is answered."""
    file = tmp_path / "mine.csv"
    file.write_text("t_s,rate_rps\n0,900000000\n600,900000000\n")
    assert "of 8b-a100; it must be at most 1000: --replicas scales a file down" in refused(str(file)).why
    assert told(str(file), "--replicas", "2")["outcome"]["peak_replicas"] >= 2


def test_a_policy_that_counts_on_spilling_behind_a_gateway_that_never_does_is_warned_of() -> None:
    """Its figures would else look like a verdict on it."""
    words = "warning: the policy counts on spilling, the gateway never does"
    alone = ("step2x", "--replicas", "2", "--gateway", "none")
    assert words in run(*alone).stderr
    assert words not in run(*alone, "--spill-usd-per-1k", "inf").stderr


def test_who_waits_is_told_how_far_it_is() -> None:
    """What is read, then the share of the run that is over."""
    doing = simulate._Doing("mine.csv")
    assert doing.words() == "reading mine.csv"
    data = simulate_report.settle(
        "zero-to-n", "all-external", "8b-a100", "frontier", gateway=None, knob=None, replicas=1,
        given=dict.fromkeys(("min_replicas", "max_replicas")),
    )  # fmt: skip
    shares: list[float] = []
    simulate_report.told_of(data, seed=1, ran=shares.append)
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0.0, pytest.approx(1.0, abs=0.01))
    doing.ran(shares[-1])
    assert doing.words() in {"mine.csv, 99 % run", "mine.csv, 100 % run"}
    doing.writes()
    assert doing.words() == "mine.csv, run and compared; telling it"


def test_the_help_names_every_workload() -> None:
    """And none that is not there."""
    text = run("--help").stdout
    named = text.split("Workloads that ship:")[1].split("`spillway bench")[0]
    found = re.findall(r"[a-z0-9]+(?:-[a-z0-9]+)+|step.x|ramp", named.replace("-\n", "-"))
    assert set(found) == set(WORKLOADS)


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
