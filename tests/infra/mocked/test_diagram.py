"""The picture in the page is that of the program, and the order in it holds."""

from __future__ import annotations

from tests.infra.mocked.diagram import PICTURE, Box, drawn, picture, reduced, rows

GRAPH = {"c": frozenset({"a", "b"}), "b": frozenset({"a"}), "a": frozenset[str]()}


def test_the_picture_is_drawn_from_the_program() -> None:
    """After a change: `.venv-infra/bin/python -m tests.infra.mocked.diagram`."""
    assert PICTURE.read_text(encoding="utf-8") == picture()


def test_arrows_that_follow_from_others_are_left_out() -> None:
    """What is needed by way of another is not drawn twice; rows go from what needs nothing."""
    assert reduced(GRAPH) == {"c": {"b"}, "b": {"a"}, "a": frozenset()}
    assert rows(reduced(GRAPH)) == [["a"], ["b"], ["c"]]


def test_a_box_says_what_it_is_and_how_much() -> None:
    """Names are shown as they are, whatever they hold."""
    boxes = {key: Box(f"<{key}>", "Network", 2, 0) for key in GRAPH}
    assert "&lt;a&gt;" in drawn(boxes, GRAPH)
    assert "Network: 2 AWS" in drawn(boxes, GRAPH)
