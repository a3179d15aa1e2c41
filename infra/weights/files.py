"""Files of a repository at a commit, as the Hugging Face hub lists them, and those of them that an engine reads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import cast

from controller.core.errors import SpillwayError

# vLLM reads safetensors; beside them repositories keep the same weights in other formats, which nobody shall pay for.
_TOO_MANY = (
    ".bin",
    ".pt",
    ".pth",
    ".gguf",
    ".h5",
    ".msgpack",
    ".onnx",
    ".ot",
    ".tflite",
    ".md",
    ".png",
    ".jpg",
    ".pdf",
)
_WEIGHTS = ".safetensors"
_UNSAFE = ("..", "")


class WeightsRefused(SpillwayError):
    """Weights that are not what they should be, or cannot be had; the words say which and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HubFile:
    """One file of a commit. `sha256` is known of large files; of the others the git object, which is a sum as well."""

    name: str
    size_bytes: int
    git_oid: str
    sha256: str | None


def parse_tree(rows: object) -> tuple[HubFile, ...]:
    """The files of one answer of `/api/models/REPOSITORY/tree/COMMIT`; WeightsRefused if it is not such an answer."""
    if not isinstance(rows, list):
        raise WeightsRefused(f"the hub answered no list of files but {str(rows)[:100]}")
    files = [row for row in cast("list[object]", rows) if not _is_folder(row)]
    return tuple(_file(row) for row in files)


def _is_folder(row: object) -> bool:
    return isinstance(row, Mapping) and cast("Mapping[str, object]", row).get("type") == "directory"


def _file(row: object) -> HubFile:
    try:
        said = cast("Mapping[str, object]", row)
        large = cast("Mapping[str, object]", said.get("lfs") or {})
        name, size, oid = said["path"], said["size"], said["oid"]
        sha256 = large.get("oid")
        known = sha256 is None or _is_hex(sha256, 64)
        if not isinstance(name, str) or not isinstance(size, int) or not _is_hex(oid, 40) or not known:
            raise TypeError
    except (AttributeError, KeyError, TypeError) as error:
        raise WeightsRefused(f"the hub names a file without path, size or sum: {str(row)[:200]}") from error
    if any(part in _UNSAFE for part in name.split("/")):
        raise WeightsRefused(f"the hub names a file that would lie elsewhere: {name[:200]!r}")
    return HubFile(name=name, size_bytes=size, git_oid=cast("str", oid), sha256=cast("str | None", sha256))


def _is_hex(value: object, digits: int) -> bool:
    return isinstance(value, str) and len(value) == digits and not set(value) - set("0123456789abcdef")


def needed(files: Iterable[HubFile]) -> tuple[HubFile, ...]:
    """Those that vLLM reads: safetensors, configuration, tokenizer of the top folder; WeightsRefused without weights.

    A repository may hold the weights twice, as `consolidated*` and in parts: the parts are what vLLM reads by default.
    """
    top = [file for file in files if "/" not in file.name and not file.name.startswith(".")]
    kept = [file for file in top if not file.name.lower().endswith(_TOO_MANY)]
    if any(_is_weights(file) and not _is_whole(file) for file in kept):
        kept = [file for file in kept if not _is_whole(file)]
    if not any(_is_weights(file) for file in kept):
        raise WeightsRefused(
            "there are no safetensors in the top folder of the repository, and engines read nothing else"
        )
    return tuple(sorted(kept, key=lambda file: file.name))


def _is_weights(file: HubFile) -> bool:
    return file.name.endswith(_WEIGHTS)


def _is_whole(file: HubFile) -> bool:
    return file.name.startswith("consolidated")
