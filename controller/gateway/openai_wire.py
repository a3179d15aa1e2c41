"""The OpenAI dialect towards upstreams: what is sent, and what is read from answers while their bytes pass through.

Own engines and OpenAI-shaped providers answer in the caller's own shape, so answers are relayed as they are; only usage
is taken from them, and taken out of them when the caller did not ask for it.
"""

from __future__ import annotations

from typing import Any, TypeGuard

import orjson

from controller.core.errors import EngineUnavailable, StreamBroken, UpstreamRejected
from controller.core.models import Feature, Model
from controller.core.money import Usage
from controller.core.requests import Operation
from controller.gateway import chat_fields
from controller.gateway.answers import DONE
from controller.gateway.chat_fields import SENT, Kind, check, says_something
from controller.gateway.decode import Decoded, NotTranslatable
from controller.gateway.event_streams import EventReader
from controller.gateway.json_body import Document
from controller.gateway.sse import encode

PATHS = {
    Operation.CHAT: "/chat/completions",
    Operation.COMPLETION: "/completions",
    Operation.EMBEDDINGS: "/embeddings",
}
_GIVEN_UP = "abort"  # vLLM's finish reason of what it had to give up, as when told to end: no such answer is whole
_GIVEN_UP_MARK = b'"abort"'
# Models that set their own sampling refuse these, and know max_tokens by its newer name only.
_SAMPLING = frozenset({"temperature", "top_p", "presence_penalty", "frequency_penalty"})
_FIXED_SAMPLING_FIELDS = SENT[Kind.OPENAI] - _SAMPLING - {"max_tokens"}
MISSHAPEN = (AttributeError, LookupError, TypeError, ValueError)  # what reading JSON of another shape ends in
_NO_STREAM_USAGE = frozenset({Operation.EMBEDDINGS})


def request_body(
    decoded: Decoded,
    model: Model,
    *,
    is_own: bool,
    temperature: float | None,
    refuses: frozenset[Feature] = frozenset(),
) -> bytes:
    """The body for this model: never the caller's own bytes, in which a name may stand twice and mean two things."""
    document = decoded.document
    if decoded.native_only is not None:
        raise NotTranslatable(decoded.native_only)
    kind = Kind.OWN if is_own else Kind.OPENAI
    check(document, kind, refuses)
    allowed = SENT[kind]
    changes: Document = {}
    if not is_own and not model.accepts_temperature:
        allowed = _FIXED_SAMPLING_FIELDS
        if document.get("max_tokens") is not None:
            changes["max_completion_tokens"] = decoded.facts.max_tokens
    if document["model"] != model.model_id:
        changes["model"] = model.model_id
    if decoded.facts.stream and not decoded.wants_usage and decoded.operation not in _NO_STREAM_USAGE:
        changes["stream_options"] = {**(document.get("stream_options") or {}), "include_usage": True}
    if temperature is not None and document.get("temperature") is None:
        changes["temperature"] = temperature
    kept = {name: value for name, value in document.items() if name in allowed}
    kept.update(changes)
    return orjson.dumps(kept)


def dropped(document: Document, model: Model, *, is_own: bool) -> list[str]:
    """Fields that this target does not get."""
    names = chat_fields.dropped(document, Kind.OWN if is_own else Kind.OPENAI)
    if not is_own and not model.accepts_temperature:
        names.extend(name for name in document.keys() & _SAMPLING if says_something(name, document[name]))
    return names


def usage_of(raw: object) -> Usage | None:
    """Usage in OpenAI's shape, or None when it is not one."""
    if not isinstance(raw, dict):
        return None
    prompt, completion = raw.get("prompt_tokens"), raw.get("completion_tokens", 0)
    details = raw.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, dict) else 0
    completion = completion or 0
    if not _is_count(prompt) or not _is_count(completion):
        return None
    return Usage(
        input_tokens=prompt,
        output_tokens=completion,
        cached_input_tokens=min(cached, prompt) if _is_count(cached) else 0,
    )


