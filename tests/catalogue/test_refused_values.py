"""Every kind of refusal of a checked model, in words: key, value, allowed values, a hint where a name is near."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Annotated, Literal

import pytest
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, field_validator

from controller.catalogue.document import Document
from controller.catalogue.refusals import from_validation

Named = Annotated[str, Field(pattern="^[a-z]+$", description="lower-case letters")]


class Part(BaseModel):
    """A section with one number."""

    model_config = ConfigDict(extra="forbid")
    gib: Annotated[int, Field(ge=1, le=10)] = 1


class Rented(BaseModel):
    """One of two kinds."""

    model_config = ConfigDict(extra="forbid")
    kind: Literal["rented"]
    until: date
    since: AwareDatetime = datetime(2026, 1, 1, tzinfo=UTC)


class Owned(BaseModel):
    """The other."""

    kind: Literal["owned"]


class Whole(BaseModel):
    """One field of every kind."""

    model_config = ConfigDict(extra="forbid")
    name: str
    kind: Literal["red", "green"] = "red"
    ratio: Annotated[float, Field(gt=0, le=0.5)] = 0.1
    ends: tuple[int, str] = (1, "a")
    some: Annotated[tuple[int, ...], Field(min_length=2)] = (1, 2)
    note: Annotated[str, Field(max_length=3)] = ""
    free: int | None = None
    parts: dict[Named, Part] = Field(default_factory=dict)
    plain: dict[str, Part] = Field(default_factory=dict)
    held: Annotated[Rented | Owned | None, Field(discriminator="kind")] = None
    odd: Annotated[str, Field(min_length=2)] = "ab"

    @field_validator("odd")
    @classmethod
    def _agrees(cls, value: str) -> str:
        if value == "no":
            raise ValueError("odd must not be no")
        return value


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"naem": 1}, "naem: unknown key; did you mean name? (got 1); allowed: one of name, kind, ratio, ends, some,"),
        ({}, "name: is missing; allowed: text"),
        (
            {"kind": "gren"},
            "kind: is none of the allowed values; did you mean green? (got gren); allowed: one of red, g",
        ),
        ({"kind": None}, "kind: is none of the allowed values (got null); allowed: one of red, green"),
        ({"ratio": 0}, "ratio: is out of range (got 0); allowed: a number from above 0 to 0.5"),
        ({"parts": {"a": {"gib": 11}}}, "parts.a.gib: is out of range (got 11); allowed: an integer from 1 to 10"),
        ({"parts": {"A": {}}}, "parts.A: has the wrong form (got A); allowed: lower-case letters"),
        ({"parts": []}, "parts: must be a mapping (got a list); allowed: a mapping"),
        ({"plain": {"a": 1}}, "plain.a: must be a mapping"),
        ({"ends": [1, 2]}, "ends[1]: must be text (got 2); allowed: text"),
        ({"ends": [1]}, "ends[1]: is missing; allowed: text"),
        ({"some": [1]}, "some: is too short (got a list); allowed: a list of at least 2"),
        ({"note": "four"}, "note: is too long (got four); allowed: text of 0 to 3 characters"),
        ({"free": {"a": 1}}, "free: must be an integer (got a mapping); allowed: an integer"),
        ({"odd": "no"}, "odd: odd must not be no; allowed: values that agree with each other"),
        ({"held": {"kind": "rented", "until": 1.5}}, "held.until: must be a date (got 1.5); allowed: a date such as"),
        ({"held": {"kind": "rented"}}, "held.until: is missing; allowed: a date such as 2027-01-14"),
        (
            {"held": {"kind": "rented", "until": "2027-01-01", "since": "2027-01-01T00:00"}},
            "held.since: must be a time with its zone (got 2027-01-01T00:00); allowed: a time such as 2027-01-14T11:",
        ),
        ({"held": {"kind": "rented", "till": 1}}, "held.till: unknown key; did you mean until? (got 1)"),
        ({"held": {"kind": "ownd"}}, "held.kind: is none of the allowed values; did you mean owned? (got ownd)"),
        ({"held": {}}, "held.kind: is missing; allowed: one of owned, rented"),
        ({"held": 5}, "held: must be a mapping (got 5); allowed: a mapping with kind, one of owned, rented"),
        ({"ends": 5}, "ends: must be a list (got 5); allowed: a list of 2"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_refusal_names_key_value_and_what_is_allowed(given: dict[str, object], words: str) -> None:
    """In one line, as in the file."""
    with pytest.raises(ValidationError) as refused:
        Whole.model_validate({"name": "x", **given} if given else {})
    problems = from_validation(refused.value, Whole, Document(file=None, has_lines=False))
    assert any(str(problem).startswith(words) for problem in problems), [str(problem) for problem in problems]
