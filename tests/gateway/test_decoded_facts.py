"""What a checked request tells of itself: facts for routing, never text."""

from __future__ import annotations

import orjson
import pytest

from controller.config.settings import CAPS, Caps
from controller.core.requests import Operation, Priority
from controller.gateway.decode import decode
from controller.routing.classify import RequestFacts
from controller.routing.prefix import prefixes
from tests.gateway.gateway_builders import decoded

CHAT, COMPLETION, EMBEDDINGS = Operation.CHAT, Operation.COMPLETION, Operation.EMBEDDINGS
USER = {"role": "user", "content": "Hi"}


def facts(headers: dict[bytes, bytes] | None = None, operation: Operation = CHAT, **fields: object) -> RequestFacts:
    """What routing learns."""
    return decoded(operation, headers, **fields).facts


PNG = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
PARTS = [{"type": "text", "text": "ab"}, PNG, {"text": "c"}, {"type": "input_audio"}]
FACTS = {
    # what: fields, facts
    "a small chat": ({}, {"text_bytes": 2, "message_count": 1, "image_count": 0, "stream": False, "max_tokens": None}),
    "bytes, not characters": ({"messages": [{"role": "user", "content": "zażółć"}]}, {"text_bytes": 10}),
    "parts": ({"messages": [USER, {"role": "user", "content": PARTS}]}, {"text_bytes": 5, "image_count": 1}),
    "no content": ({"messages": [{"role": "assistant", "tool_calls": []}]}, {"text_bytes": 0}),
    "tools count with their bytes": ({"tools": [{"a": "b"}]}, {"tool_count": 1, "text_bytes": 2 + len('[{"a":"b"}]')}),
    "no tools": ({"tools": []}, {"tool_count": 0, "text_bytes": 2}),
    "JSON": ({"response_format": {"type": "json_object"}}, {"json_output": True}),
    "JSON by schema": ({"response_format": {"type": "json_schema"}}, {"json_output": True}),
    "text": ({"response_format": {"type": "text"}}, {"json_output": False}),
    "the newer limit wins": ({"max_tokens": 5, "max_completion_tokens": 6}, {"max_tokens": 6}),
    "the older limit": ({"max_tokens": CAPS.tokens}, {"max_tokens": CAPS.tokens}),
    "a stream": ({"stream": True}, {"stream": True}),
    "task and complexity in metadata": (
        {"metadata": {"task": "Critique ", "complexity": "SIMPLE", "other": 1}},
        {"explicit_task": "critique", "explicit_complexity": "simple"},
    ),
}


@pytest.mark.parametrize(("fields", "wanted"), FACTS.values(), ids=FACTS.keys())
def test_facts(fields: dict[str, object], wanted: dict[str, object]) -> None:
    """Counts and words, never text."""
    got = facts(**fields)
    assert {name: getattr(got, name) for name in wanted} == wanted


@pytest.mark.parametrize(
    ("operation", "value", "text_bytes"),
    [
        (COMPLETION, "abc", 3),
        (COMPLETION, ["abc", "de"], 5),
        (COMPLETION, [1, 2, 3], 12),
        (COMPLETION, [[1, 2], [3]], 12),
        (EMBEDDINGS, ["ab"], 2),
    ],
)
def test_prompts(operation: Operation, value: object, text_bytes: int) -> None:
    """Texts count their bytes, token ids four each."""
    name = "prompt" if operation is COMPLETION else "input"
    assert facts(operation=operation, **{name: value}).text_bytes == text_bytes


HEADERS = {
    "task and complexity": (
        {b"x-spillway-task": b" Critique ", b"x-spillway-complexity": b"Simple"},
        {"explicit_task": "critique", "explicit_complexity": "simple"},
    ),
    "never spill": ({b"x-spillway-spill": b"Never"}, {"spill_allowed": False}),
    "spill": ({b"x-spillway-spill": b"auto"}, {"spill_allowed": True}),
    "a priority": ({b"x-spillway-priority": b" Batch"}, {"priority": Priority.BATCH}),
    "no priority": ({}, {"priority": None}),
    "a deadline": ({b"x-stainless-read-timeout": b"7.5"}, {"deadline_s": 7.5}),
    "a deadline that is none": ({b"x-stainless-read-timeout": b"NOT_GIVEN"}, {"deadline_s": None}),
    "no time at all": ({b"x-stainless-read-timeout": b"0"}, {"deadline_s": None}),
    "not a number": ({b"x-stainless-read-timeout": b"nan"}, {"deadline_s": None}),
    "for ever": ({b"x-stainless-read-timeout": b"inf"}, {"deadline_s": None}),
}


@pytest.mark.parametrize(("headers", "wanted"), HEADERS.values(), ids=HEADERS.keys())
def test_request_headers(headers: dict[bytes, bytes], wanted: dict[str, object]) -> None:
    """What callers may say besides the body; a header is stronger than metadata."""
    got = facts(headers, metadata={"task": "recommendation"})
    assert {name: getattr(got, name) for name in wanted} == wanted


def test_the_beginnings_of_a_prompt_are_named() -> None:
    """Over the texts in order, parts of messages among them, and never alike for two tenants."""

    def names(tenant: str, *contents: object) -> tuple[tuple[int, int], ...]:
        body = orjson.dumps({"model": "auto", "messages": [{"role": "user", "content": text} for text in contents]})
        return decode(CHAT, {}, body, tenant, Caps()).facts.prefixes

    parts = [{"type": "text", "text": "b"}, {"type": "image_url", "image_url": {"url": "x"}}]
    assert names("acme", "a", parts, "c") == prefixes("acme", ["a", "b", "c"])
    assert names("acme", "a")[0] == names("acme", "a", "b")[0]
    assert names("acme", "a") != names("other", "a")


@pytest.mark.parametrize(
    ("fields", "wants_usage", "n"),
    [
        ({"stream_options": {"include_usage": True}, "n": 3}, True, 3),
        ({"stream_options": {"include_usage": False}}, False, 1),
        ({"stream_options": {}, "n": None}, False, 1),
    ],
)
def test_what_answers_need(fields: dict[str, object], wants_usage: bool, n: int) -> None:
    """Whether the usage event is the caller's, and how many choices."""
    got = decoded(**fields)
    assert (got.wants_usage, got.n) == (wants_usage, n)
