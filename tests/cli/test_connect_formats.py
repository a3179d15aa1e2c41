"""Edits of clients' settings: ours come in, everything else stays as it was."""

from __future__ import annotations

import json
import tomllib

import pytest

from controller.cli.connect_formats import edit_env, edit_json_env, edit_toml
from controller.cli.errors import CliError

NEW = {"URL": "http://gw", "KEY": "sp-1"}
TOP, TABLE, VALUES = {"model": "auto", "model_provider": "spillway"}, "model_providers.spillway", {"name": "Spillway"}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param("", "URL=http://gw\nKEY=sp-1\n", id="none"),
        pytest.param("# mine\nA=1", "# mine\nA=1\nURL=http://gw\nKEY=sp-1\n", id="comment, no newline"),
        pytest.param("KEY=old # x\nA=1\n", "KEY=sp-1\nA=1\nURL=http://gw\n", id="in place"),
        pytest.param("export KEY='old'\n", "export KEY=sp-1\nURL=http://gw\n", id="export"),
        pytest.param("A=1\r\n", "A=1\r\nURL=http://gw\r\nKEY=sp-1\r\n", id="CRLF"),
        pytest.param("#KEY=old\nKEYS=2\n", "#KEY=old\nKEYS=2\nURL=http://gw\nKEY=sp-1\n", id="alike"),
        pytest.param("KEY=1\nKEY=2\n", "KEY=sp-1\nKEY=sp-1\nURL=http://gw\n", id="twice"),
    ],
)
def test_env_lines(before: str, after: str) -> None:
    """Known names change in place, new ones follow, the newline style stays."""
    assert edit_env(before, NEW) == after


@pytest.mark.parametrize(
    "before",
    [
        pytest.param("", id="none"),
        pytest.param('{"model": "opus", "env": {"A": "1", "KEY": "old"}, "hooks": {}}', id="one line"),
        pytest.param('{\n    "env": {},\n    "x": "\u00e9"\n}\n', id="four blanks"),
        pytest.param('{\r\n\t"permissions": {"deny": []}\r\n}\r\n', id="tabs and CRLF"),
    ],
)
def test_json_env(before: str) -> None:
    """The env object has ours besides its own; order, indent, newline style and end stay."""
    after = edit_json_env(before, NEW)
    old, new = json.loads(before or "{}"), json.loads(after)
    assert new == {**old, "env": {**old.get("env", {}), **NEW}}
    assert list(new)[: len(old)] == list(old)
    assert after.endswith("\n") == (before.endswith("\n") or not before)
    assert ("\r\n" in after) == ("\r\n" in before)
    for indent in ("    ", "\t"):
        assert f'\n{indent}"' not in before or f'\n{indent}"' in after


@pytest.mark.parametrize("before", ["// mine\n{}", "[]", '{"env": []}', '{"env": {'])
def test_json_that_cannot_be_edited_is_refused(before: str) -> None:
    """Comments, other shapes and broken files are told, not overwritten."""
    with pytest.raises(CliError, match="settings file"):
        edit_json_env(before, NEW)


@pytest.mark.parametrize(
    "before",
    [
        pytest.param("", id="none"),
        pytest.param('# mine\nmodel = "o3"  # best\napproval = "never"\n\n[mcp.x]\ncommand = "y"', id="comments"),
        pytest.param('[model_providers.azure]\nname = "Azure"\n\n[tui]\ntheme = "dark"\n', id="another provider"),
        pytest.param('list = [\n  "a",\n  "b",\n]\n[[hooks]]\nx = 1\n', id="lists"),
        pytest.param("a = 1\r\n[t]\r\nb = 2\r\n", id="CRLF"),
    ],
)
def test_toml(before: str) -> None:
    """Ours come in, all else parses to the same, and no comment but that of a replaced line is lost."""
    after = edit_toml(before, TOP, TABLE, VALUES)
    old, new = tomllib.loads(before), tomllib.loads(after)
    providers = {**old.get("model_providers", {}), "spillway": VALUES}
    assert new == {**old, **TOP, "model_providers": providers}
    assert "# mine" not in before or "# mine" in after


@pytest.mark.parametrize(
    "before",
    [
        pytest.param('[model_providers.spillway]\nname = "other"\n', id="the table is there"),
        pytest.param("model_providers = {}\n", id="inline table"),
        pytest.param('text = """\nmodel = "x"\n"""\n', id="a line of ours within a text"),
        pytest.param("model = ", id="broken"),
    ],
)
def test_toml_that_cannot_be_edited_is_refused(before: str) -> None:
    """Nothing is guessed: what would change anything else is refused."""
    with pytest.raises(CliError, match="settings file"):
        edit_toml(before, TOP, TABLE, VALUES)
