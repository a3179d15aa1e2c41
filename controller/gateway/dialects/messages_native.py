"""An Anthropic caller at an Anthropic target: the caller's own words go through, and so does the answer."""

from __future__ import annotations

import orjson

from controller.core.errors import StreamBroken
from controller.core.models import Model
from controller.gateway.anthropic_stream import in_band
from controller.gateway.anthropic_wire import usage_of
from controller.gateway.decode import Decoded, NotTranslatable
from controller.gateway.event_streams import EventReader
from controller.gateway.json_body import Document

# Only fields known here go on: whatever else the API understands is not for callers to reach.
FIELDS = frozenset(
    [
        "model",
        "max_tokens",
        "messages",
        "system",
        "stream",
        "temperature",
        "top_p",
        "top_k",
        "stop_sequences",
        "metadata",
        "tools",
        "tool_choice",
        "thinking",
        "output_config",
        "service_tier",
        "cache_control",
    ]
)
_REFUSED = ("mcp_servers", "container")  # Anthropic would call and keep for the caller what nobody here has allowed
_SAMPLING = frozenset({"temperature", "top_p", "top_k"})


def request_body(decoded: Decoded, asked: Document, model: Model, *, temperature: float | None) -> bytes:
    """The caller's own request for this model; NotTranslatable when it needs what the gateway lets nobody reach."""
    for name in _REFUSED:
        if asked.get(name):
            raise NotTranslatable(f"`{name}`")
    allowed = FIELDS if model.accepts_temperature else FIELDS - _SAMPLING
    body = {name: value for name, value in asked.items() if name in allowed}
    body["model"] = model.model_id
    if temperature is not None and not _SAMPLING & body.keys() and not asked.get("thinking"):
        body["temperature"] = temperature
    if decoded.facts.max_tokens is not None:
        body["max_tokens"] = min(decoded.facts.max_tokens, model.max_output_tokens)
    return orjson.dumps(body)


def dropped(asked: Document, model: Model) -> list[str]:
    """Fields that this model does not get."""
    allowed = FIELDS if model.accepts_temperature else FIELDS - _SAMPLING
    return [name for name, value in asked.items() if name not in allowed and value is not None]


class MessagesRelay(EventReader):
    """Relays a stream as it is, learning from it what metering needs; the surface of `openai_wire.OpenAIStream`."""

    __slots__ = ()

    def _event(self, data: bytes, out: list[bytes]) -> None:
        try:
            event = orjson.loads(data)
        except orjson.JSONDecodeError:
            self.error = StreamBroken("an event is not JSON")
            return
        kind = event.get("type") if isinstance(event, dict) else None
        if not isinstance(kind, str) or "\n" in kind or "\r" in kind:
            self.error = StreamBroken("an event without a type")
            return
        if kind == "error":
            self.error = in_band(event.get("error"), data)
            return
        if kind == "content_block_delta":
            self.content_seen = True
            self.content_events += 1
        elif kind == "message_start":
            message = event.get("message")
            self.usage = usage_of(message.get("usage") if isinstance(message, dict) else None)
        elif kind == "message_delta":
            self.content_seen = True
            self.usage = usage_of(event.get("usage"), self.usage)
        elif kind == "message_stop":
            self.done = True
        out.append(b"event: " + kind.encode() + b"\ndata: " + data.replace(b"\n", b"\ndata: ") + b"\n\n")

    def end(self) -> bytes:
        """The upstream ended its body: nothing more to say when the answer is whole, else `error` is set."""
        if not self.done:
            self.error = self.error or StreamBroken("the stream ended before message_stop")
        return b""
