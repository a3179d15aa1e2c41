"""Chat answers as Anthropic messages, whole and streamed; and errors in Anthropic's shape."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from controller.core.errors import RequestError, StreamBroken
from controller.core.money import Usage
from controller.gateway.anthropic_stream import AnthropicStream
from controller.gateway.dialects.messages_answer import MessageWriter, whole
from controller.gateway.dialects.messages_caller import MESSAGES_CALLER
from controller.gateway.dialects.messages_native import MessagesRelay
from controller.gateway.dialects.responses_stream import ResponseWriter
from controller.gateway.dialects.translated_stream import TranslatedStream
from controller.gateway.openai_wire import OpenAIStream

USED = {"prompt_tokens": 9, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 4}}
TOLD = {"input_tokens": 5, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 4, "output_tokens": 3}


def message(said: dict[str, object], **choice: object) -> dict[str, Any]:
    """What a chat answer becomes."""
    choices = [{"index": 0, "message": said, "finish_reason": "stop", **choice}]
    answer = whole(orjson.dumps({"id": "c1", "model": "m", "choices": choices, "usage": USED}))
    return dict(orjson.loads(answer))


CALLS = [
    {"id": "t1", "type": "function", "function": {"name": "look", "arguments": '{"at":1}'}},
    {"id": "t2", "type": "function", "function": {"name": "look", "arguments": ""}},
    {"id": "t3", "type": "function", "function": {"name": "look", "arguments": '{"at'}},
]
WHOLE: list[tuple[str, dict[str, object], dict[str, object], dict[str, object]]] = [
    (
        "text",
        {"content": "Hi"},
        {},
        {"content": [{"type": "text", "text": "Hi"}], "stop_reason": "end_turn", "stop_sequence": None},
    ),
    ("empty", {"content": ""}, {}, {"content": [], "stop_reason": "end_turn"}),
    ("cut", {"content": "Hi"}, {"finish_reason": "length"}, {"stop_reason": "max_tokens"}),
    ("stopped", {"content": "Hi"}, {"stop_reason": "END"}, {"stop_reason": "stop_sequence", "stop_sequence": "END"}),
    ("token id", {"content": "Hi"}, {"stop_reason": 7}, {"stop_reason": "end_turn", "stop_sequence": None}),
    ("filtered", {"refusal": "No"}, {"finish_reason": "content_filter"}, {"stop_reason": "refusal"}),
    (
        "reasoning",
        {"reasoning_content": "hm", "content": "Hi"},
        {},
        {"content": [{"type": "thinking", "thinking": "hm", "signature": ""}, {"type": "text", "text": "Hi"}]},
    ),
    (
        "tools",
        {"content": None, "tool_calls": CALLS},
        {"finish_reason": "tool_calls"},
        {
            "stop_reason": "tool_use",
            "content": [
                {"type": "tool_use", "id": "t1", "name": "look", "input": {"at": 1}},
                {"type": "tool_use", "id": "t2", "name": "look", "input": {}},
                {"type": "tool_use", "id": "t3", "name": "look", "input": {"arguments": '{"at'}},
            ],
        },
    ),
]


@pytest.mark.parametrize(("said", "choice", "wanted"), [row[1:] for row in WHOLE], ids=[row[0] for row in WHOLE])
def test_a_whole_answer(said: dict[str, object], choice: dict[str, object], wanted: dict[str, object]) -> None:
    """Blocks, stop reason, usage with cached input told apart, and the model that answered."""
    got = message(said, **choice)
    assert {name: got[name] for name in wanted} == wanted
    assert (got["type"], got["role"], got["model"], got["usage"]) == ("message", "assistant", "m", TOLD)


def chunk(delta: dict[str, object], **choice: object) -> bytes:
    """One chat chunk on the wire."""
    choices = [{"index": 0, "delta": delta, "finish_reason": None, **choice}]
    return b"data: " + orjson.dumps({"id": "c1", "model": "m", "choices": choices}) + b"\n\n"


LAST = chunk({}, finish_reason="stop")
COUNTED = b"data: " + orjson.dumps({"id": "c1", "model": "m", "choices": [], "usage": USED}) + b"\n\n"
DONE = b"data: [DONE]\n\n"


def events(raw: bytes) -> list[dict[str, Any]]:
    """The events of a Messages stream; each line pair agrees on its type."""
    found = []
    for event in raw.split(b"\n\n")[:-1]:
        name, data = event.split(b"\n")
        found.append(dict(orjson.loads(data.removeprefix(b"data: "))))
        assert name == b"event: " + found[-1]["type"].encode()
    return found


def streamed(*pieces: bytes) -> list[dict[str, Any]]:
    """What the caller gets for these chunks."""
    stream = TranslatedStream(OpenAIStream(wants_usage=True), MessageWriter())
    out = b"".join(stream.feed(piece) for piece in pieces)
    closing = stream.end()
    assert stream.end() == closing  # the relay may ask twice
    assert stream.error is None
    return events(out + closing)


def test_a_stream_of_text() -> None:
    """Starts, one block, its deltas, its end, the stop reason with all usage, the end."""
    got = streamed(
        chunk({"role": "assistant", "content": ""}),
        chunk({"content": "H"}),
        chunk({"content": "i"}),
        LAST,
        COUNTED,
        DONE,
    )
    assert [event["type"] for event in got] == [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert got[0]["message"]["model"] == "m"
    assert "".join(event["delta"]["text"] for event in got[2:4]) == "Hi"
    assert got[5]["usage"] == TOLD
    assert got[5]["delta"] == {"stop_reason": "end_turn", "stop_sequence": None}


def test_a_stream_of_thoughts_and_parallel_tools() -> None:
    """One block is open at a time, each with its index."""
    first = {"index": 0, "id": "t1", "function": {"name": "look", "arguments": ""}}
    more = {"index": 0, "function": {"arguments": '{"at":1}'}}
    second = {"index": 1, "id": "t2", "function": {"name": "look", "arguments": "{}"}}
    got = streamed(
        chunk({"reasoning_content": "hm"}),
        chunk({"content": "I look"}),
        chunk({"tool_calls": [first]}),
        chunk({"tool_calls": [more]}),
        chunk({"tool_calls": [second]}),
        chunk({}, finish_reason="tool_calls"),
        DONE,
    )
    starts = [event for event in got if event["type"] == "content_block_start"]
    assert [(event["index"], event["content_block"]["type"]) for event in starts] == [
        (0, "thinking"),
        (1, "text"),
        (2, "tool_use"),
        (3, "tool_use"),
    ]
    stops = [event["index"] for event in got if event["type"] == "content_block_stop"]
    assert stops == [0, 1, 2, 3]
    json = [event["delta"].get("partial_json") for event in got if event["type"] == "content_block_delta"]
    assert [part for part in json if part] == ['{"at":1}', "{}"]
    assert got[-2]["delta"]["stop_reason"] == "tool_use"


def test_a_stream_that_breaks() -> None:
    """Says nothing as if it were whole."""
    stream = TranslatedStream(OpenAIStream(wants_usage=True), MessageWriter())
    stream.feed(chunk({"content": "H"}))
    assert stream.end() == b""
    assert isinstance(stream.error, StreamBroken)
    assert (stream.content_seen, stream.content_events, stream.done) == (True, 1, False)


NATIVE = [
    {"type": "message_start", "message": {"id": "m1", "model": "c", "usage": {"input_tokens": 5, "output_tokens": 1}}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "ping"},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hi"}},
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 3}},
    {"type": "message_stop"},
]
RAW = b"".join(b"event: " + str(e["type"]).encode() + b"\ndata: " + orjson.dumps(e) + b"\n\n" for e in NATIVE)


@pytest.mark.parametrize("size", [1, 7, 64, len(RAW)])
def test_anthropic_to_anthropic(size: int) -> None:
    """Passes as it is, however it is cut, and its usage is learnt."""
    relay = MessagesRelay()
    out = b"".join(relay.feed(RAW[start : start + size]) for start in range(0, len(RAW), size))
    assert out + relay.end() == RAW
    assert relay.done
    assert relay.usage == Usage(input_tokens=5, output_tokens=3)
    assert relay.content_events == 1


@pytest.mark.parametrize("data", [b"{", b"7", b'{"type":"a\\nb"}'], ids=["no json", "no object", "two lines"])
def test_an_event_that_is_none(data: bytes) -> None:
    """Ends the stream; nothing of it goes out."""
    relay = MessagesRelay()
    assert relay.feed(b"data: " + data + b"\n\n") == b""
    assert isinstance(relay.error, StreamBroken)


def test_an_error_event_is_not_relayed() -> None:
    """The gateway words it: it may still go elsewhere."""
    relay = MessagesRelay()
    assert relay.feed(b'data: {"type":"error","error":{"type":"overloaded_error","message":"x"}}\n\n') == b""
    assert str(relay.error) == "upstream answered 529"
    assert MessagesRelay().end() == b""


def test_anthropic_through_chat_and_back() -> None:
    """The chat chunks of an Anthropic stream make the same answer again."""
    stream = TranslatedStream(AnthropicStream(wants_usage=True, created_s=1), MessageWriter())
    got = events(stream.feed(RAW) + stream.end())
    kept = [event for event in NATIVE if event["type"] != "ping"]
    assert [event["type"] for event in got] == [event["type"] for event in kept]
    assert got[-2]["usage"]["output_tokens"] == 3


ERRORS = [
    (401, "invalid_api_key", 401, "authentication_error"),
    (429, "overloaded", 429, "rate_limit_error"),
    (429, "insufficient_quota", 402, "billing_error"),
    (503, "no_target_available", 529, "overloaded_error"),
    (502, "upstream_error", 500, "api_error"),
    (504, "ttft_timeout", 504, "timeout_error"),
    (418, "teapot", 418, "api_error"),
]


@pytest.mark.parametrize(("status", "code", "told", "kind"), ERRORS, ids=[row[1] for row in ERRORS])
def test_an_error_in_anthropics_words(status: int, code: str, told: int, kind: str) -> None:
    """Its status, its type, our code in the details, the request id in the body."""
    error = RequestError("no", status=status, code=code)
    assert MESSAGES_CALLER.status(error) == told
    body = orjson.loads(MESSAGES_CALLER.error_body(error, b"req-1"))
    assert body["error"]["type"] == kind
    assert body["error"]["details"]["error_code"] == code
    assert (body["type"], body["request_id"]) == ("error", "req-1")
    assert MESSAGES_CALLER.error_event(error, b"req-1").startswith(b"event: error\ndata: {")


def test_an_odd_text_that_shows_at_the_end_only() -> None:
    """A stream with a text that is none breaks; it does not end as if whole."""
    stream = TranslatedStream(OpenAIStream(wants_usage=True), ResponseWriter({}, 1))
    stream.feed(chunk({"content": ["odd"]}))
    stream.feed(LAST + DONE)
    stream.end()
    assert isinstance(stream.error, StreamBroken)
