"""Chat requests in Anthropic's words, checked against the official client's own types."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import orjson
import pytest
from anthropic.types.message_create_params import MessageCreateParamsNonStreaming, MessageCreateParamsStreaming
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from controller.config.settings import Caps
from controller.core.errors import RequestError
from controller.core.models import Model
from controller.core.requests import Operation
from controller.gateway.anthropic_wire import NotTranslatable, request_body
from controller.gateway.decode import decode
from tests.gateway.gateway_builders import CLAUDE, decoded

PARAMS = {
    False: TypeAdapter(MessageCreateParamsNonStreaming),
    True: TypeAdapter(MessageCreateParamsStreaming),
}
OLD_MODELS_ONLY = ("temperature", "top_p")  # newer models refuse them, and the official types have dropped them
FUNCTION = {"name": "look_up", "description": "d", "parameters": {"type": "object", "properties": {"x": {}}}}
TOOL = {"type": "function", "function": FUNCTION}
ASK = {"role": "user", "content": "Hi"}
USER = {"role": "user", "content": [{"type": "text", "text": "Hi"}]}


def walk(value: object) -> object:
    """The value with every lazily checked list looked at; pydantic raises for a wrong one."""
    if isinstance(value, Mapping):
        return {name: walk(inner) for name, inner in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, str | bytes):
        return [walk(inner) for inner in value]
    return value


def translated(model: Model = CLAUDE, **fields: object) -> dict[str, object]:
    """The request in Anthropic's words; the official types hold all of it."""
    body: dict[str, object] = orjson.loads(request_body(decoded(**fields), model, temperature=None))
    known = walk(PARAMS[bool(fields.get("stream"))].validate_python(body))
    assert isinstance(known, dict)
    assert known == {name: value for name, value in body.items() if name not in OLD_MODELS_ONLY}
    return body


def call(call_id: str, arguments: str = "{}") -> dict[str, object]:
    """A tool call as a caller sends it back."""
    return {"id": call_id, "type": "function", "function": {"name": "look_up", "arguments": arguments}}


