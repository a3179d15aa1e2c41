"""`spillway route explain` of what is no request, or one that the gateway would refuse."""

from __future__ import annotations

from pathlib import Path

import pytest
from explained import CHAT, NEVER, SECRET, explain
from published import run as run_command

from controller.cli import route
from controller.cli.errors import EXIT_FAILED, EXIT_USAGE, CliError, error_document, exit_code_of
from controller.core.errors import RequestError, SpillwayError

pytestmark = pytest.mark.usefixtures("bare")
HUGE = [{"role": "user", "content": "x" * 11_000_000}]


def refusal(document: object, *arguments: str) -> SpillwayError:
    """The error that ends the command."""
    error = explain(document, *arguments).exception
    assert isinstance(error, SpillwayError), error
    assert SECRET not in f"{error}{error_document(error)}"
    return error


@pytest.mark.parametrize(
    ("document", "arguments", "code", "words"),
    [
        pytest.param({**CHAT, "model": "gpt-4x"}, (), "model_not_found", "did you mean gpt-4o", id="unknown model"),
        pytest.param({**CHAT, "model": None}, (), "invalid_value", "`model`", id="no model"),
        pytest.param([CHAT], (), "invalid_json", "must be a JSON object", id="no object"),
        pytest.param({**CHAT, "metadata": {"task": "poetry"}}, (), "unknown_task", "allowed: ", id="unknown task"),
        pytest.param({**CHAT, "temperature": 9}, (), "invalid_value", "between 0 and 2", id="out of range"),
        pytest.param(CHAT, ("--operation", "embeddings"), "invalid_value", "`input`", id="another API's fields"),
        pytest.param(CHAT, ("--header", "x-spillway-spill: no"), "invalid_value", "'auto' or", id="header value"),
        pytest.param({**CHAT, "model": "gpt-4o"}, NEVER, "no_own_target", "forbids", id="no own"),
        pytest.param({**CHAT, "messages": HUGE}, (), "request_too_large", "larger than", id="too large"),
    ],
)  # fmt: skip
def test_what_the_gateway_would_refuse(document: object, arguments: tuple[str, ...], code: str, words: str) -> None:
    """The gateway's own refusal in one line, exit code 1, with its code and status as data."""
    error = refusal(document, *arguments)
    assert isinstance(error, RequestError)
    assert (error.code, exit_code_of(error)) == (code, EXIT_FAILED)
    assert words in str(error)
    assert error_document(error)["status"] == error.status


@pytest.mark.parametrize("arguments", [(), ("--operation", "chat")])
def test_broken_json_is_wrong_usage(arguments: tuple[str, ...]) -> None:
    """Exit code 2 with the place, and none of the text."""
    error = refusal(f'{{"model": "auto", "messages": {SECRET}'.encode(), *arguments)
    assert exit_code_of(error) == EXIT_USAGE
    assert "stdin is not JSON" in str(error)


def test_a_missing_file_is_wrong_usage(tmp_path: Path) -> None:
    """Exit code 2, and so is a folder."""
    for name in ("nowhere.json", str(tmp_path)):
        error = run_command(route.register, "route", "explain", name).exception
        assert isinstance(error, CliError)
        assert (error.exit_code, error.what) == (EXIT_USAGE, f"cannot read {name}")


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("x-spillway-taks: critique", "did you mean x-spillway-task?"),
        ("x-spillway-favourite-colour: red", "allowed: x-spillway-task"),
        ("no colon", "'name: value'"),
        (": value", "'name: value'"),
    ],
)
def test_a_header_that_does_nothing_is_refused(header: str, words: str) -> None:
    """A typo in a header would explain another request than the one meant."""
    error = refusal(CHAT, "--header", header)
    assert isinstance(error, CliError)
    assert (error.exit_code, words in error.why) == (EXIT_USAGE, True)


def test_other_headers_are_taken_as_they_are() -> None:
    """Copied from an application: those that say nothing about routing change nothing, and no value is shown."""
    result = explain(CHAT, "--header", "Authorization: Bearer sp-secret", "--header", "X-Stainless-Read-Timeout: 5")
    assert result.exit_code == 0
    assert "sp-secret" not in result.output
