"""Says what is wrong in words that help: place, value, allowed range, and what was probably meant."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from functools import cache
from typing import cast

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from controller.config.document import Document, Place, key_words
from controller.core.errors import Problem

_SECRET = re.compile(r"(key|secret|token|password)s?$", re.IGNORECASE)
_SHOWN_CHARS = 80
_PLAIN_WORDS = {
    "model_type": "must be a mapping",
    "dict_type": "must be a mapping",
    "tuple_type": "must be a list",
    "frozen_set_type": "must be a list",
    "string_pattern_mismatch": "has the wrong form",
}
ENVIRONMENT = Document(file="environment")
BUILT_IN = "built-in configuration"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`; did you mean gpt-4o?`, or nothing when no known word is close."""
    close = get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"; did you mean {close[0]}?" if close else ""


def problem_at(
    document: Document, place: Place, message: str, allowed: str, value: object = None, *, severity: str = "error"
) -> Problem:
    """A problem with the key at `place`; where the file does not have it, it comes from the defaults."""
    line = document.line_of(place)
    return Problem(
        file=document.file if line is not None or document is ENVIRONMENT else BUILT_IN,
        line=line,
        key=key_words(place),
        value=shown(place, value),
        allowed=allowed,
        message=message,
        severity=severity,
    )


def shown(place: Place, value: object) -> str | None:
    """The value on one short line; never that of a key whose name sounds like a secret."""
    if value is None:
        return None
    if isinstance(value, str) and place and isinstance(place[-1], str) and _SECRET.search(place[-1]):
        return "***"
    text = value if isinstance(value, str) else repr(value)
    text = text.replace("\n", " ")
    return text if len(text) <= _SHOWN_CHARS else text[: _SHOWN_CHARS - 3] + "..."


def from_validation(
    error: ValidationError, model: type[BaseModel], document: Document, above: Place = ()
) -> tuple[Problem, ...]:
    """One problem per error of a pydantic model that stands at `above` in the file."""
    return tuple(_from_detail(detail, model, document, above) for detail in error.errors(include_url=False))


def _from_detail(detail: ErrorDetails, model: type[BaseModel], document: Document, above: Place) -> Problem:
    schema = _schema(model)
    loc = tuple(part for part in detail["loc"] if part != "[key]")
    kind = detail["type"]
    given: object = detail["input"]
    value = given if not isinstance(given, Mapping | list | tuple) else f"a {type(given).__name__}"
    if not isinstance(value, str) and (kind == "invalid_key" or detail["loc"][-1:] == ("[key]",)):
        place = (*above, *loc[:-1], str(loc[-1]))
        return problem_at(document, place, "keys must be text", "a name, in quotes if it looks like a number", value)
    if kind == "extra_forbidden":
        known = _properties(schema, _at(schema, loc[:-1]))
        message = "unknown key" + did_you_mean(str(loc[-1]), known)
        return problem_at(document, (*above, *loc), message, f"one of {', '.join(known)}", value)
    if kind == "missing":
        return problem_at(document, (*above, *loc), "is missing", _allowed(schema, _at(schema, loc)))
    if kind == "value_error":
        return problem_at(
            document, (*above, *loc), detail["msg"].removeprefix("Value error, "), "values that agree with each other"
        )
    node = _at(schema, loc)
    message = _PLAIN_WORDS.get(kind) or detail["msg"][:1].lower() + detail["msg"][1:]
    if isinstance(value, str):
        message += did_you_mean(value, _choices(schema, node))
    return problem_at(document, (*above, *loc), message, _allowed(schema, node), value)


@cache
def _schema(model: type[BaseModel]) -> dict[str, object]:
    return model.model_json_schema()


def _resolved(schema: Mapping[str, object], node: Mapping[str, object]) -> Mapping[str, object]:
    """Follows `$ref` and `X | None`."""
    options = node.get("anyOf")
    if isinstance(options, list):
        real = [option for option in options if option.get("type") != "null"]
        return _resolved(schema, real[0])
    name = node.get("$ref")
    if isinstance(name, str):
        definitions = cast("dict[str, dict[str, object]]", schema["$defs"])
        return _resolved(schema, definitions[name.rsplit("/", 1)[-1]])
    return node


def _at(schema: Mapping[str, object], loc: Place) -> Mapping[str, object]:
    """The schema of the value at `loc`; empty when it has none."""
    node = _resolved(schema, schema)
    for part in loc:
        if isinstance(part, int):
            below = node.get("items")
        else:
            properties = node.get("properties")
            known = properties.get(part) if isinstance(properties, dict) else None
            below = known if known is not None else node.get("additionalProperties") or _pattern_value(node)
        if not isinstance(below, dict):
            return {}
        node = _resolved(schema, below)
    return node


def _pattern_value(node: Mapping[str, object]) -> object:
    patterns = node.get("patternProperties")
    return next(iter(patterns.values()), None) if isinstance(patterns, dict) else None


def _properties(schema: Mapping[str, object], node: Mapping[str, object]) -> list[str]:
    properties = _resolved(schema, node).get("properties")
    return list(properties) if isinstance(properties, dict) else []


def _choices(schema: Mapping[str, object], node: Mapping[str, object]) -> list[str]:
    choices = _resolved(schema, node).get("enum")
    return [str(choice) for choice in choices] if isinstance(choices, list) else []


def _allowed(schema: Mapping[str, object], node: Mapping[str, object]) -> str:
    """The allowed values in words."""
    node = _resolved(schema, node)
    choices = _choices(schema, node)
    if choices:
        return f"one of {', '.join(choices)}"
    kind = {"object": "a mapping", "array": "a list", "string": "text", "boolean": "true or false"}.get(
        str(node.get("type")), "an integer" if node.get("type") == "integer" else "a number"
    )
    if "pattern" in node:
        return str(node.get("description") or f"text like {node['pattern']}")
    low = node.get("minimum", node.get("exclusiveMinimum"))
    high = node.get("maximum")
    if low is None and high is None:
        return kind if node else "see `spillway config schema`"
    above = "above " if "exclusiveMinimum" in node else ""
    return f"{kind} from {above}{low} to {high}"
