"""Anthropic's Messages dialect for the stand-in provider: requests in, messages and events out."""

from __future__ import annotations

from typing import Any

import orjson

from controller.engine_sim.asks import THINK_FIRST, Ask, Prompt, Refusal, Tool, calls_wanted, says
from controller.engine_sim.jobs import Track
from controller.engine_sim.plans import Part, Plan
from controller.engine_sim.text import IMAGE_TOKENS, count_tokens, render_chat

_STOP_REASONS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}
_KINDS = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    529: "overloaded_error",
}


def error_body(refusal: Refusal, request_id: str) -> bytes:
    """An error as Anthropic words it."""
    error = {"type": _KINDS.get(refusal.status, "api_error"), "message": refusal.message}
    return orjson.dumps({"type": "error", "error": error, "request_id": request_id})


def read_messages(document: dict[str, Any]) -> Ask:
    """A Messages request."""
    messages, model, limit = document.get("messages"), document.get("model"), document.get("max_tokens")
    if not isinstance(model, str):
        raise Refusal(400, "model: Field required")
    if not isinstance(messages, list) or not messages or not all(isinstance(one, dict) for one in messages):
        raise Refusal(400, "messages: at least one message is required")
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
        raise Refusal(400, "max_tokens: Field required, at least 1")
    if any(one.get("role") not in ("user", "assistant", "system") for one in messages):
        raise Refusal(400, "messages: role must be user, assistant or system")
    system = document.get("system")
    whole = [{"role": "system", "content": system}, *messages] if system else messages
    data, images = render_chat(whole)
    return Ask(
        chat=True,
        model=model,
        prompts=(Prompt(data=data, tokens=count_tokens(data) + images * IMAGE_TOKENS),),
        max_tokens=limit,
        stop=tuple(text for text in document.get("stop_sequences") or () if isinstance(text, str) and text),
        stream=bool(document.get("stream")),
        images=images,
        tools=_tools(document, messages),
        thinks=_thinks(document) or says(messages, THINK_FIRST),
        json_schema=_json_schema(document.get("output_config")),
    )


def _thinks(document: dict[str, Any]) -> bool:
    thinking = document.get("thinking")
    return isinstance(thinking, dict) and thinking.get("type") in ("enabled", "adaptive")


def _json_schema(config: object) -> object:
    wanted = config.get("format") if isinstance(config, dict) else None
    return wanted.get("schema") if isinstance(wanted, dict) and wanted.get("type") == "json_schema" else None


def _tools(document: dict[str, Any], messages: list[dict[str, Any]]) -> tuple[Tool, ...]:
    tools = [tool for tool in document.get("tools") or () if isinstance(tool, dict)]
    choice = document.get("tool_choice")
    choice = choice if isinstance(choice, dict) else {"type": "auto"}
    kind = choice.get("type")
    if kind == "tool":
        tools = [tool for tool in tools if tool.get("name") == choice.get("name")]
    if kind in ("any", "tool") and not tools:
        raise Refusal(400, "tool_choice: no such tool in tools")
    count = 0 if kind == "none" else calls_wanted(messages, len(tools), forced=kind in ("any", "tool"))
    if choice.get("disable_parallel_tool_use"):
        count = min(count, 1)
    return tuple(
        Tool(name=str(tool.get("name")), schema=tool.get("input_schema"), named=False) for tool in tools[:count]
    )


def _event(document: dict[str, Any]) -> bytes:
    kind = str(document["type"]).encode()
    return b"event: " + kind + b"\ndata: " + orjson.dumps(document) + b"\n\n"


class MessageWording:
    """Words one answer; satisfies `streaming.Voice`."""

    def __init__(self, ask: Ask, answer_id: str) -> None:
        self._ask = ask
        self._id = answer_id

    def whole(self, tracks: tuple[Track, ...]) -> bytes:
        """The unary message."""
        plan = tracks[0].plan
        blocks = [{**self._block(number, part), **_said(plan, part)} for number, part in enumerate(plan.parts)]
        message = {**self._message(), "content": blocks, **_stop(plan)}
        return orjson.dumps({**message, "usage": _usage(tracks[0], tracks[0].emitted)})

    def _message(self) -> dict[str, Any]:
        head = {"id": self._id, "type": "message", "role": "assistant", "model": self._ask.model}
        return {**head, "content": [], "stop_reason": None, "stop_sequence": None}

    def _block(self, number: int, part: Part) -> dict[str, Any]:
        """A block before it has said anything."""
        if part.kind == "tool":
            return {"type": "tool_use", "id": f"toolu_{self._id[-16:]}{number}", "name": part.tool_name, "input": {}}
        if part.kind == "reasoning":
            return {"type": "thinking", "thinking": "", "signature": ""}
        return {"type": "text", "text": ""}

    def opening(self, choices: int) -> bytes:
        """Nothing: the first event carries usage, which the first token brings."""
        del choices
        return b""

    def tokens(self, index: int, track: Track, seen: int) -> bytes:
        """Start events with the first token of all and of each block, then one delta."""
        del index
        data = self._start(track) if seen == 0 else b""
        for number, part, start, end in track.plan.between(seen, track.emitted):
            if start == part.start:
                data += self._begin(number, part)
            delta = {**_DELTAS[part.kind], _FIELDS[part.kind]: "".join(track.plan.pieces[start:end])}
            data += _event({"type": "content_block_delta", "index": number, "delta": delta})
        return data

    def _start(self, track: Track) -> bytes:
        head = {"type": "message_start", "message": {**self._message(), "usage": _usage(track, 1)}}
        return _event(head)

    def _begin(self, number: int, part: Part) -> bytes:
        before = _event({"type": "content_block_stop", "index": number - 1}) if number else b""
        start = {"type": "content_block_start", "index": number, "content_block": self._block(number, part)}
        return before + _event(start) + (b"" if number else _event({"type": "ping"}))

    def closing(self, tracks: tuple[Track, ...]) -> bytes:
        """The stop reason, the final count and the end."""
        plan = tracks[0].plan
        return (
            _event({"type": "content_block_stop", "index": len(plan.parts) - 1})
            + _event({"type": "message_delta", "delta": _stop(plan), "usage": {"output_tokens": tracks[0].emitted}})
            + _event({"type": "message_stop"})
        )


_DELTAS = {
    "text": {"type": "text_delta"},
    "tool": {"type": "input_json_delta"},
    "reasoning": {"type": "thinking_delta"},
}
_FIELDS = {"text": "text", "tool": "partial_json", "reasoning": "thinking"}


def _stop(plan: Plan) -> dict[str, Any]:
    if plan.stopped_by is not None:
        return {"stop_reason": "stop_sequence", "stop_sequence": plan.stopped_by}
    return {"stop_reason": _STOP_REASONS[plan.reason], "stop_sequence": None}


def _said(plan: Plan, part: Part) -> dict[str, Any]:
    """What a whole block says."""
    if part.kind == "tool":
        return {"input": _arguments(plan.text_of(part))}
    return {_FIELDS[part.kind]: plan.text_of(part), **({"signature": "c2lt"} if part.kind == "reasoning" else {})}


def _usage(track: Track, output_tokens: int) -> dict[str, int]:
    return {
        "input_tokens": track.input_tokens - track.cached_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": track.cached_tokens,
        "output_tokens": output_tokens,
    }


def _arguments(text: str) -> object:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:  # cut by max_tokens
        return {}
