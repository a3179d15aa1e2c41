"""Chat answers as Anthropic messages: whole ones, and streams event by event."""

from __future__ import annotations

import orjson

from controller.core.errors import RequestError
from controller.gateway.json_body import Document
from controller.gateway.openai_wire import usage_of

STOP_REASONS = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
}


def _usage(raw: object) -> Document:
    """Usage in Anthropic's shape: input without what came from a cache."""
    usage = usage_of(raw)
    if usage is None:
        return {"input_tokens": 0, "output_tokens": 0}
    return {
        "input_tokens": usage.input_tokens - usage.cached_input_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": usage.cached_input_tokens,
        "output_tokens": usage.output_tokens,
    }


def _stop(choice: Document) -> tuple[str, str | None]:
    """(stop_reason, stop_sequence); vLLM names the text that stopped it."""
    matched = choice.get("stop_reason")
    if choice.get("finish_reason") == "stop" and isinstance(matched, str):
        return "stop_sequence", matched
    return STOP_REASONS.get(str(choice.get("finish_reason")), "end_turn"), None


def _reasoning(message: Document) -> str | None:
    text = message.get("reasoning_content") or message.get("reasoning")
    return text if isinstance(text, str) and text else None


def _input(arguments: object) -> Document:
    """A tool's arguments; the text as it is under one name when it is no JSON object."""
    try:
        parsed = orjson.loads(arguments if isinstance(arguments, str) and arguments else "{}")
    except orjson.JSONDecodeError:  # cut by max_tokens
        return {"arguments": arguments}
    return parsed if isinstance(parsed, dict) else {"arguments": arguments}


def whole(chat: bytes) -> bytes:
    """A chat completion as a message; its first choice, as Anthropic knows no others."""
    document = orjson.loads(chat)
    choice = document["choices"][0] if document["choices"] else {}
    message = choice.get("message") or {}
    content: list[Document] = []
    reasoning = _reasoning(message)
    if reasoning is not None:
        content.append({"type": "thinking", "thinking": reasoning, "signature": ""})
    text = message.get("content") or message.get("refusal")
    if text:
        content.append({"type": "text", "text": text})
    for call in message.get("tool_calls") or []:
        function = call.get("function") or {}
        block = {"type": "tool_use", "id": call.get("id"), "name": function.get("name")}
        content.append({**block, "input": _input(function.get("arguments"))})
    stop_reason, stop_sequence = _stop(choice)
    return orjson.dumps(
        {
            "id": document.get("id"),
            "type": "message",
            "role": "assistant",
            "model": document.get("model"),
            "content": content,
            "stop_reason": stop_reason,
            "stop_sequence": stop_sequence,
            "usage": _usage(document.get("usage")),
        }
    )


def event(document: Document) -> bytes:
    """One event on the wire, with its name as Anthropic sends it."""
    return b"event: " + str(document["type"]).encode() + b"\ndata: " + orjson.dumps(document) + b"\n\n"


class MessageWriter:
    """Satisfies `caller.StreamWriter`. One block is open at a time, as the protocol has it."""

    __slots__ = ("_block", "_choice", "_index", "_started", "_tool", "_usage")

    def __init__(self) -> None:
        self._started = False
        self._index = -1
        self._block: str | None = None
        self._tool: int | None = None  # the chat index of the call that is open
        self._choice: Document = {}
        self._usage: object = None

    def write(self, chunk: Document) -> bytes:
        """The events for one chunk."""
        out: list[bytes] = []
        if not self._started:
            self._started = True
            out.append(self._start(chunk))
        if chunk.get("usage"):
            self._usage = chunk["usage"]
        choices = chunk.get("choices") or []
        if choices and not choices[0].get("index"):
            choice = choices[0]
            self._delta(choice.get("delta") or {}, out)
            if choice.get("finish_reason"):
                self._choice = choice
        return b"".join(out)

    def _start(self, chunk: Document) -> bytes:
        """Chat tells its usage last: until then the counts are 0."""
        message: Document = {
            "id": chunk.get("id"),
            "type": "message",
            "role": "assistant",
            "model": chunk.get("model"),
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": {"input_tokens": 0, "output_tokens": 0},
        }
        return event({"type": "message_start", "message": message})

    def _delta(self, delta: Document, out: list[bytes]) -> None:
        reasoning = _reasoning(delta)
        if reasoning is not None:
            self._open("thinking", {"type": "thinking", "thinking": "", "signature": ""}, out)
            self._give({"type": "thinking_delta", "thinking": reasoning}, out)
        text = delta.get("content") or delta.get("refusal")
        if text:
            self._open("text", {"type": "text", "text": ""}, out)
            self._give({"type": "text_delta", "text": text}, out)
        for call in delta.get("tool_calls") or []:
            self._call(call, out)

    def _call(self, call: Document, out: list[bytes]) -> None:
        function = call.get("function") or {}
        index = call.get("index", 0)
        if self._block != "tool_use" or index != self._tool:
            self._close(out)
            self._tool = index
            block: Document = {"type": "tool_use", "id": call.get("id"), "name": function.get("name"), "input": {}}
            self._open("tool_use", block, out)
        if function.get("arguments"):
            self._give({"type": "input_json_delta", "partial_json": function["arguments"]}, out)

    def _open(self, kind: str, block: Document, out: list[bytes]) -> None:
        if self._block == kind:
            return
        self._close(out)
        self._index += 1
        self._block = kind
        out.append(event({"type": "content_block_start", "index": self._index, "content_block": block}))

    def _give(self, delta: Document, out: list[bytes]) -> None:
        out.append(event({"type": "content_block_delta", "index": self._index, "delta": delta}))

    def _close(self, out: list[bytes]) -> None:
        if self._block is not None:
            self._block = None
            out.append(event({"type": "content_block_stop", "index": self._index}))

    def end(self) -> bytes:
        """The open block's end, the stop reason, the final usage and the end; the same each time it is asked."""
        stop_reason, stop_sequence = _stop(self._choice)
        delta = {"stop_reason": stop_reason, "stop_sequence": stop_sequence}
        open_block = [] if self._block is None else [event({"type": "content_block_stop", "index": self._index})]
        closing = event({"type": "message_delta", "delta": delta, "usage": _usage(self._usage)})
        return b"".join([*open_block, closing, event({"type": "message_stop"})])

    def broken(self, error: RequestError) -> bytes | None:
        """None: an error event ends a message."""
        del error
        return None
