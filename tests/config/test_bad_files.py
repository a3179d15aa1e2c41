"""Every way to get spillway.yaml or the environment wrong: the cases are data in `bad_files`.

A case has a `text`, an `environ` and `today` where they matter, and the `problems`: all errors, in order, warnings and
notes that must be among those told. `file` is spillway.yaml and `severity` error unless said; an `allowed` that ends in
"..." is the beginning of a long list.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import yaml
from config_files import TODAY, Check

from controller.core.errors import Problem

FOLDER = Path(__file__).parent / "bad_files"


def _cases() -> Iterator[Any]:
    for file in sorted(FOLDER.glob("*.yaml")):
        for case in yaml.load(file.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader):
            yield pytest.param(case, id=f"{file.stem}-{case['id']}")


def _said(problem: Problem, expected: dict[str, Any]) -> dict[str, Any]:
    """The problem as a case writes it: the file's name alone, and no more of a long list than the case has."""
    said = asdict(problem)
    said["file"] = Path(problem.file or "").name
    beginning = expected["allowed"].removesuffix("...")
    if beginning != expected["allowed"] and problem.allowed.startswith(beginning):
        said["allowed"] = expected["allowed"]
    return said


@pytest.mark.parametrize("case", list(_cases()))
def test_a_wrong_configuration_is_told_exactly(case: dict[str, Any], problems_of: Check) -> None:
    """File, line, key, value, message, allowed and severity of each problem."""
    found = problems_of(case.get("text", ""), case.get("environ"), case.get("today", TODAY))
    expected = [{"file": "spillway.yaml", "severity": "error", **problem} for problem in case["problems"]]
    errors = [problem for problem in expected if problem["severity"] == "error"]
    found_errors = [problem for problem in found if problem.severity == "error"]
    assert len(found_errors) == len(errors), [str(problem) for problem in found_errors]
    assert [_said(*pair) for pair in zip(found_errors, errors, strict=True)] == errors
    for warning in expected:
        assert warning in [_said(problem, warning) for problem in found]


def test_the_table_is_large_and_its_cases_have_names_of_their_own() -> None:
    """Every corner of the configuration has its case."""
    ids = [case.id for case in _cases()]
    assert len(ids) == len(set(ids)) >= 190


@pytest.mark.parametrize("secret", ["pa55word", "live-0123456789", "123456"])
def test_the_table_shows_no_secret(secret: str) -> None:
    """No expected problem repeats a password or key, wherever the file has it."""
    cases = [case.values[0] for case in _cases()]
    with_it = [case for case in cases if secret in str(case.get("text")) + str(case.get("environ"))]
    assert with_it
    assert not [case["id"] for case in with_it if secret in str(case["problems"])]
