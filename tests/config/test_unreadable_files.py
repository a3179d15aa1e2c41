"""Files that are not text at all, and text that editors on other systems write."""

from __future__ import annotations

from pathlib import Path

import pytest
from config_files import KEYS, TODAY

from controller.catalogue.document import FILE_BYTES_MAX
from controller.config.check import check, examine

TOO_LARGE = b"phase: phase1\n" + b"#" * FILE_BYTES_MAX


@pytest.mark.parametrize(
    ("raw", "message", "allowed"),
    [
        (b"phase: ph\xe4se1\n", "is not text", "UTF-8 text"),
        (b"\x00\x01\x02\xff\xfe", "is not text", "UTF-8 text"),
        (TOO_LARGE, "is too large", "at most 1048576 bytes"),
        (None, "cannot be read: No such file or directory", "a readable file"),
    ],
    ids=["latin-1", "binary", "too-large", "missing"],
)
def test_a_file_that_cannot_be_read_is_one_problem(
    tmp_path: Path, raw: bytes | None, message: str, allowed: str
) -> None:
    """Said of the file as a whole; there are no settings then."""
    file = tmp_path / "spillway.yaml"
    if raw is not None:
        file.write_bytes(raw)
    settings, problems = examine(file, KEYS, TODAY)
    assert settings is None
    (problem,) = problems
    assert (problem.file, problem.line, problem.key, problem.value) == (str(file), None, "file", None)
    assert (problem.message, problem.allowed, problem.severity) == (message, allowed, "error")


def test_a_folder_cannot_be_read(tmp_path: Path) -> None:
    """As with any file that the system refuses to open."""
    assert [problem.message for problem in check(tmp_path, KEYS, TODAY)] == ["cannot be read: Is a directory"]


def test_the_environment_is_judged_beside_an_unreadable_file(tmp_path: Path) -> None:
    """Both are told at once."""
    problems = check(tmp_path / "none.yaml", {**KEYS, "AI_PHASE": "phase9"}, TODAY)
    assert [problem.key for problem in problems] == ["file", "AI_PHASE"]


@pytest.mark.parametrize(
    "raw",
    [b"", b"# nothing yet\n", b"\xef\xbb\xbfphase: phase1\n", b"phase: phase1\r\nstate_dir: x\r\n"],
    ids=["empty", "comment", "byte-order-mark", "crlf"],
)
def test_odd_but_good_text_is_read(tmp_path: Path, raw: bytes) -> None:
    """Nothing to say, nothing refused."""
    file = tmp_path / "spillway.yaml"
    file.write_bytes(raw)
    assert [problem for problem in check(file, KEYS, TODAY) if problem.severity == "error"] == []
