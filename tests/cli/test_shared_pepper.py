"""A pepper that all gateways get from elsewhere, such as a Secret: used where it is, and never made."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from controller.adapters.key_store import KeyTable
from controller.cli.errors import CliError
from controller.cli.main import build_app


@pytest.fixture
def secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the pepper would be; the state folder is another one."""
    folder = tmp_path / "secret"
    folder.mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SPILLWAY_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("SPILLWAY_PEPPER_FILE", str(folder / "pepper"))
    monkeypatch.delenv("SPILLWAY_DATABASE_URL", raising=False)
    return folder / "pepper"


def _run(*words: str) -> Result:
    return CliRunner().invoke(build_app(), [*words])


def test_keys_are_made_under_it(secret: Path, tmp_path: Path) -> None:
    """A gateway elsewhere with the same file knows the key; the state folder has no pepper of its own."""
    secret.write_bytes(os.urandom(32))
    made = _run("keys", "create", "laptop")
    assert made.exit_code == 0, made.output
    assert not (tmp_path / "state" / "pepper").exists()
    elsewhere = KeyTable(tmp_path / "state" / "spillway.db", secret)
    assert elsewhere.is_good(made.stdout.split()[0])
    elsewhere.close()


@pytest.mark.parametrize("words", [("keys", "create"), ("keys", "create", "--init"), ("gateway",)], ids=" ".join)
def test_it_is_not_made_when_it_is_missing(secret: Path, words: tuple[str, ...]) -> None:
    """The message names the file and how to make one; two gateways would otherwise make two."""
    error = _run(*words).exception
    assert isinstance(error, CliError)
    assert error.what == f"no pepper in {secret}"
    assert "head -c 32" in error.fix
    assert not secret.exists()


def test_the_next_one_is_made_where_the_first_one_is_from(secret: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that cannot be written says so, with what to do."""
    secret.write_bytes(os.urandom(32))

    def refuse(*_: object, **__: object) -> int:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(os, "link", refuse)
    error = _run("keys", "new-pepper").exception
    assert isinstance(error, CliError)
    assert "`pepper.2`" in error.fix
