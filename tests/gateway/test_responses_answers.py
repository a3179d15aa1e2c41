"""Chat answers as OpenAI responses, whole and streamed: every document and event is one that the SDK's types accept."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from controller.core.errors import RequestError, StreamBroken
from controller.gateway.anthropic_stream import AnthropicStream
from controller.gateway.dialects.responses_answer import whole
from controller.gateway.dialects.responses_caller import RESPONSES_CALLER
from controller.gateway.dialects.responses_stream import ResponseWriter
from controller.gateway.dialects.translated_stream import TranslatedStream
from controller.gateway.openai_wire import OpenAIStream
from tests.gateway.gateway_world import DONE

Document = dict[str, Any]
EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
ASKED: Document = {"model": "auto", "input": "Hi", "instructions": "Be kind.", "metadata": {"a": "b"}}
CUSTOM = {
    **ASKED,
    "tools": [
        {"type": "custom", "name": "patch"},
        {"type": "namespace", "name": "mcp", "description": "", "tools": [{"type": "function", "name": "look"}]},
    ],
}
USED = {
    "prompt_tokens": 9,
    "completion_tokens": 4,
    "prompt_tokens_details": {"cached_tokens": 5},
    "completion_tokens_details": {"reasoning_tokens": 2},
}
TOLD = {
    "input_tokens": 9,
    "input_tokens_details": {"cached_tokens": 5, "cache_write_tokens": 0},
    "output_tokens": 4,
    "output_tokens_details": {"reasoning_tokens": 2},
    "total_tokens": 13,
}
HEAD = {"id": "chatcmpl-1", "model": "m", "created": 5}


def answer(message: Document, finish: str = "stop", asked: Document = ASKED, **choice: object) -> Document:
    """A response from this chat message, as the SDK's type accepts it."""
    chosen = {"index": 0, "message": message, "finish_reason": finish, **choice}
    made = whole(orjson.dumps({**HEAD, "choices": [chosen], "usage": USED}), asked)
    Response.model_validate_json(made)
    return dict(orjson.loads(made))


def test_a_whole_answer() -> None:
    """Text, who answered, what was asked, what it used."""
    got = answer({"role": "assistant", "content": "Hi"})
    assert (got["id"], got["model"], got["status"], got["created_at"]) == ("resp_1", "m", "completed", 5)
    assert got["output"][0]["content"][0]["text"] == "Hi"
    assert got["usage"] == TOLD
    assert (got["instructions"], got["metadata"], got["store"]) == ("Be kind.", {"a": "b"}, False)


@pytest.mark.parametrize(("finish", "reason"), [("length", "max_output_tokens"), ("content_filter", "content_filter")])
def test_an_incomplete_answer(finish: str, reason: str) -> None:
    """Says why."""
    got = answer({"content": "Hi"}, finish)
    assert (got["status"], got["incomplete_details"]) == ("incomplete", {"reason": reason})


def test_items_of_a_whole_answer() -> None:
    """Reasoning first, then text and a refusal, then calls; log probabilities go along."""
    logprob = {"token": "Hi", "logprob": -0.5, "bytes": [72, 105], "top_logprobs": []}
    calls = [
        {"id": "t1", "function": {"name": "patch", "arguments": '{"input":"a"}'}},
        {"id": "t2", "function": {"name": "mcp__look", "arguments": '{"at":1}'}},
    ]
    message = {"reasoning": "hm", "content": "Hi", "refusal": "no", "tool_calls": calls}
    got = answer(message, "tool_calls", CUSTOM, logprobs={"content": [logprob]})["output"]
    assert [item["type"] for item in got] == ["reasoning", "message", "custom_tool_call", "function_call"]
    assert got[0]["content"] == [{"type": "reasoning_text", "text": "hm"}]
    assert [part["type"] for part in got[1]["content"]] == ["output_text", "refusal"]
    assert got[1]["content"][0]["logprobs"] == [logprob]
    assert (got[2]["name"], got[2]["input"], got[2]["call_id"]) == ("patch", "a", "t1")
    assert (got[3]["name"], got[3]["namespace"], got[3]["arguments"]) == ("look", "mcp", '{"at":1}')


def test_an_answer_without_choices() -> None:
    """Is a response without output."""
    assert orjson.loads(whole(orjson.dumps({**HEAD, "choices": []}), ASKED))["output"] == []


def chunk(delta: Document, **choice: object) -> bytes:
    """A chat chunk on the wire."""
    return b"data: " + orjson.dumps({**HEAD, "choices": [{"index": 0, "delta": delta, **choice}]}) + b"\n\n"


LAST = chunk({}, finish_reason="stop")
COUNTED = b"data: " + orjson.dumps({**HEAD, "choices": [], "usage": USED}) + b"\n\n"


def events(wire: bytes) -> list[Document]:
    """The events, each accepted by the SDK's types, named as typed, numbered without a gap."""
    found = []
    for block in wire.split(b"\n\n")[:-1]:
        name, data = block.split(b"\n")
        document = orjson.loads(data.removeprefix(b"data: "))
        assert name == b"event: " + document["type"].encode()
        EVENT.validate_python(document)
        found.append(document)
    assert [event["sequence_number"] for event in found] == list(range(len(found)))
    return found


