"""What an answer will say, decided before the first token: texts, token count and finish reason.

Knowing the end in advance keeps the process light: the engine model only has to be told how many tokens to emit.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice

import orjson

from controller.engine_sim.asks import Ask, Prompt
from controller.engine_sim.text import TOKEN_BYTES, instance_of, seed_of, words

_LEAST_DEFAULT_TOKENS = 16
_DEFAULT_TOKENS_SPAN = 240


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One choice. `pieces` has one text per token; `reason` is stop, length or tool_calls."""

    pieces: tuple[str, ...]
    reason: str
    tool_name: str | None = None

    @property
    def text(self) -> str:
        """The whole answer, or the arguments of the tool call."""
        return "".join(self.pieces)


def plan(ask: Ask, prompt: Prompt, index: int, *, room_tokens: int) -> Plan:
    """Choice `index` of one prompt; `room_tokens` is what the context leaves."""
    limit = min(ask.max_tokens or room_tokens, room_tokens)
    seed = seed_of(prompt.data, ask.seed, index)
    if ask.tool is not None:
        pieces = _split(orjson.dumps(instance_of(ask.tool.schema or {"type": "object"})).decode())
        whole = "stop" if ask.tool.named else "tool_calls"
        return _cut(Plan(pieces=pieces, reason=whole, tool_name=ask.tool.name), limit)
    if ask.json_schema is not None:
        return _cut(Plan(pieces=_split(orjson.dumps(instance_of(ask.json_schema)).decode()), reason="stop"), limit)
    natural = max(ask.min_tokens, _LEAST_DEFAULT_TOKENS + seed % _DEFAULT_TOKENS_SPAN)
    wanted = limit if ask.ignore_eos else min(limit, natural)
    pieces = tuple(islice(words(seed), wanted))
    reason = "length" if wanted == limit else "stop"
    return _until_stop(pieces, reason, ask) if ask.stop else Plan(pieces=pieces, reason=reason)


def _split(text: str) -> tuple[str, ...]:
    return tuple(text[start : start + TOKEN_BYTES] for start in range(0, len(text), TOKEN_BYTES))


def _cut(whole: Plan, limit: int) -> Plan:
    if len(whole.pieces) <= limit:
        return whole
    return Plan(pieces=whole.pieces[:limit], reason="length", tool_name=whole.tool_name)


def _until_stop(pieces: tuple[str, ...], reason: str, ask: Ask) -> Plan:
    """End before the first stop text that appears after `min_tokens`; its tokens were computed and count."""
    text = ""
    for number, piece in enumerate(pieces, 1):
        before = len(text)
        text += piece
        hits = [text.find(stop, max(0, before - len(stop) + 1)) for stop in ask.stop]
        found = [hit for hit in hits if hit >= 0]
        if found and number > ask.min_tokens:
            kept = _shorten(pieces[:number], min(found))
            return Plan(pieces=kept, reason="stop")
    return Plan(pieces=pieces, reason=reason)


def _shorten(pieces: tuple[str, ...], length: int) -> tuple[str, ...]:
    """The same number of tokens, with nothing of the text beyond `length`."""
    kept, used = [], 0
    for piece in pieces:
        kept.append(piece[: max(0, length - used)])
        used += len(piece)
    return tuple(kept)
