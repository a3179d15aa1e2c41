"""Anthropic event streams as OpenAI chunks: text, tool calls, usage and ends, however the bytes come in."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletionChunk

from controller.core.errors import StreamBroken, UpstreamRejected
from controller.core.money import Usage
from controller.gateway.anthropic_stream import AnthropicStream
from controller.gateway.sse import Splitter
from tests.gateway.relayed_streams import Relayed, cut, places, relayed


def event(kind: str, **fields: object) -> bytes:
    """One event as Anthropic writes it."""
    return f"event: {kind}\ndata: ".encode() + orjson.dumps({"type": kind, **fields}) + b"\n\n"


def started(**usage: int) -> bytes:
    """The first event of an answer."""
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude", "content": [], "usage": usage}
    return event("message_start", message=message)


def text(words: str) -> bytes:
    """A piece of text."""
    return event("content_block_delta", index=0, delta={"type": "text_delta", "text": words})


def tool(name: str) -> bytes:
    """The start of a tool call."""
    block = {"type": "tool_use", "id": f"id-{name}", "name": name, "input": {}}
    return event("content_block_start", index=1, content_block=block)


def arguments(json: str) -> bytes:
    """A piece of its arguments."""
    return event("content_block_delta", index=1, delta={"type": "input_json_delta", "partial_json": json})


def ended(reason: str, **usage: object) -> bytes:
    """The last event but one."""
    return event("message_delta", delta={"stop_reason": reason, "stop_sequence": None}, usage=usage)


START = started(input_tokens=10, output_tokens=1)
BLOCK = event("content_block_start", index=0, content_block={"type": "text", "text": ""})
CLOSE = event("content_block_stop", index=0)
PING = event("ping")
STOP = event("message_stop")
OVERLOADED = event("error", error={"type": "overloaded_error", "message": "Overloaded"})
THINKING = event("content_block_delta", index=0, delta={"type": "thinking_delta", "thinking": "hm"})
END = ended("end_turn", output_tokens=5)
WHOLE = START + BLOCK + PING + text("Hi") + text(" there") + CLOSE + END + STOP


def read(*chunks: bytes, wants_usage: bool = False) -> Relayed:
    """What the stream comes to."""
    return relayed(AnthropicStream(wants_usage=wants_usage, created_s=7), chunks)


def chunks_of(out: bytes) -> list[ChatCompletionChunk]:
    """The chunks as the official client parses them; [DONE] is checked to be last."""
    *events, last = Splitter().feed(out)
    assert last == b"[DONE]"
    return [ChatCompletionChunk.model_validate(orjson.loads(data), strict=True) for data in events]


def test_text() -> None:
    """Role first, then the pieces, then the finish reason; id, model and time on every chunk."""
    chunks = chunks_of(read(WHOLE).out)
    assert [chunk.choices[0].delta.content for chunk in chunks] == ["", "Hi", " there", None]
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [None, None, None, "stop"]
    assert {(chunk.id, chunk.model, chunk.created) for chunk in chunks} == {("msg_1", "claude", 7)}


def test_parallel_tool_calls() -> None:
    """Each call has its index, its id once, and its arguments in pieces; one without arguments gets an empty object."""
    wire = START + BLOCK + text("ok") + CLOSE + tool("a") + arguments("") + arguments('{"x":') + arguments("1}") + CLOSE
    wire += tool("b") + arguments("") + CLOSE + tool("c") + CLOSE + ended("tool_use", output_tokens=9) + STOP
    got: dict[int, tuple[str | None, str | None, str]] = {}
    chunks = chunks_of(read(wire).out)
    for chunk in chunks:
        for call in chunk.choices[0].delta.tool_calls or []:
            assert call.function is not None
            name, call_id, so_far = got.get(call.index, (call.function.name, call.id, ""))
            got[call.index] = (name, call_id, so_far + (call.function.arguments or ""))
    assert got == {0: ("a", "id-a", '{"x":1}'), 1: ("b", "id-b", "{}"), 2: ("c", "id-c", "{}")}
    assert chunks[-1].choices[0].finish_reason == "tool_calls"


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("tool_use", "tool_calls"),
        ("refusal", "content_filter"),
        ("pause_turn", "stop"),
        ("something new", "stop"),
    ],
)
def test_finish_reasons(reason: str, finish: str) -> None:
    """Every stop reason has its OpenAI word."""
    assert chunks_of(read(START + ended(reason) + STOP).out)[-1].choices[0].finish_reason == finish


USAGES = {
    # what: start, end, usage
    "input first, output last": ({"input_tokens": 10, "output_tokens": 1}, {"output_tokens": 5}, (10, 5, 0)),
    "cached input counts as input": (
        {"input_tokens": 10, "cache_read_input_tokens": 30, "cache_creation_input_tokens": 5, "output_tokens": 1},
        {"output_tokens": 5},
        (45, 5, 30),
    ),
    "the end repeats the input without its cached part": (
        {"input_tokens": 10, "cache_read_input_tokens": 30, "output_tokens": 1},
        {"input_tokens": 10, "cache_read_input_tokens": None, "output_tokens": 5},
        (40, 5, 30),
    ),
    "all of it at the end": ({}, {"input_tokens": 10, "cache_read_input_tokens": 2, "output_tokens": 5}, (12, 5, 2)),
    "nonsense is nothing": ({"input_tokens": 10}, {"output_tokens": "five", "input_tokens": -3}, (10, 0, 0)),
}


@pytest.mark.parametrize(("start", "end", "wanted"), USAGES.values(), ids=USAGES.keys())
def test_usage(start: dict[str, int], end: dict[str, object], wanted: tuple[int, int, int]) -> None:
    """Metering gets the counts of both events; the caller gets them in one last chunk, and only if asked for."""
    wire = started(**start) + text("Hi") + ended("end_turn", **end) + STOP
    hidden, shown = read(wire), read(wire, wants_usage=True)
    inputs, outputs, cached = wanted
    assert hidden.usage == shown.usage == Usage(input_tokens=inputs, output_tokens=outputs, cached_input_tokens=cached)
    assert b"usage" not in hidden.out
    last = chunks_of(shown.out)[-1]
    assert last.choices == []
    assert last.usage is not None
    assert last.usage.prompt_tokens_details is not None
    assert (last.usage.prompt_tokens, last.usage.completion_tokens) == (inputs, outputs)
    assert (last.usage.total_tokens, last.usage.prompt_tokens_details.cached_tokens) == (inputs + outputs, cached)


ENDS = {
    "an error first": (OVERLOADED, "529"),
    "an error after text": (START + text("Hi") + OVERLOADED, "529"),
    "an error of a new kind": (event("error", error={"type": "new_error"}), "502"),
    "an error that is no object": (event("error", error="boom"), "502"),
    "cut after text": (START + text("Hi"), "message_stop"),
    "cut after the finish reason": (START + text("Hi") + END, "message_stop"),
    "nothing at all": (b"", "message_stop"),
    "not JSON": (b"data: <html>\n\n", "not JSON"),
}


@pytest.mark.parametrize(("wire", "error"), ENDS.values(), ids=ENDS.keys())
def test_broken_ends(wire: bytes, error: str) -> None:
    """Without message_stop there is no [DONE] but an error that says why."""
    got = read(wire)
    assert error in str(got.error)
    assert not got.done
    assert b"[DONE]" not in got.out


def test_nothing_follows_the_end() -> None:
    """What comes after message_stop is not looked at."""
    assert read(WHOLE + WHOLE + b"data: junk\n\n") == read(WHOLE)


@pytest.mark.parametrize(
    ("wire", "seen"),
    [
        (START, False),
        (BLOCK, False),
        (PING, False),
        (THINKING, True),
        (text("Hi"), True),
        (tool("a"), True),
        (END, True),
    ],
    ids=["start", "empty block", "ping", "thinking", "text", "tool", "end"],
)
def test_what_counts_as_content(wire: bytes, seen: bool) -> None:
    """Until something comes that a caller would see, the gateway may still go elsewhere."""
    stream = AnthropicStream(wants_usage=False, created_s=7)
    stream.feed(wire)
    assert stream.content_seen is seen


pieces = st.sampled_from(
    [
        START,
        BLOCK,
        PING,
        text("Hi"),
        text("{\r\n}"),
        THINKING,
        tool("a"),
        arguments('{"a"'),
        CLOSE,
        END,
        STOP,
        OVERLOADED,
    ]
)


@given(st.lists(pieces, max_size=10), places, st.booleans(), st.booleans())
def test_cuts_change_nothing(wire: list[bytes], where: list[int], wants_usage: bool, crlf: bool) -> None:
    """Bytes out, usage, end and error are the same however the bytes come in, with either line end."""
    whole = b"".join(wire)
    sent = whole.replace(b"\n", b"\r\n") if crlf else whole
    assert read(*cut(sent, where), wants_usage=wants_usage) == read(whole, wants_usage=wants_usage)


KINDS = ["message_start", "content_block_start", "content_block_delta", "content_block_stop", "message_delta", "error"]
json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.sampled_from(["tool_use", "text_delta", "input_json_delta", "x"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["type", "text", "usage"]), inner),
    max_leaves=8,
)
fields = st.dictionaries(st.sampled_from(["message", "delta", "content_block", "usage", "error"]), json)


@given(st.lists(st.tuples(st.sampled_from(KINDS), fields), max_size=4))
def test_odd_events_never_break_the_reader(events: list[tuple[str, dict[str, object]]]) -> None:
    """Any JSON in any field is translated or ignored, or ends the stream with an UpstreamError: nothing is raised."""
    stream = AnthropicStream(wants_usage=True, created_s=7)
    for kind, document in events:
        stream.feed(event(kind, **document))
    assert stream.error is None or isinstance(stream.error, StreamBroken | UpstreamRejected)


def test_an_event_over_the_cap_breaks_the_stream() -> None:
    """It ends with an error instead of filling the memory."""
    stream = AnthropicStream(wants_usage=False, created_s=7)
    assert stream.feed(START + b"data: " + b"x" * 1_100_000) == b""
    assert isinstance(stream.error, StreamBroken)
