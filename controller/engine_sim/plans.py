"""What an answer will say, decided before the first token: texts, token count and finish reason.

Knowing the end in advance keeps the process light: the engine model only has to be told how many tokens to emit.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import islice

import orjson

from controller.engine_sim.asks import Ask, Prompt
from controller.engine_sim.text import TOKEN_BYTES, instance_of, seed_of, words

_LEAST_DEFAULT_TOKENS = 16
_DEFAULT_TOKENS_SPAN = 240


_THOUGHT_TOKENS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A run of tokens of one kind: reasoning, text or tool."""

    kind: str
    start: int
    end: int
    tool_name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One choice. `pieces` has one text per token; `reason` is stop, length or tool_calls; `stopped_by`: the stop text.

    `parts` cover the pieces from first to last.
    """

    pieces: tuple[str, ...]
    reason: str
    parts: tuple[Part, ...]
    stopped_by: str | None = None

    @property
    def text(self) -> str:
        """All of it."""
        return "".join(self.pieces)

    def text_of(self, part: Part) -> str:
        """What one part says."""
        return "".join(self.pieces[part.start : part.end])

    def of(self, kind: str) -> tuple[Part, ...]:
        """The parts of one kind."""
        return tuple(part for part in self.parts if part.kind == kind)

    def between(self, start: int, end: int) -> list[tuple[int, Part, int, int]]:
        """(number, part, from, to) of every part that has tokens in this range."""
        return [
            (number, part, max(start, part.start), min(end, part.end))
            for number, part in enumerate(self.parts)
            if part.start < end and part.end > start
        ]


def plan(ask: Ask, prompt: Prompt, index: int, *, room_tokens: int) -> Plan:
    """Choice `index` of one prompt; `room_tokens` is what the context leaves."""
    limit = min(ask.max_tokens or room_tokens, room_tokens)
    seed = seed_of(prompt.data, ask.seed, index)
    thought = tuple(islice(words(seed + 1), _THOUGHT_TOKENS)) if ask.thinks else ()
    if ask.tools:
        whole = "stop" if ask.tools[0].named else "tool_calls"
        runs = [
            ("tool", _split(orjson.dumps(instance_of(tool.schema or {"type": "object"})).decode()), tool.name)
            for tool in ask.tools
        ]
        return _joined([("reasoning", thought, None), *runs], whole, limit)
    if ask.json_schema is not None:
        run = ("text", _split(orjson.dumps(instance_of(ask.json_schema)).decode()), None)
        return _joined([("reasoning", thought, None), run], "stop", limit)
    natural = max(ask.min_tokens, _LEAST_DEFAULT_TOKENS + seed % _DEFAULT_TOKENS_SPAN)
    wanted = limit if ask.ignore_eos else min(limit, natural)
    pieces, stopped_by = tuple(islice(words(seed), wanted)), None
    reason = "length" if wanted == limit else "stop"
    if ask.stop:
        pieces, reason, stopped_by = _until_stop(pieces, reason, ask)
    made = _joined([("reasoning", thought, None), ("text", pieces, None)], reason, limit)
    return replace(made, stopped_by=stopped_by if made.reason == "stop" else None)


def _joined(runs: list[tuple[str, tuple[str, ...], str | None]], reason: str, limit: int) -> Plan:
    """The runs one after the other, cut at the limit."""
    pieces: list[str] = []
    parts: list[Part] = []
    for kind, run, tool_name in runs:
        start, end = len(pieces), min(limit, len(pieces) + len(run))
        if end > start:
            parts.append(Part(kind=kind, start=start, end=end, tool_name=tool_name))
        pieces.extend(run)
    if len(pieces) > limit:
        reason = "length"
    return Plan(pieces=tuple(pieces[:limit]), reason=reason, parts=tuple(parts))


def _split(text: str) -> tuple[str, ...]:
    return tuple(text[start : start + TOKEN_BYTES] for start in range(0, len(text), TOKEN_BYTES))


def _until_stop(pieces: tuple[str, ...], reason: str, ask: Ask) -> tuple[tuple[str, ...], str, str | None]:
    """End before the first stop text that appears after `min_tokens`; its tokens were computed and count."""
    text = ""
    for number, piece in enumerate(pieces, 1):
        before = len(text)
        text += piece
        hits = [(text.find(stop, max(0, before - len(stop) + 1)), stop) for stop in ask.stop]
        found = [hit for hit in hits if hit[0] >= 0]
        if found and number > ask.min_tokens:
            place, stop = min(found)
            return _shorten(pieces[:number], place), "stop", stop
    return pieces, reason, None


def _shorten(pieces: tuple[str, ...], length: int) -> tuple[str, ...]:
    """The same number of tokens, with nothing of the text beyond `length`."""
    kept, used = [], 0
    for piece in pieces:
        kept.append(piece[: max(0, length - used)])
        used += len(piece)
    return tuple(kept)
