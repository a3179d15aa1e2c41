"""Which beginnings of prompts a replica has in its prefix cache, as far as this gateway sent them there.

Bounded twice: by the tokens that the replica's KV cache holds and by a number of entries. What was used longest ago
goes first, as in the engine.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

CHARS_PER_TOKEN = 4
ENTRIES_MAX = 4096


class WarmPrefixes:
    """Of one replica."""

    __slots__ = ("_held", "_room_tokens", "_tokens")

    def __init__(self, room_tokens: int) -> None:
        self._held: OrderedDict[int, int] = OrderedDict()  # name: the tokens that it adds to the next shorter one
        self._room_tokens = room_tokens
        self._tokens = 0

    def __len__(self) -> int:
        """Beginnings held."""
        return len(self._held)

    def tokens_of(self, prefixes: Sequence[tuple[int, int]]) -> int:
        """How many tokens of this prompt need not be computed: those of its longest beginning held."""
        held = self._held
        if held:
            for name, length in reversed(prefixes):
                if name in held:
                    return length // CHARS_PER_TOKEN
        return 0

    def note(self, prefixes: Sequence[tuple[int, int]]) -> None:
        """The replica has computed this prompt; the longest beginning counts as used first, so that it goes first."""
        held = self._held
        shorter = len(prefixes) - 1
        for name, length in reversed(prefixes):
            shorter -= 1
            if name in held:
                held.move_to_end(name)
                continue
            added = (length - (prefixes[shorter][1] if shorter >= 0 else 0)) // CHARS_PER_TOKEN
            held[name] = added
            self._tokens += added
        while held and (self._tokens > self._room_tokens or len(held) > ENTRIES_MAX):
            self._tokens -= held.popitem(last=False)[1]

    def forget(self) -> None:
        """The engine started anew."""
        self._held.clear()
        self._tokens = 0
