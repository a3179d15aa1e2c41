"""How much of a provider's quota may be used now. Plain arithmetic per quota; callers bring the clock.

`Throttle` finds by itself how many calls at a time a provider bears: it shrinks when told that there are too many, and
grows while its calls are answered. After an outage it starts at one call and doubles, so that the load that has piled
up meanwhile does not bring the provider down again. `Quota` keeps a limit per minute that the operator has set.
"""

from __future__ import annotations

CUT_RATIO = 0.9
ROUND_S = 0.5  # refusals within so long of a cut are of the same moment: one cut is enough
GROWTH = 0.02  # calls at a time per answered call, once it is at what was good before
PEAK_DECAY = 0.999
FEW = 16.0  # calls at a time that any provider bears: up to here it doubles although nothing is known
BURST_S = 10.0  # a quiet quota saves up so much of a minute


class Throttle:
    """Calls at a time. `limit` None: it has never been refused."""

    __slots__ = ("_cut_at_s", "_good", "_peak", "limit")

    def __init__(self) -> None:
        self.limit: float | None = None
        self._good = 1.0
        self._peak = 0.0
        self._cut_at_s: float | None = None

    def allows(self, in_flight: int) -> bool:
        """Whether one more call may begin."""
        return self.limit is None or in_flight + 1 <= max(1.0, self.limit)

    def answered(self, in_flight: int) -> None:
        """A call was answered; `in_flight` with it."""
        self._peak = max(self._peak * PEAK_DECAY, float(in_flight))
        if self.limit is None or in_flight < self.limit / 2:  # a limit that is not used proves nothing
            return
        self.limit += 1.0 if self.limit < self._good else GROWTH

    def refused(self, in_flight: int, now_s: float) -> None:
        """The provider says that it is too much; `in_flight` with that call."""
        if self._cut_at_s is not None and now_s - self._cut_at_s < ROUND_S:
            return
        self._cut_at_s = now_s
        now = float(in_flight) if self.limit is None else min(self.limit, float(in_flight))
        self.limit = self._good = max(1.0, CUT_RATIO * now)

    def restart(self) -> None:
        """The provider is gone: when it is back, one call first, and then twice as many each time."""
        if self.limit is None:
            self._good = self._peak
        elif self.limit > 1.0:
            self._good = min(self.limit, self._peak)
        self._good = max(FEW, self._good)
        self.limit = 1.0


class Quota:
    """So many per minute, saved up for at most `BURST_S`."""

    __slots__ = ("_at_s", "_burst", "_level", "_per_s")

    def __init__(self, per_min: int, now_s: float) -> None:
        self._per_s = per_min / 60.0
        self._burst = max(1.0, self._per_s * BURST_S)
        self._level = self._burst
        self._at_s = now_s

    def wait_s(self, amount: float, now_s: float) -> float:
        """Seconds until so much may be taken, 0 for now; more than the burst costs the whole burst."""
        self._level = min(self._burst, self._level + (now_s - self._at_s) * self._per_s)
        self._at_s = now_s
        lacking = min(amount, self._burst) - self._level
        return lacking / self._per_s if lacking > 1e-9 else 0.0

    def take(self, amount: float) -> None:
        """It is used."""
        self._level -= min(amount, self._burst)
