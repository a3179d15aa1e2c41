"""Where conversations are: the next turn finds the place of the one before it by the prompt that it continues.

A turn continues another when all of the other's prompt is a beginning of its own and at least two texts follow: an
answer and a question. The same prompt sent twice continues nothing. A conversation that has been idle is over.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from controller.core.records import record
from controller.core.requests import Target

IDLE_S = 600.0
ENTRIES_MAX = 16_384
ADDED_TEXTS = 2


@record
class Place:
    """Where a turn was answered: a pool or provider, and in a pool which replica."""

    target: str
    replica_id: str | None
    at_s: float


def resumed(chain: tuple[Target, ...], place: Place) -> tuple[Target, ...]:
    """The chain with the external target first that answered the last turn; unchanged if there is none such in it."""
    for index, target in enumerate(chain):
        if target.provider is not None and target.name == place.target:
            reason = f"the conversation is there; {target.reason}"
            first = Target(model=target.model, pool=None, provider=target.provider, reason=reason)
            return (first, *chain[:index], *chain[index + 1 :])
    return chain


class Conversations:
    """The newest turns, by the name of their whole prompt; the oldest are forgotten first."""

    __slots__ = ("_idle_s", "_places")

    def __init__(self, idle_s: float = IDLE_S) -> None:
        self._idle_s = idle_s
        self._places: OrderedDict[int, Place] = OrderedDict()

    def __len__(self) -> int:
        """Turns remembered."""
        return len(self._places)

    def place_of(self, prefixes: Sequence[tuple[int, int]], now_s: float) -> Place | None:
        """Where the turn before this one was answered; None for a first turn, or one that comes too late."""
        places = self._places
        for index in range(len(prefixes) - 1 - ADDED_TEXTS, -1, -1):
            place = places.get(prefixes[index][0])
            if place is not None:
                return place if now_s - place.at_s < self._idle_s else None
        return None

    def answered(self, prefixes: Sequence[tuple[int, int]], place: Place) -> None:
        """A turn has been answered there."""
        if not prefixes:
            return
        places, name = self._places, prefixes[-1][0]
        places[name] = place
        places.move_to_end(name)
        if len(places) > ENTRIES_MAX:
            places.popitem(last=False)
