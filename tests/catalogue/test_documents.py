"""YAML files as values and lines: what can be read, and the one problem that kept a file from being read."""

from __future__ import annotations

from pathlib import Path

import pytest

from controller.catalogue.document import DEPTH_MAX, FILE_BYTES_MAX, key_words, parse_document, read_document

DEEP = "".join("  " * level + "k:\n" for level in range(DEPTH_MAX + 1)) + "  " * (DEPTH_MAX + 1) + "v\n"


@pytest.mark.parametrize(
    ("raw", "line", "message"),
    [
        (None, None, "cannot be read: No such file or directory"),
        (b"a: 1\n" + b"#" * FILE_BYTES_MAX, None, "is too large"),
        (b"a: ph\xe4se", None, "is not text"),
        (b"- one\n- two\n", 1, "must hold keys and values"),
        (b"a: 1\nb: [\n", 3, "is not YAML: did not find expected node content"),
        (b"a: 2026-13-45\n", None, "is not YAML: month must be in 1..12"),
        (DEEP.encode(), DEPTH_MAX + 1, "is too deep or too large"),
    ],
    ids=["missing", "large", "latin-1", "list", "broken", "no-date", "deep"],
)
def test_a_file_that_cannot_be_read_has_one_problem(
    tmp_path: Path, raw: bytes | None, line: int | None, message: str
) -> None:
    """It names the file, the line where there is one, and what would do; the content is empty."""
    file = tmp_path / "some.yaml"
    if raw is not None:
        file.write_bytes(raw)
    document = read_document(file)
    assert [(problem.file, problem.line, problem.message) for problem in document.problems] == [
        (str(file), line, message)
    ]
    assert document.content == {}


def test_a_key_is_shown_on_one_line() -> None:
    """Whatever characters it has."""
    assert key_words(("a", 0, "b\n\x1bc")) == "a[0].b  c"


def test_an_empty_file_holds_nothing() -> None:
    """And has no problem."""
    document = parse_document("# nothing yet\n", Path("some.yaml"))
    assert (document.content, document.problems) == ({}, ())


def test_keys_have_lines_and_stand_once() -> None:
    """A key that stands twice is told with both lines; keys of a merge count where they are written."""
    text = "base: &base {x: 1}\nlist:\n- a\n- b\npools:\n  <<: *base\n  y: 2\n  y: 3\n"
    document = parse_document(text, Path("some.yaml"))
    (problem,) = document.problems
    assert (problem.line, problem.key, problem.message) == (8, "pools.y", "stands twice, first on line 7")
    assert document.line_of(("list", 1)) == 4
    assert document.line_of(("pools", "z", "deeper")) == 5
    assert document.line_of(("nowhere",)) is None
    assert document.covers(("pools", "z"))
    assert not document.covers(("nowhere",))
