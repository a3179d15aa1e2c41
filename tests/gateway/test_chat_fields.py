"""Every field of a chat request at every kind of target: sent, named as dropped, or refused, as the page says."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import orjson
import pytest

from controller.core.models import Feature
from controller.core.requests import Operation, Target
from controller.gateway.chat_fields import TABLE, Fate, Kind
from controller.gateway.decode import NotTranslatable
from controller.gateway.destinations import Destination
from controller.gateway.dialects.openai_caller import OPENAI_CALLER
from tests.gateway import spoken_words
from tests.gateway.gateway_builders import ANTHROPIC, BOUGHT, CLAUDE, OWN, decoded, destinations

PAGE = (spoken_words.CONTROLLER / "gateway" / "dialects" / "README.md").read_text()
ROWS = re.findall(r"^\| (`[^|]+) \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", PAGE, re.MULTILINE)
TARGETS = {
    Kind.OWN: OWN,
    Kind.OPENAI: BOUGHT,
    Kind.ANTHROPIC: Target(model=CLAUDE, pool=None, provider=ANTHROPIC, reason=""),
}
LOOK = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
# A value that says something, for fields that are not simply there or not.
VALUES: dict[str, Any] = {
    "stream": True,
    "stream_options": {"include_usage": True},
    "max_tokens": 9,
    "max_completion_tokens": 9,
    "temperature": 0.5,
    "top_p": 0.5,
    "stop": ["END"],
    "response_format": {"type": "json_object"},
    "tools": [LOOK],
    "tool_choice": "auto",
    "parallel_tool_calls": False,
    "reasoning_effort": "low",
    "user": "u-1",
    "safety_identifier": "u-1",
    "metadata": {"task": "critique"},
    "n": 2,
    "logprobs": True,
    "top_logprobs": 2,
    "logit_bias": {"1": 5},
    "presence_penalty": 0.5,
    "frequency_penalty": 0.5,
    "modalities": ["audio"],
    "top_k": 5,
    "repetition_penalty": 1.2,
    "length_penalty": 1.2,
    "skip_special_tokens": False,
    "spaces_between_special_tokens": False,
    "include_reasoning": False,
    "add_generation_prompt": False,
}
# What Anthropic calls it.
THERE = {
    "max_completion_tokens": "max_tokens",
    "stop": "stop_sequences",
    "response_format": "system",
    "user": "metadata",
    "safety_identifier": "metadata",
    "parallel_tool_calls": "tool_choice",
    "reasoning_effort": "output_config",
}
UNSENT = {"metadata", "stream_options"}  # read here; answered by what a stream always tells
TEXT_ONLY = {"prompt", "echo", "best_of", "suffix", "input", "dimensions", "encoding_format"}  # of other operations
CASES = [(name, kind, TABLE[name][place]) for name in TABLE for place, kind in enumerate(Kind)]


def at(kind: Kind) -> Destination:
    """One target of the kind."""
    found = destinations().of(TARGETS[kind], Operation.CHAT)
    takes = frozenset({Feature.JSON_SCHEMA, Feature.EFFORT})
    return replace(found, model=replace(found.model, takes=takes))


def sent(kind: Kind, **fields: object) -> dict[str, Any]:
    """What the target gets."""
    return dict(orjson.loads(at(kind).body(decoded(**fields), None)))


@pytest.mark.parametrize(("name", "kind", "fate"), CASES, ids=[f"{name}-{kind}" for name, kind, _ in CASES])
def test_a_field_at_a_target(name: str, kind: Kind, fate: Fate) -> None:
    """Does what the table says: nothing is left out without a word."""
    value = VALUES.get(name, 1)
    fields = {} if name in ("model", "messages") else {"tools": [LOOK], name: value}
    if fate is Fate.REFUSED:
        with pytest.raises(NotTranslatable):
            sent(kind, **fields)
        return
    named = at(kind).dropped(decoded(**fields))
    got = sent(kind, **fields)
    if fate is Fate.DROPPED:
        assert named == [name]
        assert name not in got
        return
    assert named == []
    wanted = THERE.get(name, name) if kind is Kind.ANTHROPIC else name
    assert (wanted in got) is not (name == "metadata" or (name in UNSENT and kind is Kind.ANTHROPIC))


def test_the_page_is_the_table() -> None:
    """Every field stands on the page once, with its fates; the page has no others."""
    told = {
        name: tuple(re.split(r"\W", cell)[0] for cell in cells)
        for names, *cells in ROWS
        if cells[0].split(":")[0] in ("carried", "dropped", "refused")
        for name in re.findall(r"`([^`]+)`", names)
    }
    for name in ("system", "developer", "name"):
        told.pop(name)
    assert told == {name: tuple(fate.value for fate in fates) for name, fates in TABLE.items()}


DEFAULTS: list[dict[str, object]] = [
    {"n": 1},
    {"logprobs": False},
    {"logit_bias": {}},
    {"presence_penalty": 0},
    {"modalities": ["text"]},
    {"service_tier": "auto"},
    {"top_k": -1},
    {"store": False},
    {"functions": None},
]


@pytest.mark.parametrize("fields", DEFAULTS, ids=[next(iter(fields)) for fields in DEFAULTS])
@pytest.mark.parametrize("kind", Kind)
def test_a_default_is_in_nobodys_way(kind: Kind, fields: dict[str, object]) -> None:
    """It asks for nothing."""
    assert at(kind).dropped(decoded(**fields)) == []
    sent(kind, **fields)


ANTHROPIC_WAYS: list[tuple[str, dict[str, object], dict[str, object], list[str]]] = [
    ("hot", {"temperature": 1.5}, {"temperature": None}, ["temperature"]),
    ("both", {"temperature": 0.5, "top_p": 0.5}, {"temperature": 0.5, "top_p": None}, ["top_p"]),
    ("hot and top_p", {"temperature": 1.5, "top_p": 0.5}, {"top_p": None}, ["temperature", "top_p"]),
    ("seed of zero", {"seed": 0}, {"seed": None}, ["seed"]),
    ("effort", {"reasoning_effort": "minimal"}, {"output_config": {"effort": "low"}}, []),
    ("no effort", {"reasoning_effort": "none"}, {"output_config": None}, ["reasoning_effort"]),
    ("two names", {"user": "a", "safety_identifier": "b"}, {"metadata": {"user_id": "a"}}, ["safety_identifier"]),
    ("unknown", {"x": 1}, {"x": None}, ["x"]),
]


@pytest.mark.parametrize(
    ("fields", "wanted", "named"), [row[1:] for row in ANTHROPIC_WAYS], ids=[row[0] for row in ANTHROPIC_WAYS]
)
def test_anthropics_own_ways(fields: dict[str, object], wanted: dict[str, object], named: list[str]) -> None:
    """One of temperature and top_p, a scale up to 1, one id: what gives way is named."""
    got = sent(Kind.ANTHROPIC, **fields)
    assert {name: got.get(name) for name in wanted} == wanted
    assert at(Kind.ANTHROPIC).dropped(decoded(**fields)) == named


def test_our_temperature_gives_way_to_a_top_p() -> None:
    """The rules' own is for callers who say nothing of sampling."""
    got = orjson.loads(at(Kind.ANTHROPIC).body(decoded(top_p=0.5), 0.2))
    assert ("temperature" in got, got["top_p"]) == (False, 0.5)


SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": False}
STRICT = {"type": "json_schema", "json_schema": {"name": "s", "schema": SCHEMA, "strict": True}}
LOOSE = {"type": "json_schema", "json_schema": {"name": "s", "schema": SCHEMA}}


def test_a_strict_schema_is_anthropics_too() -> None:
    """Where the model has a field for it; a loose one, which it might not take, stays in words."""
    strict = sent(Kind.ANTHROPIC, response_format=STRICT)
    assert strict["output_config"] == {"format": {"type": "json_schema", "schema": SCHEMA}}
    assert "system" not in strict
    assert "output_config" not in sent(Kind.ANTHROPIC, response_format=LOOSE)
    assert "JSON schema" in sent(Kind.ANTHROPIC, response_format=LOOSE)["system"]
    tool = {"type": "function", "function": {**LOOK["function"], "strict": True}}
    assert sent(Kind.ANTHROPIC, tools=[tool])["tools"][0]["strict"] is True


def test_a_model_without_the_fields() -> None:
    """A schema goes in words; effort and strictness are named as dropped."""
    plain = destinations().of(TARGETS[Kind.ANTHROPIC], Operation.CHAT)
    tool = {"type": "function", "function": {**LOOK["function"], "strict": True}}
    asked = decoded(response_format=STRICT, reasoning_effort="low", tools=[tool])
    got = orjson.loads(plain.body(asked, None))
    assert "output_config" not in got
    assert "strict" not in got["tools"][0]
    assert plain.dropped(asked) == ["reasoning_effort", "tools.strict"]


