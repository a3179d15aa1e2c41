"""Reads a YAML file into plain values and remembers on which line each key stands."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from controller.core.errors import Problem

Place = tuple[str | int, ...]

FILE_BYTES_MAX = 1024 * 1024
NODES_MAX = 50_000
DEPTH_MAX = 32
_SIZE = f"at most {NODES_MAX} values in {DEPTH_MAX} levels, aliases counted as often as used"
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TEXT, _MERGE = "tag:yaml.org,2002:str", "tag:yaml.org,2002:merge"


class Spelling:
    """How a source names its keys, and what it calls things: this is spillway.yaml's."""

    def key(self, place: Place) -> str:
        """The name of the key at `place`."""
        return key_words(place)

    def words(self, text: str) -> str:
        """The text with the names that the source's reader knows."""
        return text


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """Where settings stand: a file's content, whose `lines` count from 1, or something without lines.

    Without lines all of it was written there; what a file does not have comes from the built-in configuration.
    """

    file: str | None
    content: dict[str, object] = field(default_factory=dict)
    lines: dict[Place, int] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    has_lines: bool = True
    spelling: Spelling = field(default_factory=Spelling)

    def has(self, place: Place) -> bool:
        """Whether the very key was written there."""
        return place in self.lines or not self.has_lines

    def covers(self, place: Place) -> bool:
        """Whether the key, or one above it, was written there."""
        return self.line_of(place) is not None or not self.has_lines

    def line_of(self, place: Place) -> int | None:
        """The line of the key, or of the nearest one above it that stands in the file."""
        for length in range(len(place), 0, -1):
            if place[:length] in self.lines:
                return self.lines[place[:length]]
        return None


def read_document(file: Path) -> Document:
    """The file, or the one problem that kept it from being read."""
    try:
        with file.open("rb") as source:
            raw = source.read(FILE_BYTES_MAX + 1)
        if len(raw) > FILE_BYTES_MAX:
            return _unreadable(file, None, "is too large", f"at most {FILE_BYTES_MAX} bytes")
        return parse_document(raw.decode("utf-8"), file)
    except OSError as error:
        return _unreadable(file, None, f"cannot be read: {error.strerror}", "a readable file")
    except UnicodeDecodeError:
        return _unreadable(file, None, "is not text", "UTF-8 text")


def parse_document(text: str, file: Path) -> Document:
    """The text as values with their lines; duplicate keys are problems."""
    loader = _LOADER(text)
    lines: dict[Place, int] = {}
    problems: list[Problem] = []
    try:
        node = loader.get_single_node()
        if node is None:
            return Document(file=str(file))
        for count, (place, line, first_line) in enumerate(_walk(node, ()), start=1):
            if count > NODES_MAX or len(place) > DEPTH_MAX:
                return _unreadable(file, line, "is too deep or too large", _SIZE)
            if first_line is not None:
                problems.append(
                    Problem(
                        file=str(file),
                        line=line,
                        key=key_words(place),
                        value=None,
                        allowed="each key once",
                        message=f"stands twice, first on line {first_line}",
                    )
                )
            lines[place] = line
        content = loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        return _unreadable(
            file, None if mark is None else mark.line + 1, f"is not YAML: {error.problem or error}", "YAML"
        )
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        return _unreadable(file, None, f"is not YAML: {str(error).splitlines()[0]}", "YAML")
    finally:
        loader.dispose()
    if not isinstance(content, dict):
        return _unreadable(file, 1, "must hold keys and values", "a mapping such as `phase: phase1`")
    return Document(file=str(file), content=content, lines=lines, problems=tuple(problems))


def key_words(place: Place) -> str:
    """`pools[0].engine.weights`, on one line whatever the keys are; the name of the file's top for an empty place."""
    words = ""
    for part in place:
        words += f"[{part}]" if isinstance(part, int) else f".{part}" if words else part
    return "".join(char if char.isprintable() else " " for char in words) or "spillway.yaml"


def _walk(node: yaml.Node, place: Place) -> Iterator[tuple[Place, int, int | None]]:
    """(place, line, line of its first occurrence if this is a repetition) of everything below a node."""
    if isinstance(node, yaml.MappingNode):
        seen: dict[str, int] = {}
        for key_node, value_node in node.value:
            if isinstance(key_node, yaml.ScalarNode) and key_node.tag != _MERGE:
                key_node.tag = _TEXT  # keys are text as written: `1`, `on` and `~` are names like any other
            key, line = str(key_node.value), key_node.start_mark.line + 1
            yield (*place, key), line, seen.get(key)
            seen.setdefault(key, line)
            yield from _walk(value_node, (*place, key))
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield (*place, index), item.start_mark.line + 1, None
            yield from _walk(item, (*place, index))


def _unreadable(file: Path, line: int | None, message: str, allowed: str) -> Document:
    problem = Problem(file=str(file), line=line, key="file", value=None, allowed=allowed, message=message)
    return Document(file=str(file), problems=(problem,))
