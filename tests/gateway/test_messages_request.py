"""Anthropic Messages requests as chat requests: each field as the table in the dialects' README says."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from controller.config.settings import Caps
from controller.core.errors import RequestError
from controller.core.requests import Operation
from controller.gateway.decode import Decoded, NotTranslatable
from controller.gateway.dialects.messages_caller import MESSAGES_CALLER
from controller.gateway.openai_wire import request_body
from tests.gateway.gateway_builders import GPT, LLAMA

ASKED: dict[str, Any] = {"model": "auto", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}
TOOL = {"name": "look", "description": "looks", "input_schema": {"type": "object"}}
FUNCTION = {"name": "look", "parameters": {"type": "object"}, "description": "looks"}
PIXEL = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}}


def decoded(operation: Operation = Operation.CHAT, **fields: object) -> Decoded:
    """A Messages request as the gateway sees it."""
    return MESSAGES_CALLER.decode(operation, {}, orjson.dumps({**ASKED, **fields}), "acme", Caps())


def chat(**fields: object) -> dict[str, Any]:
    """The chat request that it becomes."""
    return decoded(**fields).document


FIELDS: list[tuple[dict[str, object], dict[str, object]]] = [
    ({"temperature": 0.5, "top_p": 0.9, "top_k": 5}, {"temperature": 0.5, "top_p": 0.9, "top_k": 5}),
    ({"stop_sequences": ["a", "b"]}, {"stop": ["a", "b"]}),
    ({"metadata": {"user_id": "u-1"}}, {"user": "u-1"}),
    ({"stream": True}, {"stream": True, "stream_options": {"include_usage": True}}),
    ({"tools": [TOOL]}, {"tools": [{"type": "function", "function": FUNCTION}]}),
    ({"tool_choice": {"type": "auto"}}, {"tool_choice": "auto"}),
    ({"tool_choice": {"type": "any"}}, {"tool_choice": "required"}),
    ({"tool_choice": {"type": "none"}}, {"tool_choice": "none"}),
    (
        {"tool_choice": {"type": "tool", "name": "look", "disable_parallel_tool_use": True}},
        {"tool_choice": {"type": "function", "function": {"name": "look"}}, "parallel_tool_calls": False},
    ),
    (
        {"output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}, "effort": "low"}},
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "answer", "schema": {"type": "object"}, "strict": True},
            },
            "reasoning_effort": "low",
        },
    ),
]


@pytest.mark.parametrize(("asked", "wanted"), FIELDS, ids=[",".join(row[0]) for row in FIELDS])
def test_a_field(asked: dict[str, object], wanted: dict[str, object]) -> None:
    """Becomes its chat counterpart, and nothing else changes."""
    got, plain = chat(**asked), chat()
    assert {name: value for name, value in got.items() if plain.get(name) != value and name != "metadata"} == wanted


MESSAGES: list[tuple[str, object, list[dict[str, object]]]] = [
    ("text", [{"role": "user", "content": "Hi"}], [{"role": "user", "content": "Hi"}]),
    ("one block", [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}], [{"role": "user", "content": "Hi"}]),
    (
        "image",
        [{"role": "user", "content": [{"type": "text", "text": "See"}, PIXEL]}],
        [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "See"},
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}},
                ],
            }
        ],
    ),
    (
        "parallel tools",
        [
            {"role": "user", "content": "Go"},
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "hm", "signature": "s"},
                    {"type": "text", "text": "I look"},
                    {"type": "tool_use", "id": "t1", "name": "look", "input": {"at": 1}},
                    {"type": "tool_use", "id": "t2", "name": "look", "input": {}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "t1", "content": "one"},
                    {"type": "tool_result", "tool_use_id": "t2", "content": [{"type": "text", "text": "two"}]},
                    {"type": "text", "text": "and?"},
                ],
            },
        ],
        [
            {"role": "user", "content": "Go"},
            {
                "role": "assistant",
                "content": "I look",
                "tool_calls": [
                    {"id": "t1", "type": "function", "function": {"name": "look", "arguments": '{"at":1}'}},
                    {"id": "t2", "type": "function", "function": {"name": "look", "arguments": "{}"}},
                ],
            },
            {"role": "tool", "tool_call_id": "t1", "content": "one"},
            {"role": "tool", "tool_call_id": "t2", "content": "two"},
            {"role": "user", "content": "and?"},
        ],
    ),
]


@pytest.mark.parametrize(("asked", "wanted"), [row[1:] for row in MESSAGES], ids=[row[0] for row in MESSAGES])
def test_messages(asked: object, wanted: object) -> None:
    """Text, images, tool calls and their results, in chat's order."""
    assert chat(messages=asked)["messages"] == wanted


