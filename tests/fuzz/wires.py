"""Event streams as upstreams write them, in every way of writing that the specification of event streams allows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import orjson

from controller.gateway.anthropic_stream import AnthropicStream
from controller.gateway.dialects.messages_answer import MessageWriter
from controller.gateway.dialects.messages_native import MessagesRelay
from controller.gateway.dialects.responses_stream import ResponseWriter
from controller.gateway.dialects.translated_stream import TranslatedStream
from controller.gateway.openai_wire import OpenAIStream
from controller.gateway.sse import Splitter

Document = dict[str, Any]
BOM = b"\xef\xbb\xbf"
HEAD: Document = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}


def chunk(delta: Document, finish: str | None = None) -> Document:
    """A chat chunk."""
    return {**HEAD, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


def _call(index: int, **fields: object) -> Document:
    return {"tool_calls": [{"index": index, **fields}]}


CHAT: list[Document | str] = [
    chunk({"role": "assistant", "content": ""}),
    chunk({"reasoning_content": "zażółć"}),
    chunk({"content": "Hi 🙂 data: x"}),
    chunk({"content": "\n\ndata: [DONE]\n"}),
    chunk(_call(0, id="t1", function={"name": "look", "arguments": ""})),
    chunk(_call(0, function={"arguments": '{"at":1}'})),
    chunk(_call(1, id="t2", function={"name": "look", "arguments": "{}"})),
    chunk({}, "tool_calls"),
    {**HEAD, "choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 5}},
    "[DONE]",
]
BROKEN: list[Document | str] = [chunk({"content": "H"}), {"error": {"message": "gone", "code": 500}}]
CUT: list[Document | str] = [chunk({"content": "H"}), chunk({"content": "i"})]


def _block(index: int, block: Document, *deltas: Document) -> list[Document | str]:
    start = {"type": "content_block_start", "index": index, "content_block": block}
    given = [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
    return [start, *given, {"type": "content_block_stop", "index": index}]


USAGE = {"input_tokens": 5, "cache_read_input_tokens": 2, "output_tokens": 1}
MESSAGE: list[Document | str] = [
    {"type": "message_start", "message": {"id": "msg_1", "model": "c", "usage": USAGE}},
    {"type": "ping"},
    *_block(0, {"type": "thinking", "thinking": ""}, {"type": "thinking_delta", "thinking": "zażółć"}),
    *_block(1, {"type": "text", "text": ""}, {"type": "text_delta", "text": "Hi 🙂\n\ndata: x"}),
    *_block(2, {"type": "tool_use", "id": "t1", "name": "look"}, {"type": "input_json_delta", "partial_json": "{}"}),
    *_block(3, {"type": "tool_use", "id": "t2", "name": "look"}),
    {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 9}},
    {"type": "message_stop"},
]
OVERLOADED: list[Document | str] = [*MESSAGE[:3], {"type": "error", "error": {"type": "overloaded_error"}}]


def plain(event: Document | str) -> list[bytes]:
    """One line of data."""
    return [b"data: " + (event.encode() if isinstance(event, str) else orjson.dumps(event))]


def spread(event: Document | str) -> list[bytes]:
    """Data over several lines, without the space where it may be missing."""
    text = event.encode() if isinstance(event, str) else orjson.dumps(event, option=orjson.OPT_INDENT_2)
    return [b"data:" + line for line in text.split(b"\n")]


def noisy(event: Document | str) -> list[bytes]:
    """With a name, comments and other fields around it."""
    name = b"message" if isinstance(event, str) else str(event.get("type", "chunk")).encode()
    return [b": comment", b"event: " + name, b"id: 7", *plain(event), b"retry: 10", b":"]


Style = Callable[[Document | str], list[bytes]]
STYLES: dict[str, tuple[Style, bytes, bytes]] = {
    # what: lines of an event, line end, beginning
    "LF": (plain, b"\n", b""),
    "CRLF": (plain, b"\r\n", b""),
    "CR": (plain, b"\r", b""),
    "BOM": (plain, b"\n", BOM),
    "lines": (spread, b"\n", b""),
    "lines CRLF": (spread, b"\r\n", BOM),
    "noise": (noisy, b"\n", b""),
    "noise CR": (noisy, b"\r", b": hello\r\r"),
}


def written(events: Sequence[Document | str], style: str) -> bytes:
    """The bytes of a stream."""
    lines, end, begin = STYLES[style]
    return begin + b"".join(end.join(lines(event)) + end + end for event in events)


Stream = OpenAIStream | AnthropicStream | MessagesRelay | TranslatedStream
STREAMS: dict[str, tuple[Callable[[], Stream], dict[str, list[Document | str]]]] = {
    name: (make, {"whole": CHAT, "broken": BROKEN, "cut": CUT})
    for name, make in {
        "chat": lambda: OpenAIStream(wants_usage=False),
        "chat with usage": lambda: OpenAIStream(wants_usage=True),
        "chat as message": lambda: TranslatedStream(OpenAIStream(wants_usage=True), MessageWriter()),
        "chat as response": lambda: TranslatedStream(OpenAIStream(wants_usage=True), ResponseWriter({}, 1)),
    }.items()
} | {
    name: (make, {"whole": MESSAGE, "broken": OVERLOADED, "cut": MESSAGE[:-1]})
    for name, make in {
        "message": MessagesRelay,
        "message as chat": lambda: AnthropicStream(wants_usage=True, created_s=1),
        "message as message": lambda: TranslatedStream(AnthropicStream(wants_usage=True, created_s=1), MessageWriter()),
        "message as response": lambda: TranslatedStream(
            AnthropicStream(wants_usage=True, created_s=1), ResponseWriter({}, 1)
        ),
    }.items()
}


def events(wire: bytes) -> list[bytes]:
    """The data of the events that went out."""
    return Splitter().feed(wire)
