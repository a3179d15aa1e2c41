"""`spillway request`: the whole story of one request, without its text."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from controller.cli import request
from controller.cli.errors import CliError
from controller.core.requests import TargetKind
from tests.adapters.ledger_values import ENTRY as SAMPLE
from tests.adapters.ledger_values import open_store, unlimited

FAILED, ANSWERED = SAMPLE.attempts
ENTRY = replace(
    SAMPLE,
    request_id="req-1",
    target_kind=TargetKind.OWN,
    target="llama-8b",
    model_key="llama-8b-self",
    replica_id="llama-8b-2",
    usage=replace(SAMPLE.usage, estimated=True),
    cost_nanousd=1_234_000,
    spilled=False,
    reason="rule medium [own first]",
    attempts=(
        FAILED,
        replace(
            ANSWERED,
            target="llama-8b",
            kind=TargetKind.OWN,
            model_key="llama-8b-self",
            replica_id="llama-8b-2",
            took_s=1.5,
        ),
    ),
    e2e_s=1.5,
)


def _run(state_dir: Path, *arguments: str) -> Result:
    app = typer.Typer()
    app.callback()(lambda: None)
    request.register(app)
    return CliRunner().invoke(app, ["request", *arguments, "--state-dir", str(state_dir)])


@pytest.fixture
def state_dir(tmp_path: Path) -> Path:
    """A state folder with one request in its ledger."""
    book = open_store(tmp_path / "spillway.db", tmp_path, unlimited)
    book.post(ENTRY)
    book.close()
    return tmp_path


@pytest.mark.parametrize(
    "fact",
    [
        "acme, key k1",
        "auto, chat, streamed",
        "task code, medium",
        "llama-8b > openai",
        "llama-8b (own), simulated",
        "rule medium [own first]",
        "310 ms, predicted 250 ms",
        "1.50 s",
        "100 in (60 cached), 20 out, estimated",
        "$0.001234 at the planning price",
        "replica llama-8b-1 (llama-8b-self): no connection; began after 1 ms, took 2 ms",
        "answered 200; began after 4 ms, took 1.50 s",
        "llama-8b-2",
    ],
)
def test_the_story_holds_every_fact(state_dir: Path, fact: str) -> None:
    """Chain, tries, predicted and real TTFT, tokens, cost and reason are all there."""
    assert fact in _run(state_dir, "req-1").stdout


def test_the_same_as_json(state_dir: Path) -> None:
    """One document with every field, money as exact text."""
    data = json.loads(_run(state_dir, "req-1", "--json").stdout)["data"]
    assert data["cost_usd"] == "0.001234"
    assert data["attempts"][0]["outcome"] == "no connection"
    assert data["usage"]["cached_input_tokens"] == 60
    assert (data["predicted_ttft_s"], data["ttft_s"]) == (0.25, 0.31)


def test_without_an_id_the_last_requests_are_listed(state_dir: Path) -> None:
    """The list leads on to the story of one."""
    result = _run(state_dir)
    assert "req-1" in result.stdout
    assert "spillway request req-1" in result.stderr
    assert [entry["request_id"] for entry in json.loads(_run(state_dir, "--json").stdout)["data"]] == ["req-1"]


def test_an_unknown_id_is_one_clear_line(state_dir: Path) -> None:
    """Unknown and unfinished requests are refused with the command that lists known ones."""
    error = _run(state_dir, "req-2").exception
    assert isinstance(error, CliError)
    assert "spillway request --last" in error.fix