def test_sampling_of_ones_own() -> None:
    """A model that refuses a temperature gets none of the caller's, and the caller is told."""
    for kind in (Kind.OPENAI, Kind.ANTHROPIC):
        found = replace(at(kind), model=replace(at(kind).model, accepts_temperature=False))
        asked = decoded(temperature=0.5, top_p=0.5)
        assert not {"temperature", "top_p"} & orjson.loads(found.body(asked, None)).keys()
        assert sorted(found.dropped(asked)) == ["temperature", "top_p"]


REFUSALS = [
    (Feature.LOGPROBS, {"logprobs": True}),
    (Feature.LOGIT_BIAS, {"logit_bias": {"1": 1}}),
    (Feature.SEVERAL_CHOICES, {"n": 2}),
    (Feature.FORCED_TOOLS, {"tools": [LOOK], "tool_choice": "required"}),
    (Feature.FORCED_TOOLS, {"tools": [LOOK], "tool_choice": {"type": "function", "function": {"name": "look"}}}),
]


@pytest.mark.parametrize(("feature", "fields"), REFUSALS, ids=[str(row[0]) for row in REFUSALS])
def test_what_the_catalogue_says_of_one_api(feature: Feature, fields: dict[str, object]) -> None:
    """A model or provider that refuses a feature is passed over; its other requests go there."""
    found = replace(at(Kind.OPENAI), refuses=frozenset({feature}))
    with pytest.raises(NotTranslatable):
        found.body(decoded(**fields), None)
    assert found.body(decoded(tools=[LOOK], tool_choice="auto"), None)


def test_refusals_of_provider_and_model_add_up() -> None:
    """Both are known to the destination."""
    assert BOUGHT.provider is not None
    model = replace(BOUGHT.model, refuses=frozenset({Feature.LOGPROBS}))
    provider = replace(BOUGHT.provider, refuses=frozenset({Feature.SEVERAL_CHOICES}))
    found = destinations().of(replace(BOUGHT, model=model, provider=provider), Operation.CHAT)
    assert found.refuses == {Feature.LOGPROBS, Feature.SEVERAL_CHOICES}


def test_thoughts_of_anthropic() -> None:
    """Become reasoning_content in a whole answer."""
    body = orjson.dumps(
        {
            "content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "Hi"}],
            "stop_reason": "model_context_window_exceeded",
            "usage": {"input_tokens": 1, "output_tokens": 1},
        }
    )
    chat, _ = at(Kind.ANTHROPIC).read_unary(body, decoded(), OPENAI_CALLER, 7)
    choice = orjson.loads(chat)["choices"][0]
    assert (choice["message"]["reasoning_content"], choice["message"]["content"]) == ("hm", "Hi")
    assert choice["finish_reason"] == "length"
