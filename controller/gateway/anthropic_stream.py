"""An Anthropic event stream as OpenAI chat chunks, event by event."""

from __future__ import annotations

import orjson

from controller.core.errors import EngineUnavailable, StreamBroken, UpstreamRejected
from controller.core.money import Usage
from controller.gateway.answers import DONE
from controller.gateway.anthropic_wire import FINISH_REASONS, openai_usage, unary, usage_of
from controller.gateway.event_streams import EventReader
from controller.gateway.json_body import Document
from controller.gateway.sse import encode

_STATUSES = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}


def _object(value: object) -> Document:
    return value if isinstance(value, dict) else {}


def in_band(error: object, data: bytes) -> UpstreamRejected:
    """An error event, or a body that is one."""
    kind = error.get("type") if isinstance(error, dict) else None
    return UpstreamRejected(_STATUSES.get(str(kind), 502), data)


def message_of(body: bytes) -> Document:
    """The message in a whole answer; EngineUnavailable when a 200 holds none."""
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise EngineUnavailable("answered 200 with something that is not JSON") from error
    if not isinstance(answer, dict) or not isinstance(answer.get("content"), list):
        if isinstance(answer, dict) and answer.get("type") == "error":
            raise in_band(answer.get("error"), body)
        raise EngineUnavailable("answered 200 without `content`")
    return answer


def read_unary(body: bytes, created_s: int) -> tuple[bytes, Usage | None]:
    """The answer as a chat completion and its usage."""
    return unary(message_of(body), created_s)


class AnthropicStream(EventReader):
    """Translates a stream; the same surface as `openai_wire.OpenAIStream`."""

    __slots__ = (
        "_created_s",
        "_finish",
        "_head",
        "_tool_index",
        "_wants_arguments",
        "_wants_usage",
    )

    def __init__(self, *, wants_usage: bool, created_s: int) -> None:
        super().__init__()
        self._wants_usage = wants_usage
        self._created_s = created_s
        self._head: Document = {}
        self._tool_index = -1
        self._wants_arguments = False  # a tool call has begun and nothing of its arguments has come
        self._finish: str | None = None

    def _event(self, data: bytes, out: list[bytes]) -> None:
        try:
            event = orjson.loads(data)
        except orjson.JSONDecodeError:
            self.error = StreamBroken("an event is not JSON")
            return
        if isinstance(event, dict):
            self._parsed(event, data, out)

    def _parsed(self, event: Document, data: bytes, out: list[bytes]) -> None:
        kind = event.get("type")
        if kind == "content_block_delta":
            self._delta(_object(event.get("delta")), out)
        elif kind == "message_start":
            message = _object(event.get("message"))
            self.usage = usage_of(message.get("usage"))
            self._head = {
                "id": message.get("id"),
                "object": "chat.completion.chunk",
                "created": self._created_s,
                "model": message.get("model"),
            }
            out.append(self._chunk({"role": "assistant", "content": ""}))
        elif kind == "content_block_start":
            self._block(_object(event.get("content_block")), out)
        elif kind == "content_block_stop":
            self._arguments("{}", out, needed=self._wants_arguments)
        elif kind == "message_delta":
            delta = _object(event.get("delta"))
            self._finish = FINISH_REASONS.get(str(delta.get("stop_reason")), "stop")
            self.usage = usage_of(event.get("usage"), self.usage)
            self.content_seen = True
            out.append(self._chunk({}, finish=self._finish))
        elif kind == "message_stop":
            self.done = True
            if self._wants_usage and self.usage is not None:
                out.append(encode(orjson.dumps({**self._head, "choices": [], "usage": openai_usage(self.usage)})))
        elif kind == "error":
            self.error = in_band(event.get("error"), data)

    def _block(self, block: Document, out: list[bytes]) -> None:
        if block.get("type") != "tool_use":
            return
        self._tool_index += 1
        self._wants_arguments = True
        function = {"name": block.get("name"), "arguments": ""}
        call = {"index": self._tool_index, "id": block.get("id"), "type": "function", "function": function}
        self._content({"tool_calls": [call]}, out)

    def _delta(self, delta: Document, out: list[bytes]) -> None:
        kind, text, json = delta.get("type"), delta.get("text"), delta.get("partial_json")
        thinking = delta.get("thinking")
        if kind == "text_delta" and isinstance(text, str) and text:
            self._content({"content": text}, out)
        elif kind == "thinking_delta" and isinstance(thinking, str) and thinking:
            self._content({"reasoning_content": thinking}, out)
        elif kind == "input_json_delta" and isinstance(json, str):
            self._arguments(json, out, needed=bool(json))

    def _arguments(self, json: str, out: list[bytes], *, needed: bool) -> None:
        if needed:
            self._wants_arguments = False
            self._content({"tool_calls": [{"index": max(0, self._tool_index), "function": {"arguments": json}}]}, out)

    def _content(self, delta: Document, out: list[bytes]) -> None:
        self.content_seen = True
        self.content_events += 1
        out.append(self._chunk(delta))

    def _chunk(self, delta: Document, finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return encode(orjson.dumps({**self._head, "choices": [choice]}))

    def end(self) -> bytes:
        """The upstream ended its body: [DONE] when the answer is whole, else `error` is set."""
        if not self.done:
            self.error = self.error or StreamBroken("the stream ended before message_stop")
            return b""
        return DONE
