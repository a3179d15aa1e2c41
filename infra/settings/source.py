"""Where the settings of a stack stand: the file of the stack, or what Pulumi hands the program."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import cast

from controller.catalogue.document import Document, read_document
from controller.core.errors import Problem
from infra.checks.words import NAMESPACE, StackSpelling

_OURS = f"{NAMESPACE}:"
_SPELLING = StackSpelling()
_NEEDS_CONFIG = "a mapping with `config`, whose keys begin with `spillway:`"


def of_file(path: Path) -> Document:
    """What stands under `spillway:` in the file, with its lines; with problems alone where it cannot be read."""
    document = read_document(path)
    config = document.content.get("config", {})
    if document.problems and not document.content:
        return replace(document, spelling=_SPELLING, has_lines=False)
    if not isinstance(config, dict):
        problem = Problem(
            file=str(path), line=document.line_of(("config",)), key="config", value=None, allowed=_NEEDS_CONFIG,
            message="must be a mapping",
        )  # fmt: skip
        return Document(file=str(path), problems=(problem,), has_lines=False, spelling=_SPELLING)
    lines = {
        (str(place[1]).removeprefix(_OURS), *place[2:]): line
        for place, line in document.lines.items()
        if len(place) > 1 and place[0] == "config" and str(place[1]).startswith(_OURS)
    }
    return Document(
        file=str(path),
        content=_ours({str(key): value for key, value in cast("dict[object, object]", config).items()}),
        lines=lines,
        problems=document.problems,
        has_lines=False,
        spelling=_SPELLING,
    )


def of_config(config: Mapping[str, object]) -> Document:
    """Pulumi's own configuration: objects may come as JSON, keys with `spillway:` before them or without."""
    return Document(file=None, content=_ours(config), has_lines=False, spelling=_SPELLING)


def _ours(config: Mapping[str, object]) -> dict[str, object]:
    """Values under our own namespace; other namespaces (`aws:region`) are not ours to judge."""
    return {
        key.removeprefix(_OURS): _plain(value)
        for key, value in config.items()
        if key.startswith(_OURS) or ":" not in key
    }


def _plain(value: object) -> object:
    if isinstance(value, str) and value[:1] in {"{", "["}:
        try:
            plain: object = json.loads(value)
        except ValueError:
            return value
        return plain
    return value
