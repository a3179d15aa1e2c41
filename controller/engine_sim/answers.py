"""OpenAI's answer shapes as vLLM fills them: whole answers, stream events, errors, models, embeddings."""

from __future__ import annotations

import array
import base64
import math
from collections.abc import Iterable
from typing import Any
from zlib import crc32

import orjson

from controller.engine_sim.asks import Ask, Prompt, Refusal
from controller.engine_sim.jobs import Track
from controller.engine_sim.plans import Part, Plan

FINGERPRINT = "simulated"
DONE = b"data: [DONE]\n\n"


def event(document: object) -> bytes:
    """One server-sent event."""
    return b"data: " + orjson.dumps(document) + b"\n\n"


def error_body(refusal: Refusal) -> bytes:
    """vLLM's error body; its `code` is the status as an integer."""
    error = {"message": refusal.message, "type": refusal.kind, "param": refusal.param, "code": refusal.status}
    return orjson.dumps({"error": error})


def openai_error_body(refusal: Refusal, kind: str, code: str | None) -> bytes:
    """An error as OpenAI words it."""
    error = {"message": refusal.message, "type": kind, "param": refusal.param, "code": code}
    return orjson.dumps({"error": error})


def usage_of(tracks: Iterable[Track], choices: int, *, tells_reasoning: bool = False) -> dict[str, Any]:
    """Token counts; a prompt with several choices counts once. OpenAI tells those of reasoning, vLLM does not."""
    tracks = tuple(tracks)
    prompts = tracks[::choices]
    input_tokens = sum(track.input_tokens for track in prompts)
    output_tokens = sum(track.emitted for track in tracks)
    usage: dict[str, Any] = {
        "prompt_tokens": input_tokens,
        "total_tokens": input_tokens + output_tokens,
        "completion_tokens": output_tokens,
        "prompt_tokens_details": {"cached_tokens": sum(track.cached_tokens for track in prompts)},
    }
    if tells_reasoning:
        thought = sum(part.end - part.start for track in tracks for part in track.plan.of("reasoning"))
        usage["completion_tokens_details"] = {"reasoning_tokens": thought}
    return usage


