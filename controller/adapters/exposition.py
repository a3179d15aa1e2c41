"""Picks samples out of Prometheus text, without parsing the hundreds of lines nobody asked for.

A series is spelled the same from scrape to scrape, and its labels are parsed once: read anew each second, the pages of
three gateways with 200 pools took a third of a second of computing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from functools import lru_cache
from typing import NamedTuple

from prometheus_client.parser import text_string_to_metric_families

SERIES_KEPT = 16_384  # some five megabytes; 200 pools and 500 engines have half as many


class Sample(NamedTuple):
    """One line. `labels` are shared with other samples of the series."""

    name: str
    labels: Mapping[str, str]
    value: float


def samples(text: str, names: Collection[str]) -> Iterator[Sample]:
    """Every sample with one of these names; ValueError when such a line is not in the format."""
    wanted = tuple(names)
    for line in text.split("\n"):
        if line.startswith(wanted):
            name, labels, value = _read(line)
            if name in names:
                yield Sample(name, labels, value)


def _read(line: str) -> tuple[str, Mapping[str, str], float]:
    end = line.rfind("}") + 1 or len(line.split(None, 1)[0])
    value, *stamp = line[end:].split()
    if len(stamp) > 1:
        raise ValueError(f"more than a value and a timestamp: {line[:200]}")
    name, labels = _series(line[:end])
    return name, labels, _number(value)


@lru_cache(maxsize=SERIES_KEPT)
def _series(spelled: str) -> tuple[str, Mapping[str, str]]:
    """Name and labels."""
    for family in text_string_to_metric_families(f"{spelled} 0\n"):
        for sample in family.samples:
            return sample.name, sample.labels
    raise ValueError(f"no series: {spelled[:200]}")


def _number(text: str) -> float:
    if "_" in text:
        raise ValueError(f"no number: {text[:50]}")
    return float(text)
