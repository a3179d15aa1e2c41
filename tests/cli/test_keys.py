"""`spillway keys`: shown once, listed without text, revoked for good."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from controller.adapters.key_store import KeyTable
from controller.adapters.peppers import load_pepper
from controller.cli import keys
from controller.cli.errors import EXIT_UNCHANGED, EXIT_USAGE, CliError
from controller.core.keys import key_matches, split_key


def _run(state_dir: Path, *arguments: str) -> Result:
    load_pepper(state_dir / "pepper")  # as a gateway leaves it
    app = typer.Typer()
    app.callback()(lambda: None)
    keys.register(app)
    return CliRunner().invoke(app, ["keys", *arguments, "--state-dir", str(state_dir)])


def _json(result: Result) -> object:
    assert result.exception is None, result.output
    return json.loads(result.stdout)["data"]


def test_a_created_key_is_alone_on_stdout_and_works(tmp_path: Path) -> None:
    """`KEY=$(spillway keys create)` holds a key that verifies; words go to stderr."""
    result = _run(tmp_path, "create", "laptop", "--tenant", "acme")
    assert result.exit_code == 0, result.output
    public_id, secret = split_key(result.stdout.strip()) or ("", "")
    store = KeyTable(tmp_path / "spillway.db", tmp_path / "pepper")
    record = store.find(public_id)
    assert record is not None
    assert (record.tenant, record.name) == ("acme", "laptop")
    assert key_matches(record, store.peppers.first, secret)
    store.close()
    assert "cannot be shown again" in result.stderr
    assert secret not in result.stderr


def test_create_list_revoke_as_json(tmp_path: Path) -> None:
    """The whole life of a key by JSON; its text is in the first document only."""
    made = _json(_run(tmp_path, "create", "--json"))
    assert isinstance(made, dict)
    listed = _run(tmp_path, "list", "--json")
    assert made["key"] not in listed.stdout
    (row,) = _json(listed)  # type: ignore[misc]
    assert row.pop("limits")["requests_per_min"] is None
    assert row == {name: value for name, value in made.items() if name != "key"}
    gone = _json(_run(tmp_path, "revoke", made["public_id"], "--json"))
    assert isinstance(gone, dict)
    assert gone["changed"] is True
    assert gone["revoked_at"] is not None
    again = _json(_run(tmp_path, "revoke", made["public_id"], "--json"))
    assert again == {**gone, "changed": False}


def test_revoking_twice_is_fine_unless_asked(tmp_path: Path) -> None:
    """A second revoke exits 0, or 3 with --error-unchanged."""
    made = _json(_run(tmp_path, "create", "--json"))
    assert isinstance(made, dict)
    assert "revoked" in _run(tmp_path, "revoke", made["public_id"], "--yes").stdout
    again = _run(tmp_path, "revoke", made["public_id"], "--yes")
    assert (again.exit_code, again.stdout) == (0, f"key/{made['public_id']} was revoked already\n")
    assert _run(tmp_path, "revoke", made["public_id"], "--error-unchanged").exit_code == EXIT_UNCHANGED
    assert "revoked" in _run(tmp_path, "list").stdout


def test_an_unknown_id_is_refused_with_a_suggestion(tmp_path: Path) -> None:
    """A typo names the closest key; a whole key pasted by mistake is not repeated."""
    made = _json(_run(tmp_path, "create", "--json"))
    assert isinstance(made, dict)
    close = _run(tmp_path, "revoke", made["public_id"][:-1]).exception
    assert isinstance(close, CliError)
    assert made["public_id"] in close.why
    far = _run(tmp_path, "revoke", "zzz").exception
    assert isinstance(far, CliError)
    assert far.why == "no key has this ID"
    pasted = _run(tmp_path, "revoke", made["key"]).exception
    assert isinstance(pasted, CliError)
    assert made["key"] not in f"{pasted.what}{pasted.why}{pasted.fix}"


@pytest.mark.parametrize("name", ["", "two words", "-dash", "x" * 65, "new\nline"])
def test_a_name_that_would_break_a_table_is_refused(tmp_path: Path, name: str) -> None:
    """Names and tenants are short and plain; exit code 2."""
    error = _run(tmp_path, "create", "--tenant", name).exception
    assert isinstance(error, CliError)
    assert error.exit_code == EXIT_USAGE


def test_an_empty_list_says_what_to_do(tmp_path: Path) -> None:
    """No keys: nothing on stdout, the command to make one on stderr."""
    result = _run(tmp_path, "list")
    assert result.stdout == ""
    assert "spillway keys create" in result.stderr


def test_the_list_has_the_limits_of_each_tenant(tmp_path: Path) -> None:
    """As the configuration has them."""
    config = tmp_path / "spillway.yaml"
    config.write_text(
        "tenants:\n  '*': {requests_per_min: 60}\n  acme: {usd_per_day: 5, residency: own}\n"
        "  zoo: {requests_per_min: null}\n"
    )
    for tenant in ("acme", "zoo", "other"):
        assert _run(tmp_path, "create", tenant, "--tenant", tenant).exit_code == 0
    shown = _run(tmp_path, "list", "--config", str(config)).stdout
    limits = {line.split()[1]: line for line in shown.splitlines()[1:]}
    assert limits["acme"].endswith("60 requests/min, 5 USD/day, all; own GPUs only")
    assert limits["zoo"].endswith("none")
    listed = _json(_run(tmp_path, "list", "--config", str(config), "--json"))
    assert isinstance(listed, list)
    assert {row["tenant"]: row["limits"]["requests_per_min"] for row in listed} == {
        "acme": 60,
        "zoo": None,
        "other": 60,
    }
    assert {row["pepper"] for row in listed} == {1}


def test_a_new_pepper(tmp_path: Path) -> None:
    """Says which file to copy and how many keys are under older ones; new keys are under it."""
    _run(tmp_path, "create", "old")
    told = _run(tmp_path, "new-pepper")
    assert told.stdout == "pepper/2 made\n"
    assert "1 live keys" in told.stderr
    assert (tmp_path / "pepper.2").stat().st_mode & 0o777 == 0o600
    made = _json(_run(tmp_path, "create", "new", "--json"))
    assert isinstance(made, dict)
    assert made["pepper"] == 2
    assert _json(_run(tmp_path, "new-pepper", "--json")) == {
        "pepper": 3, "file": str(tmp_path / "pepper.3"), "live_keys_under_older": 2,
    }  # fmt: skip
