"""The text of metrics pages: wanted samples are found, and what is out of format is one kind of error."""

from __future__ import annotations

import pytest

from controller.adapters.exposition import samples


@pytest.mark.parametrize(
    ("text", "found"),
    [
        pytest.param("a 1\nab 2\na_total 3\n", [("a", 1.0)], id="by whole name"),
        pytest.param('a{x="}",y="\\"a 2"} 1\n', [("a", 1.0)], id="labels with quotes and braces"),
        pytest.param("# TYPE a gauge\n# HELP a a 9\na 1\n", [("a", 1.0)], id="comments are no samples"),
        pytest.param("b 1\n!!! nonsense !!!\na 1\n", [("a", 1.0)], id="nonsense that nobody asked for"),
        pytest.param("", [], id="nothing"),
    ],
)
def test_samples_are_picked_by_name(text: str, found: list[tuple[str, float]]) -> None:
    """Only the wanted ones, and no other line is parsed at all."""
    assert [(sample.name, sample.value) for sample in samples(text, {"a"})] == found


@pytest.mark.parametrize("line", ["a", "a{", 'a{x="1" 2', "a{x=1} 2", "a one", 'a{x="\\'])
def test_a_wanted_line_out_of_format_is_a_value_error(line: str) -> None:
    """One kind of error, which scrapers take for no answer."""
    with pytest.raises(ValueError, match=r".*"):
        list(samples(line, {"a"}))