@pytest.mark.parametrize(
    "system",
    ["Be brief.\n\nBe kind.", [{"type": "text", "text": "Be brief."}, {"type": "text", "text": "Be kind."}]],
    ids=["text", "blocks"],
)
def test_the_system_prompt(system: object) -> None:
    """Is the first message."""
    assert chat(system=system)["messages"][0] == {"role": "system", "content": "Be brief.\n\nBe kind."}


def test_an_answer_begun_by_the_caller() -> None:
    """Is continued by own engines, and no other chat target can."""
    begun = decoded(messages=[*ASKED["messages"], {"role": "assistant", "content": "The answer is"}])
    body = orjson.loads(request_body(begun, LLAMA, is_own=True, temperature=None))
    assert (body["continue_final_message"], body["add_generation_prompt"]) == (True, False)
    with pytest.raises(NotTranslatable, match="begun by the caller"):
        request_body(begun, GPT, is_own=False, temperature=None)


NATIVE: list[tuple[str, dict[str, object]]] = [
    ("document", {"messages": [{"role": "user", "content": [{"type": "document", "source": {}}]}]}),
    ("web_search", {"tools": [{"type": "web_search_20250305", "name": "web_search"}]}),
    ("mcp_servers", {"mcp_servers": [{"type": "url", "url": "https://tools.example"}]}),
    (
        "an image from file",
        {"messages": [{"role": "user", "content": [{"type": "image", "source": {"type": "file"}}]}]},
    ),
    (
        "a tool result that is not text",
        {"messages": [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": [PIXEL]}]}]},
    ),
]


@pytest.mark.parametrize(("what", "fields"), NATIVE, ids=[row[0] for row in NATIVE])
def test_what_only_anthropic_has_a_word_for(what: str, fields: dict[str, object]) -> None:
    """Is named, and goes to no chat target."""
    asked = decoded(**fields)
    assert asked.native_only is not None
    assert what in asked.native_only
    with pytest.raises(NotTranslatable, match=what.split("_", maxsplit=1)[0]):
        request_body(asked, LLAMA, is_own=True, temperature=None)


def test_what_is_dropped_is_said() -> None:
    """Fields that no chat API has and that do not change the meaning are named."""
    result = {"type": "tool_result", "tool_use_id": "t", "content": "no", "is_error": True}
    asked = decoded(
        thinking={"type": "enabled", "budget_tokens": 2000},
        service_tier="auto",
        system=[{"type": "text", "text": "Hi", "cache_control": {"type": "ephemeral"}}],
        messages=[{"role": "user", "content": [result]}],
    )
    assert set(asked.dropped) == {"thinking", "service_tier", "system.cache_control", "tool_result.is_error"}


WRONG: list[tuple[str, dict[str, object], str]] = [
    ("no limit", {"max_tokens": None}, "max_tokens"),
    ("limit of 0", {"max_tokens": 0}, "max_tokens"),
    ("limit as bool", {"max_tokens": True}, "max_tokens"),
    ("no messages", {"messages": []}, "messages"),
    ("message", {"messages": [1]}, "messages[0]"),
    ("role", {"messages": [{"role": "robot", "content": "Hi"}]}, "messages[0].role"),
    ("content", {"messages": [{"role": "user", "content": 1}]}, "messages[0].content"),
    ("text", {"messages": [{"role": "user", "content": [{"type": "text", "text": 1}]}]}, "messages[0]"),
    (
        "result",
        {"messages": [{"role": "user", "content": [{"type": "tool_result", "content": 1}]}]},
        "messages[0].content",
    ),
    ("system", {"system": 1}, "system"),
    ("system block", {"system": [{"type": "image"}]}, "system[0]"),
    ("temperature", {"temperature": 1.5}, "temperature"),
    ("top_k", {"top_k": -1}, "top_k"),
    ("stop", {"stop_sequences": "a"}, "stop_sequences"),
    ("tools", {"tools": ["look"]}, "tools"),
    ("choice", {"tool_choice": {"type": "some"}}, "tool_choice"),
    ("metadata", {"metadata": 1}, "metadata"),
    ("model", {"model": 7}, "model"),
]


@pytest.mark.parametrize(("fields", "param"), [row[1:] for row in WRONG], ids=[row[0] for row in WRONG])
def test_a_wrong_field_is_named(fields: dict[str, object], param: str) -> None:
    """400 with the name of what is wrong."""
    with pytest.raises(RequestError) as refused:
        decoded(**fields)
    assert (refused.value.status, refused.value.param) == (400, param)


def test_counting_needs_no_limit() -> None:
    """A token count asks for no answer."""
    body = orjson.dumps({"model": "auto", "messages": ASKED["messages"]})
    asked = MESSAGES_CALLER.decode(Operation.COUNT_TOKENS, {}, body, "acme", Caps())
    assert asked.facts.text_bytes == 2


def test_task_words_come_from_metadata_too() -> None:
    """As for chat callers."""
    assert decoded(metadata={"task": "critique"}).facts.explicit_task == "critique"
