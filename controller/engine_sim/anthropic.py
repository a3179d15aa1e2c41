"""Anthropic's Messages dialect for the stand-in provider: requests in, messages and events out."""

from __future__ import annotations

from typing import Any

import orjson

from controller.engine_sim.asks import Ask, Prompt, Refusal, Tool, asks_for_the_tool
from controller.engine_sim.jobs import Track
from controller.engine_sim.plans import Plan
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
        tool=_tool(document, messages),
    )


def _tool(document: dict[str, Any], messages: list[dict[str, Any]]) -> Tool | None:
    tools = [tool for tool in document.get("tools") or () if isinstance(tool, dict)]
    choice = document.get("tool_choice") or {"type": "auto"}
    kind = choice.get("type") if isinstance(choice, dict) else None
    if kind == "tool":
        tools = [tool for tool in tools if tool.get("name") == choice.get("name")]
    wanted = kind in ("any", "tool") or (kind == "auto" and asks_for_the_tool(messages))
    if wanted and not tools and kind != "auto":
        raise Refusal(400, "tool_choice: no such tool in tools")
    if not wanted or not tools:
        return None
    return Tool(name=str(tools[0].get("name")), schema=tools[0].get("input_schema"), named=False)


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
        block: dict[str, Any] = {"type": "text", "text": plan.text}
        if plan.tool_name is not None:
            block = {**self._tool_block(plan), "input": _arguments(plan)}
        message = {**self._message(), "content": [block], "stop_reason": _STOP_REASONS[plan.reason]}
        return orjson.dumps({**message, "usage": _usage(tracks[0], tracks[0].emitted)})

    def _message(self) -> dict[str, Any]:
        head = {"id": self._id, "type": "message", "role": "assistant", "model": self._ask.model}
        return {**head, "content": [], "stop_reason": None, "stop_sequence": None}

    def _tool_block(self, plan: Plan) -> dict[str, Any]:
        return {"type": "tool_use", "id": f"toolu_{self._id[-16:]}", "name": plan.tool_name, "input": {}}

    def opening(self, choices: int) -> bytes:
        """Nothing: the first event carries usage, which the first token brings."""
        del choices
        return b""

    def tokens(self, index: int, track: Track, seen: int) -> bytes:
        """Start events with the first token, then one delta."""
        del index
        data = self._start(track) if seen == 0 else b""
        text = "".join(track.plan.pieces[seen : track.emitted])
        delta = {"type": "text_delta", "text": text}
        if track.plan.tool_name is not None:
            delta = {"type": "input_json_delta", "partial_json": text}
        return data + _event({"type": "content_block_delta", "index": 0, "delta": delta})

    def _start(self, track: Track) -> bytes:
        block = {"type": "text", "text": ""} if track.plan.tool_name is None else self._tool_block(track.plan)
        return (
            _event({"type": "message_start", "message": {**self._message(), "usage": _usage(track, 1)}})
            + _event({"type": "content_block_start", "index": 0, "content_block": block})
            + _event({"type": "ping"})
        )

    def closing(self, tracks: tuple[Track, ...]) -> bytes:
        """The stop reason, the final count and the end."""
        delta = {"stop_reason": _STOP_REASONS[tracks[0].plan.reason], "stop_sequence": None}
        return (
            _event({"type": "content_block_stop", "index": 0})
            + _event({"type": "message_delta", "delta": delta, "usage": {"output_tokens": tracks[0].emitted}})
            + _event({"type": "message_stop"})
        )


def _usage(track: Track, output_tokens: int) -> dict[str, int]:
    return {
        "input_tokens": track.input_tokens - track.cached_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": track.cached_tokens,
        "output_tokens": output_tokens,
    }


def _arguments(plan: Plan) -> object:
    try:
        return orjson.loads(plan.text)
    except orjson.JSONDecodeError:  # cut by max_tokens
        return {}
