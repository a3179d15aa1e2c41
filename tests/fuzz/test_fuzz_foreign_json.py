"""Whatever JSON comes in, from callers or upstreams, ends in an answer or in an error of ours that says so."""

from __future__ import annotations

import contextlib
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.config.settings import Caps
from controller.core.errors import RequestError, UpstreamError
from controller.core.requests import Operation, Target
from controller.gateway import anthropic_wire, openai_wire
from controller.gateway.decode import NotTranslatable
from controller.gateway.destinations import Destination
from controller.gateway.dialects.caller import Caller
from controller.gateway.dialects.messages_caller import MESSAGES_CALLER
from controller.gateway.dialects.openai_caller import OPENAI_CALLER
from controller.gateway.dialects.responses_caller import RESPONSES_CALLER
from controller.gateway.relay import retry_after_s
from tests.fuzz.wires import CHAT, MESSAGE, STREAMS, Document
from tests.gateway.gateway_builders import ANTHROPIC, BOUGHT, CLAUDE, OWN, destinations

CALLERS: dict[str, Caller] = {"chat": OPENAI_CALLER, "messages": MESSAGES_CALLER, "responses": RESPONSES_CALLER}
THERE = [OWN, BOUGHT, Target(model=CLAUDE, pool=None, provider=ANTHROPIC, reason="")]
# fmt: off
WORDS = [
    "user", "assistant", "system", "developer", "tool", "function", "text", "image", "image_url", "input_text",
    "output_text", "input_image", "refusal", "message", "function_call", "function_call_output", "custom",
    "custom_tool_call", "custom_tool_call_output", "reasoning", "namespace", "web_search", "tool_use",
    "tool_result", "thinking", "document", "base64", "url", "json_schema", "json_object", "auto", "any", "none",
    "required", "allowed_tools", "low", "data:image/png;base64,aGk=", "{}", '{"a":1}', "[", "stop", "length",
    "tool_calls", "end_turn", "max_tokens", "message_start", "message_delta", "content_block_start",
    "content_block_delta", "message_stop", "text_delta", "input_json_delta", "thinking_delta",
]
# fmt: on
# fmt: off
NAMES = [
    "model", "messages", "input", "instructions", "max_tokens", "max_output_tokens", "max_completion_tokens",
    "temperature", "top_p", "top_k", "n", "stop", "stop_sequences", "stream", "stream_options", "include_usage",
    "tools", "tool_choice", "parallel_tool_calls", "disable_parallel_tool_use", "response_format", "json_schema",
    "schema", "strict", "text", "format", "verbosity", "reasoning", "effort", "include", "store", "metadata",
    "user_id", "user", "thinking", "output_config", "system", "role", "content", "type", "name", "description",
    "parameters", "input_schema", "function", "arguments", "id", "call_id", "tool_call_id", "tool_use_id",
    "tool_calls", "output", "image_url", "url", "source", "media_type", "data", "detail", "logprobs", "seed",
    "namespace", "mode", "choices", "index", "message", "delta", "finish_reason", "usage", "prompt_tokens",
    "completion_tokens", "refusal", "reasoning_content", "input_tokens", "output_tokens", "prompt_tokens_details",
    "cached_tokens", "stop_reason", "error", "code", "partial_json", "content_block", "is_error", "cache_control",
    "logit_bias", "modalities", "reasoning_effort", "created", "summary",
]
# fmt: on
scalars = st.none() | st.booleans() | st.integers(-2, 3) | st.floats(-3, 3) | st.sampled_from(["", "x", *WORDS])
names = st.sampled_from(NAMES)
json = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=5), max_leaves=12
)
bodies = st.dictionaries(names, json, max_size=8)
MINIMUM: dict[str, Document] = {
    "chat": {"model": "m", "messages": [{"role": "user", "content": "Hi"}]},
    "messages": {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "Hi"}]},
    "responses": {"model": "m", "input": "Hi"},
}
SOUND: dict[str, Document] = {
    "chat": {
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}],
        "messages": [{"role": "assistant", "tool_calls": [{"id": "t", "function": {"name": "f", "arguments": "{}"}}]}],
    },
    "messages": {
        "tools": [{"name": "f", "input_schema": {}}],
        "system": [{"type": "text", "text": "x"}],
        "messages": [
            {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f", "input": {}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "x"}]},
        ],
    },
    "responses": {
        "tools": [{"type": "function", "name": "f"}, {"type": "custom", "name": "g"}],
        "input": [{"type": "function_call", "call_id": "t", "name": "f", "arguments": "{}"}, {"role": "user"}],
    },
}


