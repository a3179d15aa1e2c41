"""`spillway config`: exit codes, words and documents of validate and show."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from controller.cli import config
from controller.cli.errors import EXIT_DONE, EXIT_USAGE, CliError
from controller.core.errors import ConfigError

KEYS = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GROQ_API_KEY", "TOGETHER_API_KEY")
ENDPOINTS = ("LLAMA_8B_ENDPOINT", "MIXTRAL_ENDPOINT", "LLAMA_70B_ENDPOINT")
GOOD = "pools: []\nrules: {default_model: gpt-6-luna}\n"
DEAD = "pools: []\nrules: {default_model: llama-8b-groq}\n"
BAD = "phase: phase4\ngateway:\n  prot: 9000\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to stand in, no file of the user's, and an environment with every key."""
    for name in (*ENDPOINTS, "AI_PHASE", "SPILLWAY_STATE_DIR"):
        monkeypatch.delenv(name, raising=False)
    for name in KEYS:
        monkeypatch.setenv(name, f"sk-secret-of-{name}")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return work


def _run(*arguments: str) -> Result:
    app = typer.Typer()
    app.callback()(lambda: None)
    config.register(app)
    return CliRunner().invoke(app, ["config", *arguments])


def _validate(text: str, *options: str, name: str = "spillway.yaml") -> Result:
    Path(name).write_text(text, encoding="utf-8")
    return _run("validate", name, "--today", "2026-11-05", *options)


def _data(result: Result, kind: str) -> Any:
    """What the one JSON document on stdout holds."""
    document = json.loads(result.stdout)
    assert (document["schema"], document["kind"]) == ("spillway.dev/cli/v1", kind)
    assert result.stdout.count("\n") == 1
    return document["data"]


@pytest.mark.parametrize(
    ("text", "options", "exit_code", "counts"),
    [
        (GOOD, (), EXIT_DONE, "ok: no errors, no warnings in "),
        (GOOD, ("--strict",), EXIT_DONE, "ok: no errors, no warnings in "),
        (DEAD, (), EXIT_DONE, "ok: no errors, 1 warning in "),
        (DEAD, ("--strict",), EXIT_USAGE, "error: no errors, 1 warning in "),
        (BAD, (), EXIT_USAGE, "error: 2 errors, no warnings in "),
        (BAD, ("--strict",), EXIT_USAGE, "error: 2 errors, no warnings in "),
    ],
    ids=["good", "good-strict", "warning", "warning-strict", "bad", "bad-strict"],
)
def test_validate_exits_0_or_2(text: str, options: tuple[str, ...], exit_code: int, counts: str, folder: Path) -> None:
    """Errors are refused, warnings only when asked to be strict; nothing but words is said."""
    result = _validate(text, *options)
    assert result.exit_code == exit_code
    assert result.stdout == ""
    assert f"{counts}{folder / 'spillway.yaml'}\n" in result.stderr


