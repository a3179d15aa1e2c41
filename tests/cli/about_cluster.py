"""How the tests call a command about the cluster of the context `demo`."""

from __future__ import annotations

import json

from typer.testing import CliRunner, Result

from controller.cli.errors import CliError
from controller.cli.main import build_app
from controller.cli.output import console, words

WHY = ("--reason", "driver update", "--who", "ada")


def run(*typed: str) -> Result:
    """One call as `spillway` would make it, about the context `demo`."""
    console.cache_clear()
    words.cache_clear()
    return CliRunner().invoke(build_app(), [*typed, "--context", "demo"])


def refused(*typed: str) -> CliError:
    """The error of a command that must not work."""
    error = run(*typed).exception
    assert isinstance(error, CliError), error
    assert error.what
    assert error.fix or error.why
    return error


def document(*typed: str) -> object:
    """The data of a command with --json."""
    result = run(*typed, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)["data"]
