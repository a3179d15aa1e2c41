"""Requests or tokens per minute that any number of gateways keep together exactly. Plain arithmetic; no lock, no clock.

A row per tenant and UTC minute counts what was granted, and never passes the limit. Each gateway leases slices of the
row and spends them in memory; it asks for more before they run out and gives back what it does not need. What one
gateway holds unspent the others cannot have: at most a 20th of the limit, and nothing two seconds after traffic ends.
"""

from __future__ import annotations

from math import ceil

from controller.core.rate_limits import MINUTE_S

RESERVE_S = 2.0  # a gateway holds what it used in so long
RESERVE_SHARE = 20  # but at most this part of the limit: below 20 per minute nothing is held ahead
HALVED_AFTER_S = 1.0  # how quickly the pace of yesterday is forgotten
IDLE_PER_S = 0.25  # slower than this, and nothing is held ahead


def granted(limit: int | None, so_far: int, wish: int) -> int:
    """What a row gives: at most what is left; what is given back it takes."""
    if limit is None or wish <= 0:
        return wish
    return max(0, min(wish, limit - so_far))


class Allowance:
    """One limit of one tenant, as one gateway knows it. `granted`: to all gateways in this minute, as last seen."""

    __slots__ = ("ahead", "blind", "granted", "leased", "limit", "low", "minute", "pace_per_s", "taken", "used")

    def __init__(self, limit: int, minute: int) -> None:
        self.limit = limit
        self.minute = minute
        self.leased = 0
        self.used = 0  # more than was leased when answers came out longer than estimated: the row then owes it
        self.granted = 0
        self.ahead = 0  # leased for the next minute
        self.blind = 0  # let through while the rows could not be reached
        self.taken = 0  # since the last beat
        self.pace_per_s = 0.0
        self.low = 0  # with less than this unspent it is time to ask for more

    @property
    def unspent(self) -> int:
        """What may be taken at once; below zero what is owed."""
        return self.leased - self.used

    @property
    def remaining(self) -> int:
        """What the tenant still has in this minute, as far as this gateway has seen."""
        return max(0, self.limit - self.granted + self.leased - self.used)

    def roll(self, minute: int) -> None:
        """A later minute begins: leases end, debts stay, and each minute in between has paid off as much as it could.

        An earlier one, by a clock set back, changes nothing.
        """
        gap = minute - self.minute
        if gap <= 0:
            return
        owed = max(0, self.used - self.leased)
        self.used = max(0, owed - self.limit * (gap - 1))
        self.leased = self.granted = self.ahead if gap == 1 else 0
        self.ahead = self.blind = 0
        self.minute = minute

    def take(self, amount: int) -> None:
        """Spend it; `unspent` has been looked at before."""
        self.used += amount
        self.taken += amount

    def take_blind(self, amount: int) -> bool:
        """Let it through without a lease, unless what this gateway knows of alone is more than the limit."""
        if self.used + self.blind + amount > self.limit:
            return False
        self.blind += amount
        return True

    def settle(self, minute: int, estimate: int, real: int) -> None:
        """What was taken too much in this minute is there again; what was taken too little is owed."""
        if real > estimate or minute == self.minute:
            self.used += real - estimate

    def beat(self, elapsed_s: float) -> None:
        """Learn how quickly it is used; to be called about every second."""
        faded = self.pace_per_s * 0.5 ** (elapsed_s / HALVED_AFTER_S)
        self.pace_per_s = max(faded, self.taken / elapsed_s)
        if self.pace_per_s < IDLE_PER_S:
            self.pace_per_s = 0.0
        self.taken = 0
        self.low = (self.reserve + 1) // 2

    @property
    def reserve(self) -> int:
        """What it is good to hold unspent."""
        return min(ceil(self.pace_per_s * RESERVE_S), self.limit // RESERVE_SHARE)

    def wish(self, need: int) -> int:
        """What to ask of the row, for `need` that waits and a reserve; negative: what to give back."""
        spare = self.unspent - need
        if spare < self.low:
            return self.reserve - spare
        return self.reserve - spare if spare > 2 * self.reserve else 0

    def wish_ahead(self) -> int:
        """What to ask of the next minute's row."""
        return max(0, self.reserve - self.ahead)

    def give_back(self, amount: int) -> None:
        """Before the row is told, so that nobody spends it meanwhile."""
        self.leased -= amount

    def lease(self, minute: int, got: int, granted_to_all: int) -> None:
        """What a row has given; one of a minute that is over is worth nothing."""
        if minute == self.minute:
            self.leased += max(0, got)
            self.granted = granted_to_all
        elif minute == self.minute + 1:
            self.ahead += max(0, got)

    def frees_after_s(self, amount: int, now_s: float) -> float:
        """Until so much can be had for sure, as far as this gateway knows: debts of this minute come first."""
        owed = max(0, self.used - self.leased)
        minutes = max(1, ceil((owed + amount) / self.limit))
        return (self.minute + minutes) * MINUTE_S - now_s
