"""OpenAI event streams: what the caller gets, what metering learns, and that neither depends on how bytes arrive."""

from __future__ import annotations

import re

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletionChunk

from controller.core.errors import StreamBroken, UpstreamRejected
from controller.core.money import Usage
from controller.gateway.openai_wire import OpenAIStream
from controller.gateway.sse import Splitter, encode
from tests.gateway.relayed_streams import Relayed, cut, places, relayed

HEAD = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
COUNTS = {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}
USED = Usage(input_tokens=7, output_tokens=2)
DONE = b"data: [DONE]\n\n"


def event(delta: object = None, finish: str | None = None, **fields: object) -> bytes:
    """One chunk; without `delta` one that has no choices."""
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    return encode(orjson.dumps({**HEAD, "choices": choices, **fields}))


ROLE = event({"role": "assistant", "content": ""})
HI, THERE = event({"content": "Hi"}), event({"content": ' {"error": [DONE] "usage":{ \\n\n'})
STOP = event({}, "stop")
USAGE = event(usage=COUNTS)
ERROR = b'data: {"error": {"message": "boom", "type": "server_error", "code": 503}}\n\n'
WHOLE = ROLE + HI + THERE + STOP


def read(*chunks: bytes, wants_usage: bool = False) -> Relayed:
    """What the stream comes to."""
    return relayed(OpenAIStream(wants_usage=wants_usage), chunks)


def seen(out: bytes) -> list[bytes]:
    """The events as the caller's client reads them."""
    return Splitter().feed(out)


STREAMS = {
    # what: wire, caller gets, usage, error
    "a whole answer": (WHOLE + DONE, WHOLE + DONE, None, None),
    "usage is hidden": (WHOLE + USAGE + DONE, WHOLE + DONE, USED, None),
    "usage in the last choice is taken out": (
        ROLE + HI + event({}, "stop", usage=COUNTS) + DONE,
        ROLE + HI + STOP + DONE,
        USED,
        None,
    ),
    "usage in every event is taken out": (
        event({"content": "Hi"}, usage=COUNTS) + event({}, "stop", usage=COUNTS) + DONE,
        HI + STOP + DONE,
        USED,
        None,
    ),
    "usage that is null stays": (HI + event({}, "stop", usage=None) + DONE, None, None, None),
    "[DONE] is added after a finish reason": (WHOLE, WHOLE + DONE, None, None),
    "[DONE] is added after the usage event": (ROLE + HI + USAGE, ROLE + HI + DONE, USED, None),
    "[DONE] twice": (WHOLE + DONE + DONE, WHOLE + DONE, None, None),
    "junk after [DONE]": (WHOLE + DONE + b"data: {]\n\nHTTP/1.1 500 Oops" + HI, WHOLE + DONE, None, None),
    "only [DONE]": (DONE, DONE, None, None),
    "cut after content": (ROLE + HI, ROLE + HI, None, "end marker"),
    "cut within an event": (ROLE + HI + STOP[:-3], ROLE + HI, None, "end marker"),
    "cut although usage came with each event": (event({"content": "Hi"}, usage=COUNTS), HI, USED, "end marker"),
    "nothing at all": (b"", b"", None, "end marker"),
    "an error first": (ERROR + DONE, b"", None, "503"),
    "an error after content": (ROLE + HI + ERROR + DONE, ROLE + HI, None, "503"),
    "an error without a status": (ROLE + b'data: {"error":"boom"}\n\n', ROLE, None, "502"),
    "not JSON": (b"data: <html>\n\n", b"", None, "not JSON"),
    "not an object": (b"data: [1]\n\n", b"", None, "not an object"),
    "choices are no list": (b'data: {"choices": 5}\n\n', b"", None, "not a list"),
    "line ends, comments and field names go": (
        b": ping\r\n\r\nevent: x\r\n" + WHOLE.replace(b"\n", b"\r\n") + b": ping\r\n\r\n" + DONE,
        WHOLE + DONE,
        None,
        None,
    ),
    "a completion": (b'data: {"choices":[{"text":"a","finish_reason":null}]}\n\n' + DONE, None, None, None),
}


@pytest.mark.parametrize(("wire", "out", "usage", "error"), STREAMS.values(), ids=STREAMS.keys())
def test_streams(wire: bytes, out: bytes | None, usage: Usage | None, error: str | None) -> None:
    """The caller's bytes, usage and end of each stream, whole, byte by byte, and event by event."""
    whole = read(wire)
    assert whole.out == (wire if out is None else out)
    assert whole.usage == usage
    assert whole.done is (error is None)
    assert error is None or error in str(whole.error)
    assert read(*(wire[at : at + 1] for at in range(len(wire)))) == whole
    assert read(*re.split(rb"(?<=\n\n)", wire)) == whole