def test_the_built_in_configuration_is_without_a_warning(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a fresh clone, without keys: a line on models that end, one on keys, and it is good, strictly too."""
    for name in KEYS:
        monkeypatch.delenv(name)
    result = _run("validate", "--strict", "--today", "2026-11-26")
    assert (result.exit_code, result.stdout) == (EXIT_DONE, "")
    ending, unset, counts, further = result.stderr.splitlines()
    assert ending.startswith("note: built-in models that end have a successor")
    assert "gpt-4o ends on 2027-01-14, in 49 days, then gpt-6-terra stands in" in ending
    assert unset.startswith("note: not set: ANTHROPIC_API_KEY, GROQ_API_KEY, OPENAI_API_KEY: `spillway up` puts")
    assert (counts, further) == ("ok: no errors, no warnings in the built-in configuration", "next: spillway up")
    told = _data(_run("validate", "--json", "--today", "2026-11-26"), "config-check")["problems"]
    assert [problem["severity"] for problem in told] == ["note"] * 6


def test_validate_tells_each_problem_on_a_line(folder: Path) -> None:
    """Led by its severity; at the end how to go on."""
    *problems, counts, fix = _validate(BAD).stderr.splitlines()
    file = folder / "spillway.yaml"
    assert problems == [
        f"error: {file}:1: phase: is none of the allowed values; did you mean phase3? (got phase4);"
        " allowed: one of phase1, phase2, phase2.5, phase3",
        f"error: {file}:3: gateway.prot: unknown key; did you mean port? (got 9000);"
        " allowed: one of host, port, admin_host, admin_port, drain_lead_s, drain_s, media_hosts, resume, caps,"
        " timeouts",
    ]
    assert counts.startswith("error: 2 errors")
    assert fix.endswith("spillway config schema")


def test_validate_as_json(folder: Path) -> None:
    """The file, the verdict, and every field of every problem."""
    assert _data(_validate(DEAD, "--json"), "config-check") == {
        "file": str(folder / "spillway.yaml"),
        "valid": True,
        "problems": [
            {
                "file": str(folder / "spillway.yaml"),
                "line": 2,
                "key": "rules.default_model",
                "value": "llama-8b-groq",
                "allowed": "a model that still answers",
                "message": "llama-8b-groq ended on 2026-08-16, replaced by gpt-oss-20b-groq",
                "severity": "warning",
            }
        ],
    }


@pytest.mark.parametrize(
    ("text", "options", "valid"),
    [(GOOD, (), True), (DEAD, ("--strict",), False), (BAD, (), False)],
    ids=["good", "strict", "bad"],
)
def test_the_document_and_the_exit_code_agree(text: str, options: tuple[str, ...], valid: bool) -> None:
    """With --json nothing goes to stderr."""
    result = _validate(text, "--json", *options)
    assert _data(result, "config-check")["valid"] is valid
    assert (result.exit_code == EXIT_DONE, result.stderr) == (valid, "")


@pytest.mark.parametrize("name", ["spillway.yaml", "my file.yaml"])
def test_what_comes_next_can_be_pasted(name: str, folder: Path) -> None:
    """A path with a blank is in quotes."""
    path = str(folder / name)
    wanted = f"'{path}'" if " " in name else path
    assert _validate(GOOD, name=name).stderr.endswith(f"next: spillway up --config {wanted}\n")


@pytest.mark.parametrize("arguments", [("none.yaml",), ("--config", "none.yaml")], ids=["argument", "option"])
def test_a_missing_file_is_refused(arguments: tuple[str, ...], folder: Path) -> None:
    """Never taken for the built-in configuration."""
    result = _run("validate", *arguments, "--json")
    (problem,) = _data(result, "config-check")["problems"]
    assert result.exit_code == EXIT_USAGE
    assert (problem["file"], problem["key"]) == (str(folder / "none.yaml"), "file")
    assert problem["message"] == "cannot be read: No such file or directory"


def test_without_a_file_the_built_in_configuration_is_judged() -> None:
    """It is valid."""
    result = _run("validate")
    assert result.exit_code == EXIT_DONE
    assert "in the built-in configuration\n" in result.stderr
    assert result.stderr.endswith("next: spillway up\n")


def test_the_file_of_the_project_goes_before_that_of_the_user(folder: Path) -> None:
    """And one that is named before both."""
    users = folder.parent / "home" / "spillway" / "config.yaml"
    users.parent.mkdir(parents=True)
    users.write_text(GOOD)
    assert _data(_run("validate", "--json"), "config-check")["file"] == str(users)
    (folder / "spillway.yaml").write_text(GOOD)
    assert _data(_run("validate", "--json"), "config-check")["file"] == str(folder / "spillway.yaml")
    assert _data(_run("validate", str(users), "--json"), "config-check")["file"] == str(users)


def test_the_same_file_may_be_named_twice_but_not_two(folder: Path) -> None:
    """As argument and as option."""
    (folder / "a.yaml").write_text(GOOD)
    assert _run("validate", "a.yaml", "-c", "a.yaml").exit_code == EXIT_DONE
    error = _run("validate", "a.yaml", "-c", "b.yaml").exception
    assert isinstance(error, CliError)
    assert (error.what, error.exit_code) == ("two files given", EXIT_USAGE)


@pytest.mark.parametrize("command", ["validate", "show"])
@pytest.mark.parametrize("today", ["tomorrow", "2026-13-01", ""])
def test_what_is_no_date_is_refused(command: str, today: str) -> None:
    """With the form that is."""
    error = _run(command, "--today", today).exception
    assert isinstance(error, CliError)
    assert (error.why, error.exit_code) == ("allowed: YYYY-MM-DD", EXIT_USAGE)


def test_lifetimes_are_judged_on_the_day_asked_for(folder: Path) -> None:
    """The day before the shutdown the model still answers."""
    (folder / "spillway.yaml").write_text(DEAD)
    before = _data(_run("validate", "--json", "--today", "2026-08-15"), "config-check")["problems"]
    after = _data(_run("validate", "--json", "--today", "2026-08-16"), "config-check")["problems"]
    assert "ends on 2026-08-16, in 1 days" in before[0]["message"]
    assert "ended on 2026-08-16" in after[0]["message"]


@pytest.mark.parametrize(
    "cells",
    [
        ("phase", "phase3"),
        ("gateway", "http://127.0.0.1:9000/v1 (admin 127.0.0.1:8081)"),
        ("controller", "http://127.0.0.1:8082, a tick every 1 s"),
        ("state_dir", ".spillway"),
        ("budgets", "acme 1.50 USD/day, * 20 USD/day, zoo no limit per day, zoo 9 USD/month"),
        ("zoo", "60", "no limit", "batch", "auto, llama-8b-self; own GPUs only"),
        ("fixed", "llama-8b-self", "http://gpu-1:8000, http://gpu-2:8000", "2 fixed", "gpt-6-luna"),
        ("own", "llama-8b-self", "g5.2xlarge", "TP=1 bf16, 8192 tokens", "0 to 2", "nowhere"),
        ("gpt-4o-mini", "openai", "0.15", "0.6", "2027-01-14", "gpt-6-luna"),
        ("claude-sonnet-5-5", "anthropic", "2", "10"),
    ],
    ids=lambda cells: cells[0],
)
def test_show_has_what_holds(cells: tuple[str, ...], folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """File, environment and defaults together."""
    monkeypatch.setenv("AI_PHASE", "phase3")
    monkeypatch.setenv("COLUMNS", "200")
    (folder / "spillway.yaml").write_text(
        "gateway: {port: 9000}\nbudgets: {usd_per_day: {acme: '1.50', '*': 20}}\n"
        "tenants: {zoo: {requests_per_min: 60, usd_per_day: null, usd_per_month: 9, priority: batch,"
        " models: [auto, own], residency: own}}\npools:\n"
        "  - {name: own, model: llama-8b-self, replicas: {min: 0, max: 2}}\n"
        "  - {name: fixed, model: llama-8b-self, spill: {to: [gpt-6-luna]},"
        " endpoints: ['http://gpu-1:8000/v1', 'http://gpu-2:8000/v1']}\n"
    )
    lines = [line for line in _run("show").stdout.splitlines() if line.split()[:1] == [cells[0]]]
    assert any(all(cell in line for cell in cells) for line in lines), lines


def test_show_of_the_built_in_configuration() -> None:
    """Says so, has what stands in for models that end, and leaves out what is switched off."""
    result = _run("show", "--today", "2026-11-05")
    assert result.exit_code == EXIT_DONE
    assert "Configuration: the built-in configuration" in result.stdout
    assert "budgets" in result.stdout
    assert "mixtral-8x7b-together" not in result.stdout
    (dead,) = [line for line in result.stdout.splitlines() if line.startswith("claude-3-5-sonnet")]
    assert dead.split()[-2:] == ["2025-10-28", "claude-sonnet-5-5"]
    assert "warning" not in result.stderr


def test_show_as_json_has_everything_but_the_keys(folder: Path) -> None:
    """Money is exact text, paths are text, and no key of a provider is in it."""
    (folder / "spillway.yaml").write_text("phase: phase3\nbudgets: {usd_per_day: {acme: '0.10'}}\n")
    result = _run("show", "--json", "--today", "2026-11-05")
    data = _data(result, "config")
    assert (data["phase"], data["today"], data["state_dir"]) == ("phase3", "2026-11-05", ".spillway")
    assert data["budgets"]["usd_per_day"] == {"acme": "0.10"}
    assert data["models"]["gpt-4o"]["price"]["usd_per_mtok_in"] == "2.5"
    assert set(data["pools"]) == set(data["step_times"]) == {"llama-8b", "mixtral-8x7b", "llama-70b"}
    assert data["providers"]["openai"]["api_key_env"] == "OPENAI_API_KEY"
    assert "sk-secret" not in result.stdout + result.stderr


def test_show_refuses_what_validate_refuses(folder: Path) -> None:
    """With every problem."""
    (folder / "spillway.yaml").write_text(BAD)
    error = _run("show").exception
    assert isinstance(error, ConfigError)
    assert [problem.key for problem in error.problems] == ["phase", "gateway.prot"]


@pytest.mark.parametrize(
    ("text", "arguments", "exit_code", "kind"),
    [
        (GOOD, ("validate", "--json"), EXIT_DONE, "config-check"),
        (BAD, ("validate", "--json"), EXIT_USAGE, "config-check"),
        (GOOD, ("show", "--json"), EXIT_DONE, "config"),
        (BAD, ("show", "--json"), EXIT_USAGE, "error"),
    ],
    ids=["validate-good", "validate-bad", "show-good", "show-bad"],
)
def test_the_command_itself(text: str, arguments: tuple[str, ...], exit_code: int, kind: str, folder: Path) -> None:
    """As a process: exit codes as in `spillway help exit-codes`, one document on stdout, errors too."""
    (folder / "spillway.yaml").write_text(text)
    command = [str(Path(sys.executable).with_name("spillway")), "config", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (exit_code, "")
    document = json.loads(done.stdout)
    assert document["kind"] == kind
    if kind == "error":
        assert [problem["key"] for problem in document["data"]["problems"]] == ["phase", "gateway.prot"]