def image(url: str) -> dict[str, object]:
    """A message with an image."""
    return {"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}


def use(call_id: str, arguments: object) -> dict[str, object]:
    """The same in Anthropic's words."""
    return {"type": "tool_use", "id": call_id, "name": "look_up", "input": arguments}


def result(call_id: str, content: object) -> dict[str, object]:
    """A tool result in Anthropic's words."""
    return {"type": "tool_result", "tool_use_id": call_id, "content": content}


PARTS = [{"type": "text", "text": "a"}, {"type": "text", "text": ""}, {"text": "b"}]
FILLER = {"role": "user", "content": [{"type": "text", "text": "."}]}
CONVERSATIONS = {
    "text": ([ASK], [USER]),
    "parts": (
        [{"role": "user", "content": PARTS}],
        [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}],
    ),
    "turns": (
        [ASK, {"role": "assistant", "content": "Yes?"}, ASK],
        [USER, {"role": "assistant", "content": [{"type": "text", "text": "Yes?"}]}, USER],
    ),
    "the same speaker twice is one turn": ([ASK, ASK], [{"role": "user", "content": USER["content"] * 2}]),
    "empty turns go": ([ASK, {"role": "assistant", "content": ""}, {"role": "assistant", "content": None}], [USER]),
    "an answer first gets a question": (
        [{"role": "assistant", "content": "a"}],
        [FILLER, {"role": "assistant", "content": [{"type": "text", "text": "a"}]}],
    ),
    "only a system prompt gets a question": ([{"role": "system", "content": "Be brief."}], [FILLER]),
    "parallel tool calls and their results": (
        [
            ASK,
            {"role": "assistant", "content": "ok", "tool_calls": [call("1", '{"x": 1}'), call("2", "")]},
            {"role": "tool", "tool_call_id": "1", "content": "one"},
            {"role": "tool", "tool_call_id": "2", "content": [{"type": "text", "text": "two"}]},
            ASK,
        ],
        [
            USER,
            {"role": "assistant", "content": [{"type": "text", "text": "ok"}, use("1", {"x": 1}), use("2", {})]},
            {
                "role": "user",
                "content": [result("1", "one"), result("2", [{"type": "text", "text": "two"}]), *USER["content"]],
            },
        ],
    ),
    "a tool result without content": ([ASK, {"role": "tool", "tool_call_id": "1"}], None),
    "an old function result": ([ASK, {"role": "function", "name": "f", "content": "x"}], None),
    "an image by data URL": (
        [image("data:image/png;base64,AAAA")],
        [
            {
                "role": "user",
                "content": [
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}
                ],
            }
        ],
    ),
    "an image by https": (
        [image("https://example.org/a.png")],
        [
            {
                "role": "user",
                "content": [{"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}}],
            }
        ],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("messages", "wanted"), CONVERSATIONS.values(), ids=CONVERSATIONS.keys())
def test_messages(messages: list[object], wanted: list[object] | None) -> None:
    """Every kind of message has its place; turns alternate and begin with the user."""
    got = translated(messages=messages)["messages"]
    assert isinstance(got, list)
    assert wanted is None or got == wanted
    roles = [message["role"] for message in got]
    assert roles == ["user", "assistant"] * (len(roles) // 2) + ["user"] * (len(roles) % 2)


def test_system_and_developer_prompts_are_joined() -> None:
    """They leave the messages, wherever they stood, as text or as parts."""
    system = {"role": "system", "content": "Be brief."}
    developer = {"role": "developer", "content": [{"type": "text", "text": "Be "}, {"type": "text", "text": "kind."}]}
    got = translated(messages=[system, ASK, developer])
    assert got["system"] == "Be brief.\n\nBe kind."
    assert got["messages"] == [USER]


FIELDS = {
    # what: request fields, fields of the translation
    "model and a default limit": ({}, {"model": "claude-now-id", "max_tokens": 4096}),
    "max_tokens": ({"max_tokens": 7}, {"max_tokens": 7}),
    "max_completion_tokens": ({"max_completion_tokens": 8, "max_tokens": 7}, {"max_tokens": 8}),
    "a temperature above one leaves Anthropic's own, which is one": ({"temperature": 1.7}, {"temperature": None}),
    "temperature": ({"temperature": 0.3, "top_p": 0.5}, {"temperature": 0.3, "top_p": None}),
    "top_p": ({"top_p": 0.5}, {"top_p": 0.5, "temperature": None}),
    "one stop": ({"stop": "END"}, {"stop_sequences": ["END"]}),
    "stops": ({"stop": ["a", "b"]}, {"stop_sequences": ["a", "b"]}),
    "no stop": ({"stop": []}, {"stop_sequences": None}),
    "user": ({"user": "u1"}, {"metadata": {"user_id": "u1"}}),
    "stream": ({"stream": True, "stream_options": {"include_usage": True}}, {"stream": True, "stream_options": None}),
    "no stream": ({"stream": False}, {"stream": None}),
    "what only OpenAI knows": ({"seed": 1, "logit_bias": {}, "n": 1}, {"seed": None, "logit_bias": None, "n": None}),
    "tools": (
        {"tools": [TOOL]},
        {
            "tools": [{"name": "look_up", "description": "d", "input_schema": FUNCTION["parameters"]}],
            "tool_choice": None,
        },
    ),
    "a bare tool": (
        {"tools": [{"type": "function", "function": {"name": "f"}}]},
        {"tools": [{"name": "f", "description": "", "input_schema": {"type": "object", "properties": {}}}]},
    ),
    "tool_choice auto": ({"tools": [TOOL], "tool_choice": "auto"}, {"tool_choice": {"type": "auto"}}),
    "tool_choice none": ({"tools": [TOOL], "tool_choice": "none"}, {"tool_choice": {"type": "none"}}),
    "tool_choice required": ({"tools": [TOOL], "tool_choice": "required"}, {"tool_choice": {"type": "any"}}),
    "tool_choice by name": (
        {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "look_up"}}},
        {"tool_choice": {"type": "tool", "name": "look_up"}},
    ),
    "one tool call at a time": (
        {"tools": [TOOL], "parallel_tool_calls": False},
        {"tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
    ),
    "one required tool call": (
        {"tools": [TOOL], "parallel_tool_calls": False, "tool_choice": "required"},
        {"tool_choice": {"type": "any", "disable_parallel_tool_use": True}},
    ),
    "no tool call, one at a time": (
        {"tools": [TOOL], "parallel_tool_calls": False, "tool_choice": "none"},
        {"tool_choice": {"type": "none"}},
    ),
    "no tools": ({"tools": [], "tool_choice": "auto"}, {"tools": None, "tool_choice": None}),
    "JSON": ({"response_format": {"type": "json_object"}}, {"system": "Answer with one JSON object and nothing else."}),
    "JSON by schema": (
        {"response_format": {"type": "json_schema", "json_schema": {"schema": {"type": "object"}}}},
        {
            "system": "Answer with one JSON object and nothing else. "
            'It must match this JSON schema: {"type":"object"}'
        },
    ),
    "text": ({"response_format": {"type": "text"}}, {"system": None}),
}  # fmt: skip


@pytest.mark.parametrize(("fields", "wanted"), FIELDS.values(), ids=FIELDS.keys())
def test_fields(fields: dict[str, object], wanted: dict[str, object]) -> None:
    """Each field has its word or is left out (None)."""
    got = translated(**fields)
    assert {name: got.get(name) for name in wanted} == wanted


def test_a_temperature_of_ours_gives_way_to_the_callers() -> None:
    """The rules' temperature is used only when the caller named none."""
    request = decoded()
    assert orjson.loads(request_body(request, CLAUDE, temperature=0.2))["temperature"] == 0.2
    assert orjson.loads(request_body(decoded(temperature=0.9), CLAUDE, temperature=0.2))["temperature"] == 0.9
    assert "temperature" not in orjson.loads(request_body(request, CLAUDE, temperature=None))


def test_models_that_refuse_a_temperature_get_none() -> None:
    """Neither it nor top_p is sent to a model that would answer 400 because of it."""
    fixed = replace(CLAUDE, accepts_temperature=False)
    assert translated(fixed, temperature=0.5, top_p=0.5).keys() == {"model", "max_tokens", "messages"}


REFUSED = {
    "several answers": ({"n": 2}, "n > 1"),
    "a tool that is no function": ({"tools": [{"type": "custom", "custom": {}}]}, "a tool that is not a function"),
    "audio": ({"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]}, "a content part of type input_"),
    "an image without a URL": ({"messages": [image(5)]}, "an image without a URL"),  # type: ignore[arg-type]
    "tool calls that are no list": ({"messages": [ASK, {"role": "assistant", "tool_calls": 5}]}, "not a list"),
    "a tool call that is no object": ({"messages": [ASK, {"role": "assistant", "tool_calls": [5]}]}, "not a function"),
    "arguments that are not JSON": (
        {"messages": [ASK, {"role": "assistant", "tool_calls": [call("1", "{")]}]},
        "arguments that are not JSON",
    ),
    "arguments that are no object": (
        {"messages": [ASK, {"role": "assistant", "tool_calls": [call("1", "[1]")]}]},
        "arguments that are not an object",
    ),
    "arguments nested too deep": (
        {"messages": [ASK, {"role": "assistant", "tool_calls": [call("1", '{"a":' * 300 + "1" + "}" * 300)]}]},
        "JSON that deep",
    ),
}


@pytest.mark.parametrize(("fields", "why"), REFUSED.values(), ids=REFUSED.keys())
def test_what_has_no_word_there(fields: dict[str, object], why: str) -> None:
    """It is said in words, so that another target is tried."""
    with pytest.raises(NotTranslatable, match=why):
        translated(**fields)


scalars = (
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "x", "user", "assistant", "text", "tool"])
)
names = st.sampled_from(["role", "content", "type", "text", "function", "tool_calls", "name", "arguments", "image_url"])
json = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=4), max_leaves=10
)
messages = st.fixed_dictionaries(
    {"role": st.sampled_from(["system", "user", "assistant", "tool"])},
    optional={"content": json, "tool_calls": json, "tool_call_id": json, "name": json},
)
options = st.dictionaries(
    st.sampled_from(["tools", "tool_choice", "response_format", "stop", "user", "parallel_tool_calls"]), json
)


@given(st.lists(messages, min_size=1, max_size=4), options)
def test_whatever_decodes_is_translated_or_refused(talk: list[object], fields: dict[str, object]) -> None:
    """No request that passed decoding makes the translation fail in another way."""
    body = orjson.dumps({"model": "auto", "messages": talk, **fields})
    try:
        request = decode(Operation.CHAT, {}, body, "acme", Caps())
        got = orjson.loads(request_body(request, CLAUDE, temperature=None))
    except (RequestError, NotTranslatable):
        return
    assert got["messages"][0]["role"] == "user"
