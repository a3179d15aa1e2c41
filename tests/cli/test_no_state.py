"""Commands in a folder where Spillway has never run: told in one clear message, and nothing is made there."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from controller.adapters.key_store import KeyTable
from controller.cli.errors import EXIT_FAILED, EXIT_KEY, CliError
from controller.cli.main import build_app
from controller.cli.up import kept_key
from controller.config.load import load_settings

REFUSED = (
    "status", "status --json", "request", "request req-1", "ledger report", "ledger export --out here.csv",
    "keys create", "keys list", "keys revoke 0123", "keys new-pepper", "load",
    "pool pin llama-8b --routing Local --reason x", "pool unpin llama-8b", "pool drain llama-8b-1",
    "connect curl --write", "connect curl --write --dry-run",
)  # fmt: skip
BODY = '{"model": "auto", "messages": [{"role": "user", "content": "hi"}]}'
FINE = ("pool list", "config show", "config validate", "route explain -", "connect", "connect curl --no-trip")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that is here, in an empty home."""
    for name in ("SPILLWAY_API_KEY", "SPILLWAY_STATE_DIR", "SPILLWAY_DATABASE_URL", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _run(words: str, *more: str) -> Result:
    return CliRunner().invoke(build_app(), [*words.split(), *more], input=BODY)


@pytest.mark.parametrize("words", REFUSED)
def test_what_needs_state_says_that_there_is_none(folder: Path, words: str) -> None:
    """Which folder was looked at and what to do; the folder stays empty."""
    error = _run(words).exception
    assert isinstance(error, CliError)
    assert error.what == f"no Spillway state in {folder / '.spillway'}"
    assert error.exit_code == (EXIT_KEY if words.startswith(("connect", "load")) else EXIT_FAILED)
    assert "--state-dir DIR" in error.fix
    assert "cd to" in error.fix
    assert list(folder.iterdir()) == []


def test_a_state_folder_that_was_named_wrongly_is_not_made(folder: Path) -> None:
    """The message has the name as it was understood."""
    error = _run("keys create", "--state-dir", "sate").exception
    assert isinstance(error, CliError)
    assert str(folder / "sate") in error.what
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("words", FINE)
def test_what_needs_no_state_makes_none(folder: Path, words: str) -> None:
    """It answers from the configuration alone."""
    result = _run(words)
    assert result.exit_code == 0, result.output
    assert list(folder.iterdir()) == []


def test_keys_may_begin_before_any_gateway(folder: Path) -> None:
    """Asked for by a word of its own, which the refusal names: the gateway that runs there later knows the key."""
    error = _run("keys create").exception
    assert isinstance(error, CliError)
    assert error.fix.endswith("to begin here: spillway up, or spillway keys create --init")
    first = _run("keys create --init")
    assert first.exit_code == 0, first.output
    assert f"{folder / '.spillway'} was made" in first.stderr
    second = _run("keys create other --init")
    assert "was made" not in second.stderr
    keys = KeyTable(folder / ".spillway" / "spillway.db", folder / ".spillway" / "pepper")
    assert [keys.is_good(made.stdout.strip()) for made in (first, second)] == [True, True]
    keys.close()
    assert kept_key(load_settings(None, {}, today=date(2026, 11, 1))).startswith("sp-")
    assert len(json.loads(_run("keys list --json").stdout)["data"]) == 3


def test_no_key_is_made_that_other_gateways_would_not_know(folder: Path) -> None:
    """The database has keys under a pepper that is not here."""
    assert _run("keys create --init").exit_code == 0
    (folder / ".spillway" / "pepper").unlink()
    error = _run("keys create --init").exception
    assert isinstance(error, CliError)
    assert error.what == f"{folder / '.spillway' / 'pepper'} is missing"
    assert "copy their pepper" in error.fix
    assert not (folder / ".spillway" / "pepper").exists()


def test_a_state_folder_that_cannot_be_made_is_told(folder: Path) -> None:
    """A file stands in its place."""
    (folder / ".spillway").write_text("")
    error = _run("keys create --init").exception
    assert isinstance(error, CliError)
    assert (error.what, error.fix) == ("cannot write the state folder .spillway", "choose another: --state-dir")


def test_a_controller_alone_makes_no_keys_good(folder: Path) -> None:
    """Keys are stored under the gateway's pepper: where only a controller has run, none is made."""
    (folder / ".spillway" / "run").mkdir(parents=True)
    error = _run("keys create").exception
    assert isinstance(error, CliError)
    assert error.why == "no gateway has run on it"
    assert not (folder / ".spillway" / "pepper").exists()
