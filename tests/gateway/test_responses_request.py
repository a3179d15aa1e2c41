"""OpenAI Responses requests as chat requests: each field as the table in the dialects' README says."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from controller.config.settings import Caps
from controller.core.errors import RequestError
from controller.core.requests import Operation
from controller.gateway.decode import Decoded
from controller.gateway.dialects.responses_caller import RESPONSES_CALLER

ASKED: dict[str, Any] = {"model": "auto", "input": "Hi"}
HELLO = {"role": "user", "content": "Hi"}
LOOK = {"type": "function", "name": "look", "description": "looks", "parameters": {"type": "object"}, "strict": True}
FUNCTION = {
    "type": "function",
    "function": {"name": "look", "parameters": {"type": "object"}, "strict": True, "description": "looks"},
}
PATCH = {"type": "custom", "name": "patch", "format": {"type": "grammar", "syntax": "lark", "definition": "x"}}
PIXEL = {"type": "input_image", "image_url": "data:image/png;base64,aGk=", "detail": "low"}
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk=", "detail": "low"}}


def decoded(**fields: object) -> Decoded:
    """A Responses request as the gateway sees it."""
    return RESPONSES_CALLER.decode(Operation.CHAT, {}, orjson.dumps({**ASKED, **fields}), "acme", Caps())


def chat(**fields: object) -> dict[str, Any]:
    """The chat request that it becomes."""
    return decoded(**fields).document


SCHEMA = {"name": "s", "schema": {"type": "object"}, "strict": True}
FIELDS: list[tuple[dict[str, object], dict[str, object]]] = [
    ({"temperature": 0.5, "top_p": 0.9}, {"temperature": 0.5, "top_p": 0.9}),
    ({"max_output_tokens": 20}, {"max_tokens": 20}),
    ({"user": "u-1", "safety_identifier": "s"}, {"user": "u-1", "safety_identifier": "s"}),
    ({"prompt_cache_key": "k", "service_tier": "flex"}, {"prompt_cache_key": "k", "service_tier": "flex"}),
    ({"metadata": {"task": "critique"}}, {"metadata": {"task": "critique"}}),
    ({"stream": True}, {"stream": True, "stream_options": {"include_usage": True}}),
    ({"store": False, "background": False, "truncation": "disabled"}, {}),
    ({"reasoning": {"effort": "low"}}, {"reasoning_effort": "low"}),
    ({"text": {"format": {"type": "text"}, "verbosity": "low"}}, {"verbosity": "low"}),
    ({"text": {"format": {"type": "json_object"}}}, {"response_format": {"type": "json_object"}}),
    (
        {"text": {"format": {"type": "json_schema", **SCHEMA}}},
        {"response_format": {"type": "json_schema", "json_schema": SCHEMA}},
    ),
    ({"tools": [LOOK], "tool_choice": "required"}, {"tools": [FUNCTION], "tool_choice": "required"}),
    ({"tools": [LOOK], "parallel_tool_calls": False}, {"tools": [FUNCTION], "parallel_tool_calls": False}),
    (
        {"tools": [LOOK], "tool_choice": {"type": "function", "name": "look"}},
        {"tools": [FUNCTION], "tool_choice": {"type": "function", "function": {"name": "look"}}},
    ),
    (
        {
            "tools": [LOOK, {**LOOK, "name": "see"}],
            "tool_choice": {"type": "allowed_tools", "mode": "required", "tools": [LOOK]},
        },
        {"tools": [FUNCTION], "tool_choice": "required"},
    ),
    ({"tool_choice": "auto", "parallel_tool_calls": True}, {}),
    ({"include": ["message.output_text.logprobs"], "top_logprobs": 2}, {"logprobs": True, "top_logprobs": 2}),
]


@pytest.mark.parametrize(("asked", "wanted"), FIELDS, ids=[",".join(row[0]) for row in FIELDS])
def test_a_field(asked: dict[str, object], wanted: dict[str, object]) -> None:
    """Becomes its chat counterpart, nothing else changes, and nothing is dropped."""
    got, plain = chat(**asked), chat()
    assert {name: value for name, value in got.items() if plain.get(name) != value} == wanted
    assert decoded(**asked).dropped == ()


CALL = {"type": "function_call", "call_id": "c1", "name": "look", "arguments": "{}"}
RESULT = {"type": "function_call_output", "call_id": "c1", "output": "blue"}
CALLED = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
INPUTS: list[tuple[str, dict[str, object], list[dict[str, object]]]] = [
    ("text", {"input": "Hi"}, [HELLO]),
    ("instructions", {"instructions": "Be kind."}, [{"role": "system", "content": "Be kind."}, HELLO]),
    ("easy message", {"input": [HELLO]}, [HELLO]),
    (
        "parts",
        {"input": [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]}]},
        [HELLO],
    ),
    (
        "image",
        {"input": [{"role": "user", "content": [{"type": "input_text", "text": "See"}, PIXEL]}]},
        [{"role": "user", "content": [{"type": "text", "text": "See"}, IMAGE]}],
    ),
    (
        "developer beside instructions",
        {"instructions": "Be kind.", "input": [{"role": "developer", "content": "Be brief."}, HELLO]},
        [{"role": "system", "content": "Be kind.\n\nBe brief."}, HELLO],
    ),
    (
        "an answer as it came",
        {
            "input": [
                HELLO,
                {"type": "reasoning", "id": "rs_1", "summary": [], "content": []},
                {
                    "type": "message",
                    "id": "msg_1",
                    "role": "assistant",
                    "status": "completed",
                    "content": [{"type": "output_text", "text": "Yes", "annotations": []}],
                },
                HELLO,
            ]
        },
        [HELLO, {"role": "assistant", "content": "Yes"}, HELLO],
    ),
    (
        "parallel tools and their outputs",
        {"input": [HELLO, CALL, {**CALL, "call_id": "c2"}, RESULT, {**RESULT, "call_id": "c2"}]},
        [
            HELLO,
            {"role": "assistant", "content": None, "tool_calls": [CALLED, {**CALLED, "id": "c2"}]},
            {"role": "tool", "tool_call_id": "c1", "content": "blue"},
            {"role": "tool", "tool_call_id": "c2", "content": "blue"},
        ],
    ),
    (
        "words before a call",
        {"input": [HELLO, {"role": "assistant", "content": "I look"}, CALL, {**RESULT, "output": [PIXEL]}]},
        [
            HELLO,
            {"role": "assistant", "content": "I look", "tool_calls": [CALLED]},
            {"role": "tool", "tool_call_id": "c1", "content": [IMAGE]},
        ],
    ),
    (
        "a custom tool's call",
        {
            "input": [
                HELLO,
                {"type": "custom_tool_call", "call_id": "c1", "name": "patch", "input": "a\nb"},
                {"type": "custom_tool_call_output", "call_id": "c1", "output": "done"},
            ]
        },
        [
            HELLO,
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {
                        "id": "c1",
                        "type": "function",
                        "function": {"name": "patch", "arguments": '{"input":"a\\nb"}'},
                    }
                ],
            },
            {"role": "tool", "tool_call_id": "c1", "content": "done"},
        ],
    ),
]


@pytest.mark.parametrize(("asked", "wanted"), [row[1:] for row in INPUTS], ids=[row[0] for row in INPUTS])
def test_input(asked: dict[str, object], wanted: list[dict[str, object]]) -> None:
    """Items become messages."""
    assert chat(**asked)["messages"] == wanted


def test_custom_tools_and_namespaces_are_functions() -> None:
    """A custom tool takes one text and says its grammar; a namespace stands in front of its tools' names."""
    space = {"type": "namespace", "name": "mcp__files", "description": "files", "tools": [LOOK]}
    tools = chat(tools=[PATCH, space])["tools"]
    patch = tools[0]["function"]
    assert patch["parameters"]["required"] == ["input"]
    assert "lark" in patch["description"]
    assert tools[1]["function"]["name"] == "mcp__files__look"


