"""What commands say to a person while they wait."""

from __future__ import annotations

from threading import active_count

import pytest

from controller.cli.output import told_while
from tests.e2e.stack import eventually


def test_a_wait_is_told_and_then_how_long_it_has_been(capsys: pytest.CaptureFixture[str]) -> None:
    """First the line, then the same with the time; nothing once the wait is over, on stderr alone."""
    said: list[str] = []

    def lines() -> bool:
        captured = capsys.readouterr()
        assert captured.out == ""
        said.extend(captured.err.splitlines())
        return len(said) > 2

    before = active_count()
    with told_while("wait", "for it", first_s=0.01, every_s=0.02):
        eventually(lines, within_s=5, every_s=0.01)
    assert active_count() == before
    assert said[0] == "wait: for it"
    assert said[1] == "wait: for it, for 0 s now"


def test_a_short_wait_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is said of what is over at once."""
    with told_while("wait", "for it"):
        pass
    assert capsys.readouterr().err == ""


def test_words_that_change_are_asked_for_each_time(capsys: pytest.CaptureFixture[str]) -> None:
    """How far it is by then."""
    said: list[str] = []
    asked = iter(range(1000))

    def lines() -> bool:
        said.extend(capsys.readouterr().err.splitlines())
        return len(said) > 1

    with told_while("wait", lambda: f"{next(asked)} done", first_s=0.01, every_s=0.02):
        eventually(lines, within_s=5, every_s=0.01)
    assert said[:2] == ["wait: 0 done", "wait: 1 done, for 0 s now"]