def _is_count(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def read_unary(body: bytes, operation: Operation) -> tuple[bytes, Usage | None]:
    """The body to relay and its usage; EngineUnavailable when a 200 does not hold an answer."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise EngineUnavailable("answered 200 with something that is not JSON") from error
    wanted = "data" if operation is Operation.EMBEDDINGS else "choices"
    if isinstance(document, dict) and document.get("error"):
        raise _in_band(document["error"], body)
    if not isinstance(document, dict) or not isinstance(document.get(wanted), list):
        raise EngineUnavailable(f"answered 200 without `{wanted}`")
    if is_given_up(document):
        raise EngineUnavailable("answered 200 with an answer that it gave up before the end")
    return body, usage_of(document.get("usage"))


def is_given_up(document: Document) -> bool:
    """Whether the server ends an answer, or a choice of it, that is not whole."""
    choices = document.get("choices")
    return isinstance(choices, list) and any(
        isinstance(choice, dict) and choice.get("finish_reason") == _GIVEN_UP for choice in choices
    )


def _in_band(error: object, body: bytes) -> UpstreamRejected:
    """An error inside a 200: its own status if it names one, else 502."""
    code = error.get("code") if isinstance(error, dict) else None
    status = code if isinstance(code, int) and 400 <= code < 600 else 502
    return UpstreamRejected(status, body)


class OpenAIStream(EventReader):
    """Relays a chat or completion stream, learning from it what metering needs."""

    __slots__ = ("_counted", "_last", "_wants_usage")

    def __init__(self, *, wants_usage: bool) -> None:
        super().__init__()
        self._wants_usage = wants_usage
        self._last = b""
        self._counted = False  # the usage event has passed, which comes after all choices

    def feed(self, chunk: bytes) -> bytes:
        """What the caller gets for these bytes; after `done` or `error` nothing more."""
        if (
            self.content_seen
            and chunk.endswith(b"}\n\n")
            and chunk.startswith(b"data: {")
            and self._splitter.is_between_events
            and b'"usage":{' not in chunk
            and b'"usage": {' not in chunk
            and b'"error"' not in chunk
            and _GIVEN_UP_MARK not in chunk
            and b"[DONE]" not in chunk
            and b"\r" not in chunk
        ):
            self._last = chunk
            self.content_events += chunk.count(b"\n\n")
            return chunk
        return super().feed(chunk)

    def _event(self, data: bytes, out: list[bytes]) -> None:
        if data == b"[DONE]":
            self.done = True
            return
        if (
            self.content_seen
            and b'"usage":{' not in data
            and b'"usage": {' not in data
            and b'"error"' not in data
            and _GIVEN_UP_MARK not in data
        ):
            self._last = data
            self.content_events += 1
            out.append(encode(data))
            return
        try:
            document = orjson.loads(data)
        except orjson.JSONDecodeError:
            self.error = StreamBroken("an event is not JSON")
            return
        if not isinstance(document, dict):
            self.error = StreamBroken("an event is not an object")
        elif document.get("error"):
            self.error = _in_band(document["error"], data)
        elif is_given_up(document):
            self.error = StreamBroken("the answer was given up before its end")
        else:
            self._last = data
            self._parsed(document, data, out)

    def _parsed(self, document: Document, data: bytes, out: list[bytes]) -> None:
        choices = document.get("choices") or []
        if not isinstance(choices, list):
            self.error = StreamBroken("`choices` of an event is not a list")
            return
        if any(_has_content(choice) for choice in choices):
            self.content_seen = True
            self.content_events += 1
        usage = usage_of(document.get("usage"))
        if usage is not None:
            self.usage = usage
            self._counted = self._counted or not choices
            if not self._wants_usage:
                if not choices:
                    return
                del document["usage"]
                out.append(encode(orjson.dumps(document)))
                return
        out.append(encode(data))

    def end(self) -> bytes:
        """The upstream ended its body: [DONE] when the answer is whole, else `error` is set."""
        last = self._last.removesuffix(b"\n\n").rpartition(b"\n\n")[2]
        if self._counted or b'"finish_reason":"' in last.replace(b": ", b":"):
            self.done = True
        if not self.done:
            self.error = self.error or StreamBroken("the stream ended before its end marker")
            return b""
        return DONE


def _has_content(choice: Any) -> bool:
    """Whether a choice of a chunk carries anything a caller would see."""
    if not isinstance(choice, dict):
        return False
    if choice.get("text") or choice.get("finish_reason"):
        return True
    delta = choice.get("delta")
    return isinstance(delta, dict) and any(
        delta.get(name)
        for name in ("content", "tool_calls", "function_call", "refusal", "reasoning_content", "reasoning")
    )
