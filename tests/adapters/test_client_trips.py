"""Programs of clients: run to their end, or stopped at the deadline with all that they started."""

from __future__ import annotations

import shutil
from pathlib import Path

import psutil

from controller.adapters.client_trips import run
from tests.e2e.stack import eventually

SHELL = shutil.which("sh") or "sh"


def test_what_a_program_says_comes_back(tmp_path: Path) -> None:
    """Its output, its last word of complaint and its exit code; variables given and taken away, and its folder."""
    script = "echo $GIVEN$HOME; pwd; echo first >&2; echo last >&2; exit 7"
    ended = run([SHELL, "-c", script], {"GIVEN": "here"}, ["HOME"], tmp_path, 10.0)
    assert (ended.exit_code, ended.output, ended.words) == (7, f"here\n{tmp_path}\n", "last")


def test_at_the_deadline_its_children_end_too(tmp_path: Path) -> None:
    """A launcher and what it launched: neither is left, and nobody waits for the pipe that the child holds."""
    script = "sleep 60 & echo $! > child; wait"
    ended = run([SHELL, "-c", script], {}, [], tmp_path, 0.5)
    assert (ended.exit_code, ended.words) == (None, "no end within 0.5 s")
    child = int((tmp_path / "child").read_text())
    eventually(lambda: not psutil.pid_exists(child) or psutil.Process(child).status() == "zombie", within_s=5)


def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    """In words, not as a traceback."""
    ended = run([str(tmp_path / "none")], {}, [], tmp_path, 1.0)
    assert ended.exit_code is None
    assert ended.words.endswith("No such file or directory")