DROPPED: list[tuple[dict[str, object], tuple[str, ...]]] = [
    ({"include": ["reasoning.encrypted_content"]}, ("include.reasoning.encrypted_content",)),
    ({"reasoning": {"effort": "low", "summary": "auto"}}, ("reasoning.summary",)),
    ({"client_metadata": {"a": "b"}, "max_tool_calls": 3}, ("client_metadata", "max_tool_calls")),
    ({"truncation": "auto"}, ("truncation",)),
    ({"tools": [LOOK, {"type": "web_search"}]}, ("tools.web_search",)),
]


@pytest.mark.parametrize(("asked", "wanted"), DROPPED, ids=[row[1][0] for row in DROPPED])
def test_dropped(asked: dict[str, object], wanted: tuple[str, ...]) -> None:
    """Left out and named."""
    assert decoded(**asked).dropped == wanted


REFUSED: list[tuple[dict[str, object], str]] = [
    ({"previous_response_id": "resp_1"}, "previous_response_id"),
    ({"conversation": "conv_1"}, "conversation"),
    ({"prompt": {"id": "p"}}, "prompt"),
    ({"moderation": {"model": "m"}}, "moderation"),
    ({"store": True}, "store"),
    ({"background": True}, "background"),
    ({"input": None}, "input"),
    ({"input": []}, "input"),
    ({"input": [{"type": "reasoning", "summary": []}]}, "input"),
    ({"input": [7]}, "input[0]"),
    ({"input": [{"type": "item_reference", "id": "x"}]}, "input[0]"),
    ({"input": [{"type": {"a": 1}}]}, "input[0]"),
    ({"input": [{"role": {}, "content": "x"}]}, "input[0].role"),
    ({"input": [{"role": "user", "content": 7}]}, "input[0].content"),
    ({"input": [{"role": "user", "content": [7]}]}, "input[0].content[0]"),
    ({"input": [{"role": "user", "content": [{"type": "input_file"}]}]}, "input[0].content[0]"),
    ({"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}]}, "input[0].content[0]"),
    ({"input": [{"role": "user", "content": [{"type": "input_text"}]}]}, "input[0].content[0].text"),
    ({"input": [{"type": "function_call", "name": "x"}]}, "input[0].arguments"),
    ({"input": [{"type": "function_call_output", "output": "x"}]}, "input[0].call_id"),
    ({"input": [HELLO] * 10_001}, "input"),
    ({"instructions": 7}, "instructions"),
    ({"max_output_tokens": 0}, "max_output_tokens"),
    ({"temperature": 3}, "temperature"),
    ({"text": 7}, "text"),
    ({"text": {"format": {"type": "xml"}}}, "text.format"),
    ({"reasoning": 7}, "reasoning"),
    ({"include": "x"}, "include"),
    ({"tools": 7}, "tools"),
    ({"tools": [7]}, "tools[0]"),
    ({"tools": [{"type": 7}]}, "tools[0].type"),
    ({"tools": [{"type": "function"}]}, "tools[0].name"),
    ({"tools": [{"type": "namespace", "name": "x"}]}, "tools[0].tools"),
    ({"tools": [{"type": "web_search"}]}, "tools[0]"),
    ({"tools": [LOOK, {"type": "web_search"}], "tool_choice": {"type": "web_search"}}, "tools[1]"),
    ({"tools": [LOOK], "tool_choice": {"type": "function", "name": "x"}}, "tool_choice"),
    ({"tools": [LOOK], "tool_choice": {"type": "mcp"}}, "tool_choice"),
    ({"tools": [LOOK], "tool_choice": {"type": "allowed_tools", "mode": "auto"}}, "tool_choice.tools"),
    ({"tools": [LOOK], "tool_choice": {"type": "allowed_tools", "tools": [LOOK]}}, "tool_choice.mode"),
    ({"tool_choice": "required"}, "tool_choice"),
    ({"model": None}, "model"),
]


@pytest.mark.parametrize(("asked", "param"), REFUSED, ids=[f"{row[1]}-{n}" for n, row in enumerate(REFUSED)])
def test_refused(asked: dict[str, object], param: str) -> None:
    """A 400 that names the field."""
    with pytest.raises(RequestError) as refused:
        decoded(**asked)
    assert (refused.value.status, refused.value.param) == (400, param)


def test_what_codex_sends() -> None:
    """Is understood whole: its tools, its history, its bookkeeping."""
    got = decoded(
        model="llama-8b",
        instructions="You are a coding agent.",
        input=[
            {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "sandbox"}]},
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "ls"}]},
            {"type": "reasoning", "summary": [], "content": None, "encrypted_content": None},
            {"type": "function_call", "name": "shell", "arguments": "{}", "call_id": "c1"},
            {"type": "function_call_output", "call_id": "c1", "output": "README.md"},
        ],
        tools=[
            {"type": "function", "name": "shell", "description": "", "strict": False, "parameters": {"type": "object"}},
            {"type": "web_search", "external_web_access": False},
        ],
        tool_choice="auto",
        parallel_tool_calls=False,
        reasoning={"effort": "medium", "summary": "auto"},
        store=False,
        stream=True,
        include=["reasoning.encrypted_content"],
        prompt_cache_key="thread-1",
        client_metadata={"x-codex-turn": "1"},
        text={"verbosity": "low"},
    )
    assert [message["role"] for message in got.document["messages"]] == ["system", "user", "assistant", "tool"]
    assert [tool["function"]["name"] for tool in got.document["tools"]] == ["shell"]
    assert got.facts.stream
    assert set(got.dropped) == {
        "tools.web_search",
        "reasoning.summary",
        "include.reasoning.encrypted_content",
        "client_metadata",
    }
