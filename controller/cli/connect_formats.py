"""Edits of other programs' settings as text: everything that is not ours stays as it is, comments too.

Each edit is a function of (text, values); what cannot be edited safely is refused with the reason.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping

from controller.cli.errors import EXIT_FAILED, CliError


def _newline(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def edit_env(text: str, values: Mapping[str, str]) -> str:
    """`NAME=value` lines: those that are there get the new value where they stand, the others follow at the end."""
    newline, missing = _newline(text), dict(values)
    lines = text.splitlines(keepends=True)
    for place, line in enumerate(lines):
        found = re.match(r"\s*(export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=", line)
        if found and found[2] in values:
            lines[place] = f"{found[1] or ''}{found[2]}={values[found[2]]}{newline}"
            missing.pop(found[2], None)
    if lines and not lines[-1].endswith("\n"):
        lines[-1] += newline
    lines += [f"{name}={value}{newline}" for name, value in missing.items()]
    return "".join(lines)


def edit_json_env(text: str, values: Mapping[str, str]) -> str:
    """The `env` object of a JSON settings file; other settings, their order and the indent stay."""
    try:
        document = json.loads(text) if text.strip() else {}
    except ValueError as error:
        raise CliError("the settings file is not JSON", str(error), "mend it, or remove its comments") from error
    if not isinstance(document, dict) or not isinstance(document.get("env", {}), dict):
        raise CliError("the settings file is not as expected", "it must be an object, and its `env` one too")
    document["env"] = {**document.get("env", {}), **values}
    found = re.search(r"\n([ \t]+)\S", text)
    indent = found[1] if found else "  "
    newline = _newline(text)
    made = json.dumps(document, indent=indent, ensure_ascii=False) + ("\n" if text.endswith("\n") or not text else "")
    return made.replace("\n", newline)


def edit_toml(text: str, top: Mapping[str, str], table: str, values: Mapping[str, str]) -> str:
    """Top-level strings, and one table of strings at the end. Checked: the parsed result differs in these alone."""
    try:
        before = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise CliError("the settings file is not TOML", str(error), "mend it first") from error
    newline = _newline(text)
    head, tail = _split_at_first_table(text)
    rest = "".join([*(line for line in head if not _sets_one_of(line, top)), *tail])
    if rest and not rest.endswith("\n"):
        rest += newline
    ours = [f"{name} = {_quoted(value)}{newline}" for name, value in top.items()]
    block = [f"[{table}]{newline}", *(f"{name} = {_quoted(value)}{newline}" for name, value in values.items())]
    made = "".join([*ours, newline, rest, newline if rest else "", *block])
    if _parsed(made) != _expected(before, top, table, values):
        raise CliError(
            "the settings file cannot be edited safely",
            f"it sets {', '.join(top)} or [{table}] in a way this command does not know",
            "put in by hand what `spillway connect` prints without --write",
            exit_code=EXIT_FAILED,
        )
    return made


def _split_at_first_table(text: str) -> tuple[list[str], list[str]]:
    lines = text.splitlines(keepends=True)
    for place, line in enumerate(lines):
        if line.lstrip().startswith("["):
            return lines[:place], lines[place:]
    return lines, []


def _sets_one_of(line: str, names: Mapping[str, str]) -> bool:
    found = re.match(r"\s*([A-Za-z0-9_-]+)\s*=", line)
    return found is not None and found[1] in names


def _quoted(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)  # a JSON string is a basic string of TOML


def _parsed(text: str) -> dict[str, object] | None:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return None


def _expected(
    before: dict[str, object], top: Mapping[str, str], table: str, values: Mapping[str, str]
) -> dict[str, object]:
    document: dict[str, object] = {**before, **top}
    group, _, name = table.partition(".")
    held = before.get(group, {})
    document[group] = {**(held if isinstance(held, dict) else {}), name: dict(values)}
    return document
