"""`spillway pool`: a word with who, why and an end; each change can be taken back by the command it prints."""

from __future__ import annotations

import json
import re
import shlex
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from published import fleet, publish
from published import run as run_command
from typer.testing import Result

from controller.adapters.spec_files import SpecFiles
from controller.cli import pool
from controller.cli.errors import EXIT_FAILED, EXIT_UNCHANGED, EXIT_USAGE, CliError
from controller.cli.pool_words import LONGEST_S, span_s
from controller.core.errors import SpillwayError
from controller.core.fleet import Pin, RoutingMode

WHY = ("--reason", "driver update", "--who", "ada")
ONE = ("llama-8b", "--replicas", "1")


def run(state_dir: Path, *arguments: str) -> Result:
    """One `spillway pool` command on this state folder."""
    (state_dir / "run").mkdir(parents=True, exist_ok=True)  # as a controller leaves it
    return run_command(pool.register, "pool", *arguments, "--state-dir", str(state_dir))


def refused(state_dir: Path, *arguments: str) -> CliError:
    """The error of a command that must not work, after which nothing is written."""
    error = run(state_dir, *arguments).exception
    assert isinstance(error, CliError)
    assert not (state_dir / "spec").exists()
    return error


def pins(state_dir: Path) -> dict[str, Pin]:
    """What the controller would read."""
    return dict(SpecFiles(state_dir).pins())


def test_a_pin_is_written_with_who_why_and_an_end(tmp_path: Path) -> None:
    """stdout says what was done; stderr how to take it back and when it ends; the controller can read it."""
    result = run(tmp_path, "pin", "llama-8b", "--routing", "External", "--replicas", "2", "--for", "90m", *WHY)
    assert (result.exit_code, result.stdout) == (0, "pool/llama-8b pinned\n"), result.output
    word = pins(tmp_path)["llama-8b"]
    assert (word.routing, word.replicas, word.who, word.reason) == (RoutingMode.EXTERNAL, 2, "ada", "driver update")
    assert word.until_s == pytest.approx(time.time() + 5400.0, abs=5.0)
    assert f"undo: spillway pool unpin llama-8b --state-dir {tmp_path}\n" in result.stderr
    assert re.search(
        r"External, 2 replicas until \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ, by ada: driver update", result.stderr
    )
    assert "no controller publishes here now" in result.stderr


def test_a_pin_lasts_four_hours_unless_told(tmp_path: Path) -> None:
    """Nothing an operator says holds for ever by accident."""
    run(tmp_path, "pin", "llama-8b", "--routing", "local", *WHY)
    assert pins(tmp_path)["llama-8b"].until_s == pytest.approx(time.time() + 4 * 3600, abs=5.0)


def test_who_is_the_user_unless_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """$USER."""
    monkeypatch.setenv("LOGNAME", "grace")
    monkeypatch.setenv("USER", "grace")
    run(tmp_path, "pin", "llama-8b", "--replicas", "1", "--reason", "x")
    assert pins(tmp_path)["llama-8b"].who == "grace"


