"""Weights in the stack's own bucket: what models want, what the hub's commit has, what lies there."""

from __future__ import annotations

from infra.weights.files import HubFile, WeightsRefused, needed, parse_tree
from infra.weights.judge import GIB, Judged, judge
from infra.weights.manifests import (
    WANTED,
    FileSum,
    Wanted,
    folder_of,
    parse_sums,
    parse_wanted,
    sums_key,
    sums_text,
    wanted_key,
    wanted_text,
)

__all__ = [
    "GIB",
    "WANTED",
    "FileSum",
    "HubFile",
    "Judged",
    "Wanted",
    "WeightsRefused",
    "folder_of",
    "judge",
    "needed",
    "parse_sums",
    "parse_tree",
    "parse_wanted",
    "sums_key",
    "sums_text",
    "wanted_key",
    "wanted_text",
]