def places(document: object, path: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
    """Where something stands in a document."""
    inner: list[tuple[object, Any]] = []
    if isinstance(document, dict):
        inner = list(document.items())
    elif isinstance(document, list):
        inner = list(enumerate(document))
    return [(*path, key) for key, _ in inner] + [place for key, value in inner for place in places(value, (*path, key))]


def replaced(document: Any, path: tuple[object, ...], value: object) -> Any:
    """The document with something else in one place."""
    if not path:
        return value
    copy = dict(document) if isinstance(document, dict) else list(document)
    copy[path[0]] = replaced(document[path[0]], path[1:], value)
    return copy


def asked(caller: str, body: object) -> None:
    """One request through decoding and into the words of every target."""
    try:
        decoded = CALLERS[caller].decode(Operation.CHAT, {}, orjson.dumps(body), "acme", Caps())
    except RequestError:
        return
    for target in THERE:
        there: Destination = destinations().of(target, Operation.CHAT)
        assert there.most_nanousd(decoded) >= 0
        assert all(isinstance(name, str) for name in there.dropped(decoded))
        with contextlib.suppress(NotTranslatable):
            assert orjson.loads(there.body(decoded, 0.2))["model"] == target.model.model_id


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(list(CALLERS)), bodies)
def test_requests_of_any_shape(caller: str, body: Document) -> None:
    """Are served, refused with a 4xx, or have no word at a target; nothing else."""
    asked(caller, body)
    asked(caller, {**MINIMUM[caller], **body})


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(list(CALLERS)), st.integers(0, 1000), json)
def test_requests_with_one_thing_wrong(caller: str, place: int, value: object) -> None:
    """The same, for requests that are sound but in one place."""
    sound = {**MINIMUM[caller], **SOUND[caller]}
    found = places(sound)
    asked(caller, replaced(sound, found[place % len(found)], value))


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(list(CALLERS)), st.integers(0, 2), bodies, st.integers(0, 1000), json)
def test_whole_answers_of_any_shape(caller: str, target: int, body: Document, place: int, value: object) -> None:
    """An upstream's nonsense is an error of that upstream, so that another one is asked."""
    request = CALLERS[caller].decode(Operation.CHAT, {}, orjson.dumps(MINIMUM[caller]), "acme", Caps())
    there = destinations().of(THERE[target], Operation.CHAT)
    call = {"id": "t", "function": {"name": "f", "arguments": "{}"}}
    message = {"content": "Hi", "tool_calls": [call], "reasoning": "hm"}
    sound: Document = {"id": "c", "model": "m", "choices": [{"message": message, "finish_reason": "stop"}], "usage": {}}
    sound["content"] = [{"type": "text", "text": "Hi"}, {"type": "tool_use", "input": {}}]
    found = places(sound)
    for answer in (body, replaced(sound, found[place % len(found)], value)):
        with contextlib.suppress(UpstreamError):
            given_back, _ = there.read_unary(orjson.dumps(answer), request, CALLERS[caller], 1)
            orjson.loads(given_back)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(list(STREAMS)), st.integers(0, 20), st.integers(0, 1000), json, bodies)
def test_streams_of_any_shape(name: str, at: int, place: int, value: object, body: Document) -> None:
    """The same for the chunks of a stream, wherever it goes wrong."""
    make, endings = STREAMS[name]
    chunks = [event for event in (CHAT if endings["whole"] is CHAT else MESSAGE) if isinstance(event, dict)]
    number = at % len(chunks)
    found = places(chunks[number])
    for odd in (body, value, replaced(chunks[number], found[place % len(found)], value)):
        stream = make()
        for event in [*chunks[:number], odd, *chunks[number + 1 :]]:
            if stream.done or stream.error is not None:
                break
            stream.feed(b"data: " + orjson.dumps(event) + b"\n\n")
        if stream.error is None:
            stream.end()
        assert stream.done or isinstance(stream.error, UpstreamError)


@pytest.mark.parametrize("name", list(STREAMS))
@pytest.mark.parametrize("data", [b"{", b"7", b"null", b'"x"', b"[]", b""])
def test_events_that_are_no_objects(name: str, data: bytes) -> None:
    """End the stream with an error, or are passed over; also after content."""
    make, endings = STREAMS[name]
    stream = make()
    for event in endings["whole"][:4]:
        stream.feed(b"data: " + orjson.dumps(event) + b"\n\n")
    stream.feed(b"data: " + data + b"\n\n")
    assert stream.error is None or isinstance(stream.error, UpstreamError)


@settings(max_examples=100, deadline=None)
@given(json)
def test_usage_of_any_shape(raw: object) -> None:
    """Is whole counts or nothing."""
    for usage in (openai_wire.usage_of(raw), anthropic_wire.usage_of(raw)):
        assert usage is None or usage.input_tokens >= usage.cached_input_tokens >= 0 <= usage.output_tokens


class _Head:
    """The head of an answer."""

    status = 429

    def __init__(self, headers: dict[str, str]) -> None:
        self.headers = headers

    async def read(self) -> bytes:
        """Nothing."""
        return b""

    async def close(self, *, finished: bool = False) -> None:
        """Nothing to close."""


waits = (
    st.text(max_size=20) | st.from_regex(r"[0-9eE.+\-_ ]{1,12}") | st.from_regex(r"[A-Z][a-z]{2}, [0-9 A-Za-z:]{1,20}")
)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(["retry-after", "retry-after-ms"]), waits)
def test_retry_after_of_any_shape(name: str, value: str) -> None:
    """A wait that makes sense, or none."""
    seconds = retry_after_s(_Head({name: value}), 1_790_000_000.0)
    assert seconds is None or 0.0 <= seconds < 1e10
