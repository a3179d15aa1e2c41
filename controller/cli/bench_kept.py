"""What a bench has whole, kept line by line as it comes, so that one that was ended goes on from there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import is_dataclass
from hashlib import sha256
from pathlib import Path
from typing import get_args, get_origin, get_type_hints

import controller
from controller.cli.errors import EXIT_USAGE, CliError
from controller.cli.output import plain

MEASURED = ("core", "catalogue", "routing", "autoscale", "replay")  # packages that make the figures
UNMEASURED = (".pyc", ".md")  # say nothing of what is run


class Kept:
    """A file of results. Its first line says of what: what was planned, and the code that runs it."""

    def __init__(self, file: Path, planned: object, kind: type) -> None:
        """Afterwards the file is there. CliError when it is of another bench."""
        self._file, self._kind = file, kind
        head = {"plan": plain(planned), "code": code_digest()}
        lines = self._lines() if file.exists() else [_line(head)]
        if not lines or lines[0] != _line(head):
            raise CliError(
                f"{file} is of another bench", "other options or other code; remove it or name another file",
                exit_code=EXIT_USAGE,
            )  # fmt: skip
        file.write_text("".join(lines), encoding="utf-8")

    def results(self) -> Iterator[object]:
        """All that are whole, as they came; a last line that was cut off is not."""
        for line in self._lines()[1:]:
            yield revived(self._kind, json.loads(line))

    def add(self, result: object) -> None:
        """One more."""
        with self._file.open("a", encoding="utf-8") as file:
            file.write(_line(plain(result)))

    def _lines(self) -> list[str]:
        """Those that have their end."""
        lines = self._file.read_text(encoding="utf-8").splitlines(keepends=True)
        return [line for line in lines if line.endswith("\n")]


def revived(kind: object, data: object) -> object:
    """What `plain` made of dataclasses and tuples of them, as it was."""
    if isinstance(kind, type) and is_dataclass(kind) and isinstance(data, dict):
        hints = get_type_hints(kind)
        return kind(**{name: revived(hints[name], value) for name, value in data.items()})
    if get_origin(kind) is tuple and isinstance(data, list):
        return tuple(revived(get_args(kind)[0], one) for one in data)
    return data


def code_digest() -> str:
    """Of the packages that make the figures: every file of code and data."""
    root, digest = Path(controller.__file__).parent, sha256()
    for package in MEASURED:
        for file in sorted((root / package).rglob("*")):
            if file.is_file() and file.suffix not in UNMEASURED:
                digest.update(f"{file.relative_to(root)} {file.stat().st_size}\n".encode())
                digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def _line(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n"
