"""Charts of others are pinned: by a version, and by the digest of what they were when they were chosen."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PINS = yaml.safe_load((ROOT / "infra/components/charts.yaml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("chart", PINS)
def test_a_chart_has_a_digest_or_a_reason_why_not(chart: str) -> None:
    """64 hexadecimal digits, or a sentence; never both."""
    pin = PINS[chart]
    if pin["sha256"] is None:
        assert re.fullmatch(r"[A-Z].{20,}\.", pin["no_sha256"])
    else:
        assert re.fullmatch(r"[0-9a-f]{64}", pin["sha256"])
        assert "no_sha256" not in pin


def test_no_two_charts_share_a_digest() -> None:
    """A line that was copied and not filled in is no pin."""
    digests = [pin["sha256"] for pin in PINS.values() if pin["sha256"] is not None]
    assert digests
    assert len(set(digests)) == len(digests)


@pytest.mark.parametrize("chart", PINS)
def test_a_pin_names_one_version(chart: str) -> None:
    """No range, no `latest`: all three numbers."""
    assert re.fullmatch(r"\d+\.\d+\.\d+", PINS[chart]["version"])
