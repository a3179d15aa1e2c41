"""Picks samples out of Prometheus text, without parsing the hundreds of lines nobody asked for."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample


def samples(text: str, names: Collection[str]) -> Iterator[Sample]:
    """Every sample with one of these names; ValueError when such a line is not in the format."""
    wanted = tuple(names)
    lines = [line for line in text.splitlines() if line.startswith(wanted)]
    for family in text_string_to_metric_families("\n".join(lines) + "\n"):
        for sample in family.samples:
            if sample.name in names:
                yield sample
