"""Who waits for a place in an own pool, in which order, and who is better told at once to come back later.

Highest class first. Within a class in order of arrival, but newest first while the oldest has used up its share of the
time it can wait: it will most likely be too late anyway, the newest can still be in time.

A burst may fill the line up to the patience of each. A line that does not empty is no burst but overload: then the
line is kept short (the pool is `pressed`), so that whoever is let in is served within the SLO, and the others hear at
once that they are not. Those who came before that was known and are late by now let the newer ones pass: served in
their order they would make everybody late. Where no place comes free, nobody could be in time, and nobody passes.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator

from controller.core.requests import Priority

RANKS = {Priority.INTERACTIVE: 0, Priority.STANDARD: 1, Priority.BATCH: 2}
HEAD_SHARE = 0.5  # of the time it can wait: past this the oldest of a class yields to the newest
PRESSED_AFTER_SLOS = 1.0  # a line that has not been empty for so long is a standing one
CALM_AFTER_SLOS = 4.0  # without a line for so long, the overload is over
SHORT_WAIT_SLOS = 0.25  # the longest wait while pressed; the rest of the SLO is left for the engine
GAP_WEIGHT = 0.1


class Waiter:
    """One that waits. `until_s`: when it has waited in vain; `held`: for a replica to start, which no SLO counts."""

    __slots__ = ("held", "rank", "since_s", "until_s")

    def __init__(self, rank: int, since_s: float, until_s: float, *, held: bool = False) -> None:
        self.rank = rank
        self.since_s = since_s
        self.until_s = until_s
        self.held = held


class WaitingLine:
    """The line of one pool. Times are monotonic seconds; `slo_s` is the pool's TTFT."""

    __slots__ = ("_busy_since_s", "_classes", "_empty_since_s", "_freed_s", "_gap_s", "_pressed", "depth", "slo_s")

    def __init__(self, slo_s: float) -> None:
        self.slo_s = slo_s
        self._classes: tuple[OrderedDict[Waiter, None], ...] = tuple(OrderedDict() for _ in RANKS)
        self._busy_since_s: float | None = None
        self._empty_since_s: float | None = None
        self._pressed = False
        self._freed_s: float | None = None
        self._gap_s: float | None = None
        self.depth = 0

    def add(self, waiter: Waiter) -> None:
        """It waits from now on."""
        self._classes[waiter.rank][waiter] = None
        self.depth += 1
        if self._busy_since_s is None:
            self._busy_since_s = waiter.since_s

    def remove(self, waiter: Waiter, now_s: float) -> None:
        """It waits no more; harmless when it did not."""
        members = self._classes[waiter.rank]
        if waiter not in members:
            return
        self.pressed(now_s)
        del members[waiter]
        self.depth -= 1
        if not self.depth:
            self._busy_since_s, self._empty_since_s, self._freed_s = None, now_s, None

    def next(self, now_s: float) -> Waiter | None:
        """Whose turn it is."""
        for members in self._classes:
            if members:
                oldest = next(iter(members))
                if now_s - oldest.since_s > HEAD_SHARE * (oldest.until_s - oldest.since_s):
                    return next(reversed(members))
                return next(self._in_time(members, now_s), oldest) if self._lets_pass(now_s) else oldest
        return None

    def _lets_pass(self, now_s: float) -> bool:
        """Whether those who are late yield: in a standing line, while places come free."""
        return self.pressed(now_s) and self._freed_s is not None and now_s - self._freed_s <= self.slo_s

    def _in_time(self, members: Iterable[Waiter], now_s: float) -> Iterator[Waiter]:
        """Those whose first token may yet come within the SLO, or who never counted on that."""
        return (one for one in members if one.held or now_s - one.since_s <= self.slo_s)

    def last(self, rank: int) -> Waiter | None:
        """The newest of the lowest class below this rank: who yields when the line is full."""
        for members in reversed(self._classes[rank + 1 :]):
            if members:
                return next(reversed(members))
        return None

    def stale(self, rank: int, now_s: float) -> Waiter | None:
        """Who gives its place to a newcomer of this rank while the late yield: the oldest of the lowest class that is
        late by now.
        """
        if self._lets_pass(now_s):
            for members in reversed(self._classes[rank:]):
                oldest = next(iter(members), None)
                if oldest is not None and not any(self._in_time((oldest,), now_s)):
                    return oldest
        return None

    def ahead(self, rank: int, now_s: float) -> int:
        """How many would be served before a newcomer of this rank."""
        peers = self._classes[rank]
        before = sum(1 for _ in self._in_time(peers, now_s)) if self._lets_pass(now_s) else len(peers)
        return before + sum(len(members) for members in self._classes[:rank])

    def freed(self, now_s: float) -> None:
        """A request has left the pool; while somebody waits, this tells how fast places come free."""
        if not self.depth:
            return
        if self._freed_s is not None:
            gap_s = now_s - self._freed_s
            self._gap_s = gap_s if self._gap_s is None else self._gap_s + GAP_WEIGHT * (gap_s - self._gap_s)
        self._freed_s = now_s

    def wait_s(self, rank: int, now_s: float, *, late_by_s: float, gap_s: float) -> float:
        """How long a newcomer will wait. `late_by_s`: until the pool can take anybody; `gap_s`: when none is known."""
        return max(0.0, late_by_s) + self.ahead(rank, now_s) * (gap_s if self._gap_s is None else self._gap_s)

    def pressed(self, now_s: float) -> bool:
        """Whether there is a standing line, or was one a short while ago."""
        if self._busy_since_s is not None:
            if now_s - self._busy_since_s >= PRESSED_AFTER_SLOS * self.slo_s:
                self._pressed = True
        elif self._empty_since_s is not None and now_s - self._empty_since_s >= CALM_AFTER_SLOS * self.slo_s:
            self._pressed = False
        return self._pressed

    def longest_s(self, patience_s: float, now_s: float) -> float:
        """The longest predicted wait for which a newcomer is let into the line."""
        return min(patience_s, SHORT_WAIT_SLOS * self.slo_s) if self.pressed(now_s) else patience_s

    def late_after_s(self, now_s: float) -> float:
        """The predicted TTFT from which on the pool is late: its SLO, less what the line takes of it."""
        return self.slo_s * (1.0 - SHORT_WAIT_SLOS) if self.pressed(now_s) else self.slo_s
