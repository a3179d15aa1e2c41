"""What stands in for charts of others is of the version that the program pins, and refuses values it does not know."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft7Validator

ROOT = Path(__file__).parents[2]
STAND_INS = ROOT / "tests/infra/charts"
PINS = yaml.safe_load((ROOT / "infra/components/charts.yaml").read_text(encoding="utf-8"))


def test_every_chart_of_others_has_a_stand_in_and_no_other_has() -> None:
    """One that nobody looked at cannot be installed in a test."""
    assert {folder.name for folder in STAND_INS.iterdir()} == set(PINS)


@pytest.mark.parametrize("name", sorted(PINS))
def test_a_stand_in_is_of_the_pinned_version(name: str) -> None:
    """Whoever moves a pin looks at the values again."""
    chart = yaml.safe_load((STAND_INS / name / "Chart.yaml").read_text(encoding="utf-8"))
    assert (chart["name"], chart["version"]) == (name, PINS[name]["version"])


@pytest.mark.parametrize("name", sorted(PINS))
def test_a_stand_in_refuses_a_value_that_the_program_does_not_set(name: str) -> None:
    """The schema says what the program relies on, and nothing more."""
    schema = json.loads((STAND_INS / name / "values.schema.json").read_text(encoding="utf-8"))
    Draft7Validator.check_schema(schema)
    errors = [error.message for error in Draft7Validator(schema).iter_errors({"no such value": True})]
    assert any("no such value" in message for message in errors)
