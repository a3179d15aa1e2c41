"""Anthropic messages as OpenAI chat completions, between the official types of both clients."""

from __future__ import annotations

import orjson
import pytest
from anthropic.types import Message
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion

from controller.core.errors import EngineUnavailable, UpstreamRejected
from controller.core.money import Usage
from controller.gateway.answers import upstream_message
from controller.gateway.anthropic_stream import read_unary

TEXT = {"type": "text", "text": "Hi", "citations": None}
THINKING = {"type": "thinking", "thinking": "hm", "signature": "s"}
COUNTS = {"input_tokens": 10, "output_tokens": 5}


def use(name: str, arguments: object) -> dict[str, object]:
    """A tool call."""
    return {"type": "tool_use", "id": f"id-{name}", "name": name, "input": arguments}


def message(*content: object, reason: str = "end_turn", usage: object = COUNTS) -> bytes:
    """An answer that the official Anthropic client would take."""
    document = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude", "content": content}
    body = orjson.dumps({**document, "stop_reason": reason, "stop_sequence": None, "usage": usage})
    Message.model_validate_json(body)
    return body


def completion(body: bytes) -> tuple[ChatCompletion, Usage | None]:
    """The answer as the official OpenAI client parses it."""
    answer, usage = read_unary(body, 7)
    return ChatCompletion.model_validate(orjson.loads(answer), strict=True), usage


def test_text() -> None:
    """Pieces of text are one text; what the caller cannot see is left out; id, model and time are there."""
    got, usage = completion(message(THINKING, TEXT, TEXT))
    choice = got.choices[0]
    assert (choice.message.content, choice.message.role, choice.message.tool_calls) == ("HiHi", "assistant", None)
    assert (choice.finish_reason, choice.index) == ("stop", 0)
    assert (got.id, got.model, got.created, got.object) == ("msg_1", "claude", 7, "chat.completion")
    assert usage == Usage(input_tokens=10, output_tokens=5)
    assert got.usage is not None
    assert (got.usage.prompt_tokens, got.usage.completion_tokens, got.usage.total_tokens) == (10, 5, 15)


def test_tool_calls() -> None:
    """Arguments become JSON text; content is null when there is nothing but calls."""
    got, _ = completion(message(use("a", {"x": [1]}), use("b", {}), reason="tool_use"))
    calls = got.choices[0].message.tool_calls
    assert calls is not None
    assert [(call.id, call.type) for call in calls] == [("id-a", "function"), ("id-b", "function")]
    functions = [call.function for call in calls if call.type == "function"]
    assert [(function.name, function.arguments) for function in functions] == [("a", '{"x":[1]}'), ("b", "{}")]
    assert got.choices[0].finish_reason == "tool_calls"
    assert got.choices[0].message.content is None
    assert completion(message(TEXT, use("a", {}), reason="tool_use"))[0].choices[0].message.content == "Hi"


def test_an_empty_answer_has_an_empty_text() -> None:
    """Content is "" rather than null, as from OpenAI."""
    assert completion(message())[0].choices[0].message.content == ""


@pytest.mark.parametrize(
    ("usage", "wanted"),
    [
        ({**COUNTS, "cache_read_input_tokens": 30, "cache_creation_input_tokens": 2}, (42, 5, 30)),
        ({**COUNTS, "cache_read_input_tokens": None}, (10, 5, 0)),
    ],
    ids=["cached reads and writes are input", "nulls are nothing"],
)
def test_usage(usage: dict[str, int | None], wanted: tuple[int, int, int]) -> None:
    """What is billed is what the provider counted; cached input is told apart."""
    got, used = completion(message(TEXT, usage=usage))
    inputs, outputs, cached = wanted
    assert used == Usage(input_tokens=inputs, output_tokens=outputs, cached_input_tokens=cached)
    assert got.usage is not None
    assert got.usage.prompt_tokens_details is not None
    assert (got.usage.prompt_tokens, got.usage.prompt_tokens_details.cached_tokens) == (inputs, cached)


def test_an_answer_without_usage() -> None:
    """It is relayed; metering estimates."""
    answer, usage = read_unary(b'{"content":[{"type":"text","text":"Hi"}]}', 7)
    assert usage is None
    assert b'"usage"' not in answer


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b'{"content":"Hi"}', b"\xff", b'{"type":"message"}'])
def test_a_200_that_is_no_answer(body: bytes) -> None:
    """It counts as a failure, so that another target is tried."""
    with pytest.raises(EngineUnavailable, match="answered 200"):
        read_unary(body, 7)


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("invalid_request_error", 400),
        ("authentication_error", 401),
        ("permission_error", 403),
        ("not_found_error", 404),
        ("request_too_large", 413),
        ("rate_limit_error", 429),
        ("api_error", 500),
        ("timeout_error", 504),
        ("overloaded_error", 529),
        ("new_error", 502),
    ],
)
def test_an_error_in_a_200(kind: str, status: int) -> None:
    """It gets the status that Anthropic gives it elsewhere, and keeps its words."""
    body = orjson.dumps({"type": "error", "error": {"type": kind, "message": "why"}})
    with pytest.raises(UpstreamRejected) as caught:
        read_unary(body, 7)
    assert caught.value.status == status
    assert upstream_message(caught.value.body)[:2] == ("why", kind)


json = st.recursive(
    st.none() | st.integers(-3, 3) | st.sampled_from(["text", "tool_use", "x"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["type", "text", "input", "output_tokens"]), inner)
    ),
    max_leaves=10,
)


@given(st.lists(json, max_size=4), json, json)
def test_odd_answers_never_break_the_reader(content: list[object], usage: object, reason: object) -> None:
    """Any content blocks, usage and stop reason give a completion."""
    body = {"content": content, "usage": usage, "stop_reason": reason}
    answer, _ = read_unary(orjson.dumps(body), 7)
    assert orjson.loads(answer)["choices"][0]["finish_reason"] in ("stop", "tool_calls")
