"""The checklist names tests and files that there are."""

from __future__ import annotations

import re
from pathlib import Path

HERE = Path(__file__).parent
README = (HERE / "README.md").read_text(encoding="utf-8")


def test_every_named_test_exists() -> None:
    """In the file that is named, and every file of this folder is named."""
    named = re.findall(r"`([\w./]+\.py)::(\w+)`", README)
    assert len(named) > 20
    missing = [f"{file}::{test}" for file, test in named if f"def {test}(" not in (HERE / file).read_text("utf-8")]
    assert not missing
    assert {file.name for file in HERE.glob("test_*.py")} - {"test_checklist.py"} <= {file for file, _ in named}


def test_every_named_place_exists() -> None:
    """In the product; and the ten items are all there."""
    rows = [line.split("|") for line in README.splitlines() if re.match(r"\| \d", line)]
    assert [int(row[1]) for row in rows] == list(range(1, 11))
    places = [place for row in rows for place in re.findall(r"`([\w/]+\.py)`", row[3])]
    assert not [place for place in places if not (HERE.parents[1] / "controller" / place).is_file()]
