"""How much of a replica's time a request has used: each moment is shared equally by all that are there in it.

So the shares of all requests add up to the time in which the replica had any. What other gateways have at the same
replica is not known here: with several gateways the shares are those of each gateway's own requests.
"""

from __future__ import annotations


class ReplicaTime:
    """The time of one replica while it has requests of this gateway."""

    __slots__ = ("_at_s", "_each_s", "_in_flight")

    def __init__(self) -> None:
        self._at_s = 0.0
        self._each_s = 0.0  # what a request would have by now that had been there from the beginning
        self._in_flight = 0

    def enter(self, now_s: float) -> float:
        """One more request; the mark that `leave` wants."""
        self._pass(now_s)
        self._in_flight += 1
        return self._each_s

    def leave(self, mark_s: float, now_s: float) -> float:
        """One less: seconds that were its own."""
        self._pass(now_s)
        self._in_flight -= 1
        return self._each_s - mark_s

    def _pass(self, now_s: float) -> None:
        if self._in_flight:
            self._each_s += (now_s - self._at_s) / self._in_flight
        self._at_s = now_s
