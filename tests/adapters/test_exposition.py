"""The text of metrics pages: wanted samples are found, and what is out of format is one kind of error."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector, CollectorRegistry

from controller.adapters.exposition import samples
from controller.telemetry.gateway_metrics import render


class Kept(Collector):
    """Says one family."""

    def __init__(self, family: GaugeMetricFamily) -> None:
        self._family = family

    def collect(self) -> list[GaugeMetricFamily]:
        """It."""
        return [self._family]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        pytest.param("a 1\nab 2\na_total 3\n", [("a", 1.0)], id="by whole name"),
        pytest.param('a{x="}",y="\\"a 2"} 1\n', [("a", 1.0)], id="labels with quotes and braces"),
        pytest.param("# TYPE a gauge\n# HELP a a 9\na 1\n", [("a", 1.0)], id="comments are no samples"),
        pytest.param("b 1\n!!! nonsense !!!\na 1\n", [("a", 1.0)], id="nonsense that nobody asked for"),
        pytest.param(
            'a{x="1"} 1\na{x="1"}  2 1395066363000\na\t3\n', [("a", 1.0), ("a", 2.0), ("a", 3.0)], id="spaces"
        ),
        pytest.param("", [], id="nothing"),
    ],
)
def test_samples_are_picked_by_name(text: str, found: list[tuple[str, float]]) -> None:
    """Only the wanted ones, and no other line is parsed at all."""
    assert [(sample.name, sample.value) for sample in samples(text, {"a"})] == found


@pytest.mark.parametrize("line", ["a", "a{", 'a{x="1" 2', "a{x=1} 2", "a one", 'a{x="\\', "a 1_0", "a 1 2 3"])
def test_a_wanted_line_out_of_format_is_a_value_error(line: str) -> None:
    """One kind of error, which scrapers take for no answer."""
    with pytest.raises(ValueError, match=r".*"):
        list(samples(line, {"a"}))


@given(st.lists(st.tuples(st.text(), st.floats(allow_nan=False)), unique_by=lambda one: one[0]))
def test_samples_are_as_the_library_reads_them(given_values: list[tuple[str, float]]) -> None:
    """Whatever stands in a label, read for the first time or again."""
    family = GaugeMetricFamily("a", "words", labels=["x"])
    for label, value in given_values:
        family.add_metric([label], value)
    registry = CollectorRegistry()
    registry.register(Kept(family))
    text = render(registry).decode()
    expected = [(one.labels, one.value) for read in text_string_to_metric_families(text) for one in read.samples]
    for _ in range(2):
        assert [(one.labels, one.value) for one in samples(text, {"a"})] == expected