def test_with_a_controller_that_publishes_there_is_no_warning(tmp_path: Path) -> None:
    """The note about a missing controller is true or absent."""
    publish(tmp_path, fleet())
    assert "no controller" not in run(tmp_path, "pin", "llama-8b", "--routing", "Local", *WHY).stderr
    publish(tmp_path, fleet(age_s=60.0))
    assert "no controller" in run(tmp_path, "unpin", "llama-8b").stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        pytest.param(("llama-8b", *WHY), "--routing, --replicas", id="nothing to pin"),
        pytest.param(("lama-8b", "--replicas", "1", *WHY), "did you mean llama-8b?", id="typo"),
        pytest.param(("xyz", "--replicas", "1", *WHY), "there are llama-70b, llama-8b, mixtral-8x7b", id="unknown"),
        pytest.param(("llama-8b", "--replicas", "9", *WHY), "allowed: 1 to 4", id="too many"),
        pytest.param(("llama-8b", "--replicas", "-1", *WHY), "allowed: 1 to 4", id="negative"),
        pytest.param((*ONE, "--for", "8d", *WHY), "at most 7d", id="too long"),
        pytest.param((*ONE, "--for", "0h", *WHY), "more than nothing", id="no time"),
        pytest.param((*ONE, "--for", "soon", *WHY), "90m, 4h, 1d12h", id="no span"),
        pytest.param((*ONE, "--until", "2020-01-01T00:00:00Z", *WHY), "more than nothing", id="past"),
        pytest.param((*ONE, "--until", "tomorrow", *WHY), "2026-11-25T18:00:00Z", id="no instant"),
        pytest.param((*ONE, "--for", "1h", "--until", "2099-01-01", *WHY), "one of them", id="both"),
        pytest.param((*ONE, "--reason", " "), "--reason", id="blank reason"),
        pytest.param((*ONE, "--reason", "two\nlines"), "one line", id="two lines"),
        pytest.param((*ONE, "--reason", "x" * 201), "200 characters", id="long reason"),
        pytest.param((*ONE, "--reason", "x", "--who", "\x1b[31m"), "--who", id="escape in who"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    """Exit code 2, the allowed values named, nothing written."""
    error = refused(tmp_path, "pin", *arguments)
    assert error.exit_code == EXIT_USAGE
    assert words in f"{error.what}: {error.why} {error.fix}"


def test_a_reason_is_required(tmp_path: Path) -> None:
    """Whoever looks next must know why."""
    result = run(tmp_path, "pin", "llama-8b", "--replicas", "1")
    assert result.exit_code == EXIT_USAGE
    assert "--reason" in result.stderr


def test_fixed_endpoints_can_be_routed_but_not_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pool that somebody else runs takes --routing only."""
    monkeypatch.setenv("LLAMA_8B_ENDPOINT", "http://10.0.0.1:8000/v1")
    error = refused(tmp_path, "pin", "llama-8b", "--replicas", "1", *WHY)
    assert "fixed endpoints" in error.why
    assert run(tmp_path, "pin", "llama-8b", "--routing", "External", *WHY).exit_code == 0


def test_unpin_is_idempotent(tmp_path: Path) -> None:
    """Nothing to unpin is fine, or 3 when asked to be told."""
    run(tmp_path, "pin", "llama-8b", "--replicas", "1", *WHY)
    first, second = run(tmp_path, "unpin", "llama-8b"), run(tmp_path, "unpin", "llama-8b")
    assert (first.exit_code, first.stdout) == (0, "pool/llama-8b unpinned\n")
    assert (second.exit_code, second.stdout) == (0, "pool/llama-8b was not pinned\n")
    assert "undo" not in second.stderr
    assert run(tmp_path, "unpin", "llama-8b", "--error-unchanged").exit_code == EXIT_UNCHANGED
    assert refused(tmp_path / "other", "unpin", "lama-8b").exit_code == EXIT_USAGE


def test_an_expired_pin_is_none(tmp_path: Path) -> None:
    """It is neither listed nor restored."""
    old = Pin(routing=RoutingMode.EXTERNAL, replicas=None, who="ada", reason="x", until_s=time.time() - 1.0)
    SpecFiles(tmp_path).pin("llama-8b", old)
    assert "<none>" in run(tmp_path, "list").stdout.splitlines()[1]
    assert "unpin" in run(tmp_path, "pin", "llama-8b", "--replicas", "1", *WHY).stderr
    SpecFiles(tmp_path).pin("llama-8b", old)
    assert run(tmp_path, "unpin", "llama-8b").stdout == "pool/llama-8b was not pinned\n"


def test_a_pin_of_a_pool_that_is_gone_can_be_taken_away(tmp_path: Path) -> None:
    """The configuration may have changed since."""
    SpecFiles(tmp_path).pin("old-pool", Pin(routing=None, replicas=1, who="a", reason="b", until_s=time.time() + 60.0))
    assert run(tmp_path, "unpin", "old-pool").stdout == "pool/old-pool unpinned\n"
    assert pins(tmp_path) == {}


@pytest.mark.parametrize(
    "arguments",
    [("pin", "llama-8b", "--replicas", "3", *WHY), ("unpin", "llama-8b"), ("drain", "llama-8b-aaa111")],
    ids=["pin", "unpin", "drain"],
)
def test_a_dry_run_tells_and_changes_nothing(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """The same words, marked, and the same file."""
    publish(tmp_path, fleet())
    run(tmp_path, "pin", "llama-8b", "--replicas", "2", *WHY)
    before = (tmp_path / "spec" / "pools.json").read_bytes()
    result = run(tmp_path, *arguments, "--dry-run")
    assert result.exit_code == 0, result.output
    assert result.stdout.endswith(" (dry run)\n")
    assert (tmp_path / "spec" / "pools.json").read_bytes() == before


def undo_of(result: Result) -> list[str]:
    """The arguments of the printed command, behind `spillway pool`."""
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("undo: ")]
    words = shlex.split(line.removeprefix("undo: "))
    assert words[:2] == ["spillway", "pool"]
    return words[2 : words.index("--state-dir")]


TEXTS = st.text(
    st.characters(exclude_categories=["C", "Z"]) | st.sampled_from(" '\"$-"), min_size=1, max_size=12
).filter(str.strip)
WORDS = st.fixed_dictionaries(
    {"--reason": TEXTS, "--who": TEXTS, "--for": st.sampled_from(["1h", "7d", "90s"])},
    optional={"--replicas": st.sampled_from("1234"), "--routing": st.sampled_from(list(RoutingMode))},
).filter(lambda word: "--replicas" in word or "--routing" in word)  # fmt: skip


@hypothesis_settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(first=st.none() | WORDS, second=st.none() | WORDS)
def test_do_and_undo_is_nothing(tmp_path: Path, first: dict[str, str] | None, second: dict[str, str] | None) -> None:
    """Whatever was said before: pin or unpin, then the printed command, and every word is as it was, to the second."""
    SpecFiles(tmp_path).unpin("llama-8b")
    if first is not None:
        assert run(tmp_path, "pin", "llama-8b", *(f"{name}={value}" for name, value in first.items())).exit_code == 0
    before = pins(tmp_path)
    change = ["unpin", "llama-8b"] if second is None else ["pin", "llama-8b", *(f"{k}={v}" for k, v in second.items())]
    done = run(tmp_path, *change)
    assert done.exit_code == 0, done.output
    if pins(tmp_path) != before:
        undone = run(tmp_path, *undo_of(done))
        assert undone.exit_code == 0, undone.output
    assert pins(tmp_path) == before


def test_a_change_as_json(tmp_path: Path) -> None:
    """One document with what was, what is and how to go back."""
    run(tmp_path, "pin", "llama-8b", "--replicas", "2", *WHY)
    data = json.loads(run(tmp_path, "pin", "llama-8b", "--routing", "External", *WHY, "--json").stdout)["data"]
    assert (data["name"], data["outcome"], data["changed"], data["dry_run"]) == ("pool/llama-8b", "pinned", True, False)
    assert (data["pin"]["routing"], data["pin"]["replicas"]) == ("External", None)
    assert (data["replaced_pin"]["routing"], data["replaced_pin"]["replicas"]) == (None, 2)
    assert data["undo"].startswith("spillway pool pin llama-8b --replicas 2 --until ")


def test_an_unreadable_file_is_one_clear_line(tmp_path: Path) -> None:
    """Exit code 1, the file named, and not overwritten."""
    (tmp_path / "spec").mkdir()
    (tmp_path / "spec" / "pools.json").write_text("{")
    for arguments in (("pin", "llama-8b", "--replicas", "1", *WHY), ("unpin", "llama-8b"), ("list",)):
        error = run(tmp_path, *arguments).exception
        assert isinstance(error, SpillwayError)
        assert "pools.json cannot be read" in str(error)
    assert (tmp_path / "spec" / "pools.json").read_text() == "{"


def test_a_drain_orders_it_for_the_controller(tmp_path: Path) -> None:
    """By its ID, once; the last ready replica of a pool is pointed out, and that there is no way back."""
    publish(tmp_path, fleet())
    result = run(tmp_path, "drain", "llama-8b-aaa111")
    assert (result.exit_code, result.stdout) == (0, "replica/llama-8b-aaa111 draining\n"), result.output
    assert SpecFiles(tmp_path).drains() == frozenset({"llama-8b-aaa111"})
    assert "no other ready replica" in result.stderr
    assert "there is no way back" in result.stderr
    assert run(tmp_path, "drain", "llama-8b-aaa111").stdout == "replica/llama-8b-aaa111 was told to drain already\n"
    assert run(tmp_path, "drain", "llama-8b-aaa111", "--error-unchanged").exit_code == EXIT_UNCHANGED


@pytest.mark.parametrize(("name", "state"), [("llama-8b-ccc333", "draining"), ("llama-8b-ddd444", "lost")])
def test_what_leaves_already_is_left_alone(tmp_path: Path, name: str, state: str) -> None:
    """A draining or lost replica needs no order."""
    publish(tmp_path, fleet())
    assert run(tmp_path, "drain", name).stdout == f"replica/{name} is {state}\n"
    assert not (tmp_path / "spec").exists()


def test_a_drain_needs_a_known_replica(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A typo is told what was meant and never run; without a controller nothing is known; fixed ones are not ours."""
    assert refused(tmp_path, "drain", "llama-8b-aaa111").exit_code == EXIT_FAILED
    publish(tmp_path, fleet())
    typo = refused(tmp_path, "drain", "llama-8b-aaa11")
    assert (typo.exit_code, typo.why) == (EXIT_USAGE, "did you mean llama-8b-aaa111?")
    monkeypatch.setenv("LLAMA_8B_ENDPOINT", "http://10.0.0.1:8000/v1")
    fixed = refused(tmp_path, "drain", "llama-8b-aaa111")
    assert "fixed endpoints" in fixed.why
    assert "--routing External" in fixed.fix


def test_the_list_shows_bounds_pins_and_replicas(tmp_path: Path) -> None:
    """Everything the other commands need: names, bounds, IDs, and who pinned what."""
    publish(tmp_path, fleet())
    run(tmp_path, "pin", "llama-8b", "--replicas", "1", "--routing", "Local", *WHY)
    result = run(tmp_path, "list")
    rows = [re.split(r"  +", line) for line in result.stdout.splitlines()]
    assert ["llama-8b", "llama-8b-self", "1", "4", "1", "Spilling", "Local, 1 replica"] in rows
    assert ["llama-70b", "llama-70b-self", "1", "2", "<unknown>", "<unknown>", "<none>"] in rows
    assert ["llama-8b-ccc333", "llama-8b", "draining", "3", "6m"] in rows
    assert "by ada: driver update" in result.stderr
    data = json.loads(run(tmp_path, "list", "--json").stdout)["data"]
    assert [row["name"] for row in data] == ["llama-8b", "mixtral-8x7b", "llama-70b"]
    assert (data[0]["min_replicas"], data[0]["max_replicas"], data[0]["pin"]["replicas"]) == (1, 4, 1)
    assert data[0]["replicas"][0]["replica_id"] == "llama-8b-aaa111"


def test_the_list_works_while_nothing_runs(tmp_path: Path) -> None:
    """Names and bounds come from the configuration; what is not known says so."""
    result = run(tmp_path, "list")
    assert "llama-8b" in result.stdout
    assert "<unknown>" in result.stdout
    assert "no controller has published here" in result.stderr


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("90m", 5400), ("4h", 14400), ("1d12h", 129600), ("7d", LONGEST_S), ("1h0m5s", 3605)],
)
def test_spans_read_as_people_write_them(text: str, seconds: int) -> None:
    """Days, hours, minutes, seconds, in this order, any of them left out."""
    assert span_s(text) == seconds


@pytest.mark.parametrize("command", [(), ("list",), ("pin",), ("unpin",), ("drain",)])
def test_help_shows_an_example(command: tuple[str, ...]) -> None:
    """Every command leads with how it is used."""
    result = run_command(pool.register, "pool", *command, "--help")
    assert result.exit_code == 0
    assert not command or "Example" in result.stdout
