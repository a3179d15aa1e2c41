"""Reads the settings of a stack, out of its file or out of what Pulumi hands the program."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import yaml
from pydantic import ValidationError

from controller.core.errors import Problem
from infra.schema.stack import StackSettings
from infra.settings.problems import StackProblems

NAMESPACE = "spillway"


def load_stack(path: Path | str) -> StackSettings:
    """The settings in `Pulumi.<stack>.yaml`; StackProblems with everything that is wrong."""
    file = Path(path)
    document = yaml.safe_load(file.read_text(encoding="utf-8"))
    return _checked(_ours(document.get("config", {})), str(file))


def from_config(config: Mapping[str, object]) -> StackSettings:
    """The settings in Pulumi's own configuration; objects may come as JSON, keys with `spillway:` before them."""
    return _checked(_ours(config), None)


def _ours(config: Mapping[str, object]) -> dict[str, object]:
    """Values under our own namespace; other namespaces (`aws:region`) are not ours to judge."""
    ours: dict[str, object] = {}
    for key, value in config.items():
        namespace, colon, name = key.partition(":")
        if not colon or namespace == NAMESPACE:
            ours[name if colon else key] = _plain(value)
    return ours


def _plain(value: object) -> object:
    if isinstance(value, str) and value[:1] in {"{", "["}:
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def _checked(values: Mapping[str, object], file: str | None) -> StackSettings:
    try:
        return StackSettings.model_validate(values)
    except ValidationError as error:
        problems = tuple(
            Problem(
                file=file,
                line=None,
                key=f"{NAMESPACE}:" + ".".join(str(part) for part in detail["loc"]),
                value=str(detail["input"])[:80],
                allowed="see infra/README.md",
                message=detail["msg"],
            )
            for detail in error.errors(include_url=False)
        )
        raise StackProblems(problems) from error