@pytest.mark.parametrize("wire", [WHOLE + USAGE + DONE, HI + event({}, "stop", usage=COUNTS) + DONE])
def test_usage_is_shown_to_who_asked_for_it(wire: bytes) -> None:
    """With include_usage nothing is taken out."""
    got = read(wire, wants_usage=True)
    assert (got.out, got.usage) == (wire, USED)
    assert [ChatCompletionChunk.model_validate_json(data).usage for data in seen(got.out)[:-1]][-1] is not None


events = st.sampled_from([ROLE, HI, HI, THERE, STOP, USAGE, event({"content": "x"}, usage=COUNTS), ERROR, DONE])
untidy = st.sampled_from([b": ping\n\n", b"data: {}\r\n\r\n", b"event: x\n", b"\n", b"data: junk\n\n", b"data:{}\n\n"])


@given(st.lists(events, max_size=8), places, st.booleans())
def test_cuts_change_nothing(wire: list[bytes], where: list[int], wants_usage: bool) -> None:
    """Bytes out, usage, end and error are the same however the bytes come in."""
    whole = b"".join(wire)
    assert read(*cut(whole, where), wants_usage=wants_usage) == read(whole, wants_usage=wants_usage)


@given(st.lists(events | untidy, max_size=8), places)
def test_cuts_change_nothing_for_untidy_streams(wire: list[bytes], where: list[int]) -> None:
    """With comments, other line ends and junk the caller's client still reads the same events."""
    whole = b"".join(wire)
    left, right = read(*cut(whole, where)), read(whole)
    assert seen(left.out) == seen(right.out)
    assert (left.usage, left.done, left.error) == (right.usage, right.done, right.error)


@given(st.lists(events | untidy, max_size=8), places)
def test_callers_see_one_end(wire: list[bytes], where: list[int]) -> None:
    """[DONE] comes once and last if the answer is whole, else never; usage never comes unasked for."""
    got = read(*cut(b"".join(wire), where))
    ends = [data == b"[DONE]" for data in seen(got.out)]
    assert ends.count(True) == int(got.done)
    assert not got.done or ends[-1]
    assert b'"usage":{"' not in got.out


NAMES = ["choices", "delta", "content", "usage", "prompt_tokens", "prompt_tokens_details", "error", "code", "text"]
json = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(NAMES), json), st.booleans())
def test_odd_events_never_break_the_reader(document: dict[str, object], wants_usage: bool) -> None:
    """Any object as an event is relayed, or ends the stream with an UpstreamError: nothing is ever raised."""
    stream = OpenAIStream(wants_usage=wants_usage)
    stream.feed(encode(orjson.dumps(document)))
    assert stream.error is None or isinstance(stream.error, StreamBroken | UpstreamRejected)


CONTENT = {
    "role only": (ROLE, False),
    "text": (HI, True),
    "finish reason": (STOP, True),
    "tool call": (event({"tool_calls": [{"index": 0}]}), True),
    "refusal": (event({"refusal": "no"}), True),
    "reasoning": (event({"reasoning_content": "hm"}), True),
    "usage only": (USAGE, False),
    "a choice that is none": (b'data: {"choices":[null,{"delta":null}]}\n\n', False),
}


@pytest.mark.parametrize(("wire", "seen_now"), CONTENT.values(), ids=CONTENT.keys())
def test_what_counts_as_content(wire: bytes, seen_now: bool) -> None:
    """Until something comes that a caller would see, the gateway may still go elsewhere."""
    stream = OpenAIStream(wants_usage=False)
    stream.feed(wire)
    assert stream.content_seen is seen_now
    assert stream.content_events == int(seen_now)


@pytest.mark.parametrize("before", [ROLE, ROLE + HI], ids=["first", "after content"])
@pytest.mark.parametrize("after", [DONE, USAGE + DONE, b""], ids=["end", "usage", "nothing"])
@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_a_stream_that_was_given_up_is_broken(before: bytes, after: bytes, size: int) -> None:
    """A vLLM that is told to end says `abort`, and then [DONE]: its caller is not told that this was all."""
    wire = before + event({"content": ""}, "abort") + after
    got = read(*(wire[at : at + size] for at in range(0, len(wire), size)))
    assert seen(got.out) == seen(before)
    assert (got.error, got.done) == ("StreamBroken('the answer was given up before its end')", False)


def test_the_word_itself_is_content() -> None:
    """Who says `abort` has given nothing up."""
    said = event({"content": "abort"})
    got = read(ROLE, HI, said, STOP, DONE)
    assert (got.error, got.out) == (None, ROLE + HI + said + STOP + DONE)


def test_an_event_over_the_cap_breaks_the_stream() -> None:
    """It ends with an error instead of filling the memory."""
    stream = OpenAIStream(wants_usage=False)
    assert stream.feed(HI + b"data: " + b"x" * 1_100_000) == b""
    assert isinstance(stream.error, StreamBroken)
    assert stream.end() == b""
    assert not stream.done
