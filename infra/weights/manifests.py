"""Two documents a model in the bucket: what its stack wants (made by Pulumi), and what was put there, with its sums."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import cast

from infra.weights.files import WeightsRefused

WANTED = "manifests/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Weights that a stack's model is to be served with, and the folder of the bucket in which they lie."""

    model: str
    repository: str
    revision: str
    prefix: str  # ends in a slash


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSum:
    """What one file has to be."""

    size_bytes: int
    sha256: str


def folder_of(model: str, revision: str) -> str:
    """Where a commit of a model lies."""
    return f"models/{model}/{revision}/"


def wanted_key(model: str) -> str:
    """Where it stands what a model wants."""
    return f"{WANTED}{model}.json"


def wanted_text(wanted: Wanted) -> str:
    """The document of what is wanted."""
    return _text(asdict(wanted))


def parse_wanted(text: str, key: str) -> Wanted:
    """What the document under that key says; WeightsRefused where it is none."""
    said = _mapping(text, key)
    words = {field.name: said.get(field.name) for field in fields(Wanted)}
    for name, value in words.items():
        if not isinstance(value, str) or not value:
            raise WeightsRefused(f"{key}: {name} must be a word, not {value!r}")
    return Wanted(**cast("dict[str, str]", words))


def sums_key(wanted: Wanted) -> str:
    """Where the sums of a commit are: below what is wanted, so that a new commit does not meet those of an old one."""
    return f"{WANTED}{wanted.model}/{wanted.revision}.json"


def sums_text(wanted: Wanted, sums: Mapping[str, FileSum]) -> str:
    """The document of what was put there; it is written when every file is."""
    files = {name: asdict(one) for name, one in sums.items()}
    return _text({"repository": wanted.repository, "revision": wanted.revision, "files": files})


def parse_sums(text: str, key: str) -> dict[str, FileSum]:
    """Sums by file name; WeightsRefused where the document is none."""
    files = _mapping(text, key).get("files")
    try:
        return {
            name: FileSum(size_bytes=int(cast("int", one["size_bytes"])), sha256=str(one["sha256"]))
            for name, one in cast("Mapping[str, Mapping[str, object]]", files).items()
        }
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise WeightsRefused(f"{key}: files must have size_bytes and sha256 each") from error


def _text(said: Mapping[str, object]) -> str:
    return json.dumps(said, indent=2, sort_keys=True) + "\n"


def _mapping(text: str, key: str) -> Mapping[str, object]:
    try:
        said = json.loads(text)
    except ValueError as error:
        raise WeightsRefused(f"{key} is no JSON: {error}") from error
    if not isinstance(said, Mapping):
        raise WeightsRefused(f"{key} must be an object, not {str(said)[:100]!r}")
    return cast("Mapping[str, object]", said)
