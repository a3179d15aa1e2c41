"""Says what is wrong in words that help: place, value, allowed range, and what was probably meant."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from functools import cache
from typing import cast

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from controller.catalogue.document import Document, Place
from controller.core.errors import Problem

_SECRET = re.compile(r"((key|secret|password)s?|token|key_env)$", re.IGNORECASE)  # not `..._tokens`: those are counts
_LOOKS_SECRET = re.compile(  # keys of providers and our own, wherever they were put by mistake; credentials in a URL
    r"\b(sk-|sp-|gsk_|hf_|tgp_)[\w-]{6,}|(?<=://)\S+(?=@)|(?<=[?&]key=)\S+"
)
_SHOWN_CHARS = 80
_PLAIN_WORDS = {  # instead of pydantic's own, which speak of Python types
    kind: words
    for words, kinds in {
        "must be a mapping": "model_type dict_type model_attributes_type",
        "must be a list": "tuple_type frozen_set_type",
        "must be text": "string_type",
        "must be an integer": "int_type int_parsing int_from_float",
        "must be a number": "float_type float_parsing decimal_type decimal_parsing finite_number",
        "must be true or false": "bool_type bool_parsing",
        "must be a time with its zone": "datetime_type datetime_parsing datetime_from_date_parsing timezone_aware",
        "must be a date": "date_type date_parsing date_from_datetime_parsing date_from_datetime_inexact",
        "is none of the allowed values": "enum literal_error union_tag_invalid",
        "is out of range": "greater_than greater_than_equal less_than less_than_equal",
        "is too short": "string_too_short too_short",
        "is too long": "string_too_long too_long",
        "has the wrong form": "string_pattern_mismatch",
    }.items()
    for kind in kinds.split()
}
ENVIRONMENT = Document(file="environment", has_lines=False)
BUILT_IN = "built-in configuration"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`; did you mean gpt-4o?`, or nothing when no known word is close."""
    close = get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"; did you mean {close[0]}?" if close else ""


def problem_at(
    document: Document, place: Place, message: str, allowed: str, value: object = None, *, severity: str = "error"
) -> Problem:
    """A problem with the key at `place`; where the file does not have it, it comes from the defaults."""
    words, value_words = document.spelling.words, shown(place, value)
    return Problem(
        file=document.file if document.covers(place) else BUILT_IN,
        line=document.line_of(place),
        key=document.spelling.key(place),
        value=value_words if value_words is None else words(value_words),
        allowed=words(allowed),
        message=words(message),
        severity=severity,
    )


def shown(place: Place, value: object) -> str | None:
    """The value on one short line, as YAML writes it; never a secret, be it by its key's name or by its look."""
    if value is None:
        return None
    if place and isinstance(place[-1], str) and _SECRET.search(place[-1]):
        return "***"
    text = str(value).lower() if isinstance(value, bool) else str(value)
    text = _LOOKS_SECRET.sub("***", text)
    text = "".join(char if char.isprintable() else " " for char in text) or "''"
    return text if len(text) <= _SHOWN_CHARS else text[: _SHOWN_CHARS - 3] + "..."


def from_validation(
    error: ValidationError, model: type[BaseModel], document: Document, above: Place = ()
) -> tuple[Problem, ...]:
    """One problem per error of a pydantic model that stands at `above` in the file."""
    return tuple(_from_detail(detail, model, document, above) for detail in error.errors(include_url=False))


def _from_detail(detail: ErrorDetails, model: type[BaseModel], document: Document, above: Place) -> Problem:
    schema = _schema(model)
    loc, kind = detail["loc"], detail["type"]
    given: object = detail["input"]
    if kind in {"union_tag_invalid", "union_tag_not_found"} and isinstance(given, Mapping):
        loc = (*loc, _kind_key(_at(schema, loc)))
        given = given.get(str(loc[-1]))
    place = (*above, *_as_written(schema, loc))
    if kind == "extra_forbidden":
        known = _properties(schema, _at(schema, loc[:-1]))
        message = "unknown key" + did_you_mean(str(loc[-1]), known)
        return problem_at(document, place, message, f"one of {', '.join(known)}", _brief(given))
    if kind in {"missing", "union_tag_not_found"}:
        return problem_at(document, place, "is missing", _allowed(schema, _at(schema, loc)))
    if kind == "value_error":
        return problem_at(
            document, place, detail["msg"].removeprefix("Value error, "), "values that agree with each other"
        )
    node = _at(schema, loc)
    if loc[-1:] == ("[key]",):
        place = place[:-1]
        names = _at(schema, loc[:-2]).get("propertyNames")
        node = {"type": "string", **names} if isinstance(names, dict) else {}
    message = _PLAIN_WORDS.get(kind) or detail["msg"][:1].lower() + detail["msg"][1:]
    value = _brief(given)
    if isinstance(value, str):
        message += did_you_mean(value, _choices(schema, node))
    return problem_at(document, place, message, _allowed(schema, node), value)


def _brief(given: object) -> object:
    """The value to show: collections by their kind alone."""
    if isinstance(given, Mapping):
        return "a mapping"
    if isinstance(given, list | tuple | frozenset):
        return "a list"
    return "null" if given is None else given


def _kinds(node: Mapping[str, object]) -> Mapping[str, str]:
    """What a mapping's own key chooses among: name of the kind to its `$ref`; empty where there is but one kind."""
    discriminator = node.get("discriminator")
    return cast("dict[str, str]", discriminator["mapping"]) if isinstance(discriminator, dict) else {}


def _kind_key(node: Mapping[str, object]) -> str:
    """The key that says which kind is meant."""
    return str(cast("dict[str, object]", node["discriminator"])["propertyName"])


def _as_written(schema: Mapping[str, object], loc: Place) -> Place:
    """The place in the file: pydantic puts the kind of a mapping between its key and what is below."""
    return tuple(part for index, part in enumerate(loc) if part not in _kinds(_at(schema, loc[:index])))


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
        kinds = _kinds(node)
        below: object
        if kinds:
            below = {"$ref": kinds[str(part)]} if part in kinds else {"enum": list(kinds)}
        elif isinstance(part, int):
            items = node.get("prefixItems")
            below = items[part] if isinstance(items, list) and part < len(items) else node.get("items")
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
    if _kinds(node):
        return f"a mapping with {_kind_key(node)}, one of {', '.join(_kinds(node))}"
    if node.get("type") == "string":
        return _text_words(node)
    if node.get("type") == "array":
        return _list_words(node)
    kind = {"object": "a mapping", "boolean": "true or false", "integer": "an integer", "number": "a number"}.get(
        str(node.get("type")), "see `spillway config schema`"
    )
    low, high = node.get("minimum", node.get("exclusiveMinimum")), node.get("maximum")
    if not isinstance(low, int | float) or not isinstance(high, int | float):
        return kind
    above = "above " if "exclusiveMinimum" in node else ""
    return f"{kind} from {above}{_number(low)} to {_number(high)}"


def _text_words(node: Mapping[str, object]) -> str:
    if "description" in node:
        return str(node["description"])
    if node.get("format") == "date":
        return "a date such as 2027-01-14"
    if node.get("format") == "date-time":
        return "a time such as 2027-01-14T11:30:00Z"
    return f"text of {node.get('minLength', 0)} to {node['maxLength']} characters" if "maxLength" in node else "text"


def _list_words(node: Mapping[str, object]) -> str:
    least = node.get("minItems")
    if least is None:
        return "a list"
    return f"a list of {least}" if least == node.get("maxItems") else f"a list of at least {least}"


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else str(value)