def streamed(*pieces: bytes, asked: Document = ASKED) -> list[Document]:
    """The events that a chat stream becomes."""
    stream = TranslatedStream(OpenAIStream(wants_usage=True), ResponseWriter(asked, 7))
    out = b"".join(stream.feed(piece) for piece in pieces)
    closing = stream.end()
    assert stream.end() == closing  # the relay may ask twice
    assert stream.error is None
    return events(out + closing)


def test_a_stream_of_text() -> None:
    """The whole sequence, and at its end all of the answer."""
    got = streamed(chunk({"role": "assistant", "content": ""}), chunk({"content": "H"}), chunk({"content": "i"}),
                   LAST, COUNTED, DONE)  # fmt: skip
    assert [event["type"].removeprefix("response.") for event in got] == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    final = got[-1]["response"]
    assert got[0]["response"]["id"] == final["id"] == "resp_1"
    assert (final["model"], final["usage"], final["created_at"]) == ("m", TOLD, 7)
    assert final["output"] == [got[-2]["item"]]
    assert final["output"][0]["content"][0]["text"] == got[6]["text"] == "Hi"


def test_a_stream_of_thoughts_and_parallel_tools() -> None:
    """Each item has its place; deltas of calls may alternate."""
    first = {"index": 0, "id": "t1", "function": {"name": "look", "arguments": ""}}
    second = {"index": 1, "id": "t2", "function": {"name": "patch", "arguments": '{"input":'}}
    got = streamed(
        chunk({"reasoning_content": "hm"}),
        chunk({"content": "I look"}),
        chunk({"tool_calls": [first]}),
        chunk({"tool_calls": [second]}),
        chunk({"tool_calls": [{"index": 0, "function": {"arguments": '{"at":1}'}}]}),
        chunk({"tool_calls": [{"index": 1, "function": {"arguments": '"a"}'}}]}),
        chunk({"refusal": "no"}),
        chunk({}, finish_reason="tool_calls"),
        DONE,
        asked=CUSTOM,
    )
    added = [(event["output_index"], event["item"]["type"]) for event in got if event["type"].endswith("item.added")]
    assert added == [
        (0, "reasoning"),
        (1, "message"),
        (2, "function_call"),
        (3, "custom_tool_call"),
        (4, "message"),
    ]
    output = got[-1]["response"]["output"]
    assert [item["type"] for item in output] == [kind for _, kind in added]
    assert output[0]["content"] == [{"type": "reasoning_text", "text": "hm"}]
    assert output[2]["arguments"] == '{"at":1}'
    assert output[3]["input"] == "a"
    assert output[4]["content"] == [{"type": "refusal", "refusal": "no"}]
    assert got[-1]["response"]["usage"] is None


def test_a_stream_cut_by_its_limit() -> None:
    """Ends as incomplete."""
    got = streamed(chunk({"content": "H"}), chunk({}, finish_reason="length"), DONE)
    assert got[-1]["type"] == "response.incomplete"
    assert got[-1]["response"]["incomplete_details"] == {"reason": "max_output_tokens"}
    assert got[-2]["item"]["status"] == "incomplete"


def test_a_stream_that_breaks() -> None:
    """Ends in an error, which the SDK raises, and in the failed response, which Codex reads."""
    stream = TranslatedStream(OpenAIStream(wants_usage=True), ResponseWriter(ASKED, 7))
    out = stream.feed(chunk({"content": "H"}))
    assert stream.end() == b""
    assert isinstance(stream.error, StreamBroken)
    error = RequestError("it broke", status=502, code="stream_broken", kind="server_error")
    told = stream.broken(error)
    assert told is not None
    got = events(out + told)
    assert [event["type"] for event in got[-2:]] == ["error", "response.failed"]
    assert got[-2]["error"]["message"] == got[-2]["message"] == "it broke"
    assert got[-1]["response"]["error"] == {"code": "server_error", "message": "it broke", "type": "stream_broken"}
    assert got[-1]["response"]["id"] == "resp_1"
    plain = events(RESPONSES_CALLER.error_event(error, b"req-1"))
    assert [event["type"] for event in plain[-2:]] == ["error", "response.failed"]


def test_an_empty_stream() -> None:
    """Is a whole response all the same."""
    writer = ResponseWriter(ASKED, 7)
    assert [event["type"] for event in events(writer.end())][-1] == "response.completed"


def test_from_anthropic() -> None:
    """An Anthropic stream becomes one too."""
    wire = [
        {"type": "message_start", "message": {"id": "msg_1", "model": "c", "usage": {"input_tokens": 5}}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hi"}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 3}},
        {"type": "message_stop"},
    ]
    raw = b"".join(b"data: " + orjson.dumps(event) + b"\n\n" for event in wire)
    stream = TranslatedStream(AnthropicStream(wants_usage=True, created_s=1), ResponseWriter(ASKED, 1))
    final = events(stream.feed(raw) + stream.end())[-1]["response"]
    assert (final["model"], final["usage"]["input_tokens"], final["usage"]["output_tokens"]) == ("c", 5, 3)