class Wording:
    """Builds the documents of one answer; the head is the same in all of them."""

    def __init__(self, ask: Ask, answer_id: str, created_s: int, *, tells_reasoning: bool = False) -> None:
        self._ask = ask
        self._tells_reasoning = tells_reasoning
        self._id = answer_id
        kind = "chat.completion" if ask.chat else "text_completion"
        self._head = {"id": answer_id, "object": kind, "created": created_s, "model": ask.model}
        streamed = "chat.completion.chunk" if ask.chat else kind
        self._stream_head = {**self._head, "object": streamed, "system_fingerprint": FINGERPRINT}

    def whole(self, tracks: tuple[Track, ...]) -> bytes:
        """The unary answer."""
        shape = self._chat_choice if self._ask.chat else self._text_choice
        return orjson.dumps(
            {
                **self._head,
                "choices": [shape(index, track.plan) for index, track in enumerate(tracks)],
                "usage": self._usage(tracks),
                "system_fingerprint": FINGERPRINT,
            }
        )

    def _chat_choice(self, index: int, plan: Plan) -> dict[str, Any]:
        text = "".join(plan.text_of(part) for part in plan.of("text"))
        message: dict[str, Any] = {"role": "assistant", "content": text, "refusal": None}
        tools, thoughts = plan.of("tool"), plan.of("reasoning")
        if tools:
            message["tool_calls"] = [self._call(index, place, plan, part) for place, part in enumerate(tools)]
        if thoughts:
            message["reasoning"] = plan.text_of(thoughts[0])
        return {
            "index": index,
            "message": message,
            "logprobs": self._logprobs(plan.pieces, 0),
            "finish_reason": plan.reason,
            **_stopped(plan),
        }

    def _usage(self, tracks: tuple[Track, ...]) -> dict[str, Any]:
        return usage_of(tracks, self._ask.n, tells_reasoning=self._tells_reasoning)

    def _text_choice(self, index: int, plan: Plan) -> dict[str, Any]:
        logprobs = self._logprobs(plan.pieces, 0)
        choice = {"index": index, "text": plan.text, "logprobs": logprobs, "finish_reason": plan.reason}
        return {**choice, **_stopped(plan)}

    def _call(self, index: int, place: int, plan: Plan, part: Part) -> dict[str, Any]:
        function = {"name": part.tool_name, "arguments": plan.text_of(part)}
        suffix = f"{index}" if place == 0 else f"{index}{place}"
        return {"id": f"chatcmpl-tool-{self._id[-16:]}{suffix}", "type": "function", "function": function}

    def opening(self, choices: int) -> bytes:
        """The events before the first token: chat streams name the role."""
        if not self._ask.chat:
            return b""
        delta = {"role": "assistant", "content": ""}
        return b"".join(self._chunk({"index": index, "delta": delta, **_OPEN}) for index in range(choices))

    def tokens(self, index: int, track: Track, seen: int) -> bytes:
        """The events for everything a choice has got since `seen` tokens, with the finish reason on its last one."""
        plan = track.plan
        out = b""
        for _, part, start, end in plan.between(seen, track.emitted):
            ended = end == len(plan.pieces)
            pieces = plan.pieces[start:end]
            choice = {
                "index": index,
                **self._said(index, plan, part, "".join(pieces), first=start == part.start),
                "logprobs": self._logprobs(pieces, start),
                "finish_reason": plan.reason if ended else None,
            }
            out += self._chunk({**choice, **_stopped(plan)} if ended else choice)
        return out

    def _said(self, index: int, plan: Plan, part: Part, text: str, *, first: bool) -> dict[str, Any]:
        if not self._ask.chat:
            return {"text": text}
        if part.kind == "tool":
            return {"delta": {"tool_calls": [self._call_delta(index, plan, part, text, first=first)]}}
        return {"delta": {"reasoning" if part.kind == "reasoning" else "content": text}}

    def _call_delta(self, index: int, plan: Plan, part: Part, text: str, *, first: bool) -> dict[str, Any]:
        place = plan.of("tool").index(part)
        if not first:
            return {"index": place, "function": {"arguments": text}}
        call = self._call(index, place, plan, part)
        return {**call, "index": place, "function": {"name": part.tool_name, "arguments": text}}

    def closing(self, tracks: tuple[Track, ...]) -> bytes:
        """The counts, for callers that asked, and the end marker."""
        if not self._ask.include_usage:
            return DONE
        return event({**self._stream_head, "choices": [], "usage": self._usage(tracks)}) + DONE

    def _chunk(self, choice: dict[str, Any]) -> bytes:
        return b"data: " + orjson.dumps({**self._stream_head, "choices": [choice]}) + b"\n\n"

    def _logprobs(self, pieces: tuple[str, ...], offset: int) -> dict[str, Any] | None:
        count = self._ask.logprobs
        if count is None:
            return None
        if self._ask.chat:
            return {"content": [_chat_logprob(piece, count) for piece in pieces]}
        return {
            "text_offset": [offset + index for index in range(len(pieces))],
            "token_logprobs": [_LOGPROB] * len(pieces),
            "tokens": list(pieces),
            "top_logprobs": [dict.fromkeys([piece], _LOGPROB) for piece in pieces],
        }


_OPEN: dict[str, Any] = {"logprobs": None, "finish_reason": None}
_LOGPROB = -0.5


def _stopped(plan: Plan) -> dict[str, str]:
    """vLLM names the stop text that ended the answer."""
    return {} if plan.stopped_by is None else {"stop_reason": plan.stopped_by}


def _chat_logprob(piece: str, count: int) -> dict[str, Any]:
    entry = {"token": piece, "logprob": _LOGPROB, "bytes": list(piece.encode())}
    return {**entry, "top_logprobs": [entry] * min(count, 1)}


def embeddings(model: str, prompts: tuple[Prompt, ...], dimensions: int, *, as_base64: bool) -> dict[str, Any]:
    """Vectors of length one that depend on the text alone."""
    data = []
    for index, prompt in enumerate(prompts):
        vector = _vector(prompt.data, dimensions)
        data.append({"object": "embedding", "index": index, "embedding": _base64(vector) if as_base64 else vector})
    tokens = sum(prompt.tokens for prompt in prompts)
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return {"object": "list", "data": data, "model": model, "usage": usage}


def _vector(data: bytes, dimensions: int) -> list[float]:
    state = crc32(data) or 1
    values = []
    for _ in range(dimensions):
        state = (state * 1664525 + 1013904223) & 0xFFFFFFFF
        values.append(state / 0x80000000 - 1.0)
    norm = math.sqrt(sum(value * value for value in values)) or 1.0
    return [value / norm for value in values]


def _base64(vector: list[float]) -> str:

    return base64.b64encode(array.array("f", vector).tobytes()).decode()


def model_list(names: Iterable[str], created_s: int, context_tokens: int | None = None) -> dict[str, Any]:
    """The models served here."""
    extra = {} if context_tokens is None else {"root": FINGERPRINT, "parent": None, "max_model_len": context_tokens}
    rows = [{"id": name, "object": "model", "created": created_s, "owned_by": FINGERPRINT, **extra} for name in names]
    return {"object": "list", "data": rows}
