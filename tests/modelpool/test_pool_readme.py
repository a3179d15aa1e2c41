"""The tables of the package's README have every reason that there is, and none that there is not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from controller.modelpool import events, findings
from controller.modelpool.facts import Obstacle

FOLDER = Path(findings.__file__).parent
README = (FOLDER / "README.md").read_text(encoding="utf-8")


def _rows(heading: str) -> str:
    return README.split(f"## {heading}\n")[1].split("\n## ")[0]


def _reasons(section: str) -> set[str]:
    cells = [cell for row in section.splitlines() if row.startswith("| ") for cell in row.split("|")[2:]]
    return {word for cell in cells for word in re.findall(r"\b[A-Z][a-z]+(?:[A-Z][a-z]+)*\b", cell)} - {
        "True",
        "False",
        "Unknown",
    }


def test_conditions_and_their_reasons_are_documented() -> None:
    """By the texts of the code."""
    code = (FOLDER / "findings.py").read_text(encoding="utf-8")
    named = set(re.findall(r'reason="(\w+)"', code)) | set(re.findall(r'return "(\w+)" if', code))
    named |= set(re.findall(r'else "([A-Z]\w+)"$', code, re.MULTILINE)) | set(re.findall(r'reason = "(\w+)" if', code))
    assert _reasons(_rows("Conditions")) == named | {str(one) for one in Obstacle} | {findings.INVALID_SPEC, "Pinned"}
    for kind in findings.TYPES:
        assert f"| {kind} |" in README


def test_reasons_of_events_are_documented() -> None:
    """By the texts of the code."""
    code = Path(events.__file__).read_text(encoding="utf-8")
    named = set(re.findall(r'"([A-Z][a-zA-Z]+)"', code))
    known = _reasons(_rows("Events")) | set(re.findall(r"^\| ([A-Z]\w+) \|", _rows("Events"), re.MULTILINE))
    assert named - known <= {"Normal", "Warning", "True", "Local", "Spilling", "External"}
    assert known - named <= {"Stalled"}


@pytest.mark.parametrize("file", sorted(path.name for path in FOLDER.glob("*.py") if path.name != "__init__.py"))
def test_every_file_is_in_the_table(file: str) -> None:
    """What it is for is said."""
    assert f"`{file}`" in README
