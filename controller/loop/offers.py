"""What providers take just now, as the gateway's own keys tell: the controller rents what cannot be bought. Pure.

A provider whose keys mostly rest or are refused takes what it has answered lately, nothing where that is nothing. It
counts as before once its keys have been good for a while, each time for longer when it falls back soon, as a key that
rests is called good again before anybody has tried it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from math import exp, inf

from controller.core.samples import ProviderCounters

MEMORY_S = 30.0
OUT_FROM_RATIO = 0.5  # of that time without a good key: twenty seconds of an outage
BACK_TO_RATIO = 0.1
FIRST_BACK_S = 60.0
LONGEST_BACK_S = 900.0
SOON_S = 1800.0
WINDOW_S = 60.0  # over which answers are counted
SCRAPE_MAX_S = 10.0  # of a longer silence no more is known than this


class Offer:
    """One provider, from scrape to scrape."""

    def __init__(self) -> None:
        self.is_out = False
        self._bad_ratio = 0.0
        self._bad_at_s = -inf
        self._back_s = FIRST_BACK_S
        self._back_at_s = -inf
        self._seen: deque[tuple[float, float]] = deque()

    def hear(self, counters: ProviderCounters, now_s: float) -> None:
        """Takes in one scrape."""
        elapsed_s = min(SCRAPE_MAX_S, max(0.0, now_s - self._seen[-1][0])) if self._seen else 0.0
        old, is_bad = exp(-elapsed_s / MEMORY_S), counters.keys_good == 0
        self._bad_ratio = old * self._bad_ratio + (1.0 - old) * is_bad
        self._count(counters.answered, now_s)
        if is_bad:
            self._bad_at_s = now_s
        if not self.is_out and self._bad_ratio >= OUT_FROM_RATIO:
            self.is_out = True
            soon = now_s - self._back_at_s < SOON_S
            self._back_s = min(LONGEST_BACK_S, 2.0 * self._back_s) if soon else FIRST_BACK_S
        elif self.is_out and self._bad_ratio <= BACK_TO_RATIO and now_s - self._bad_at_s >= self._back_s:
            self.is_out, self._back_at_s = False, now_s

    def _count(self, answered: float, now_s: float) -> None:
        seen = self._seen
        if seen and answered < seen[-1][1]:
            seen.clear()  # the gateway has started anew
        seen.append((now_s, answered))
        while len(seen) > 2 and now_s - seen[1][0] >= WINDOW_S:
            seen.popleft()

    @property
    def takes_per_s(self) -> float:
        """Requests; inf while it is well."""
        if not self.is_out:
            return inf
        (first_s, first), (last_s, last) = self._seen[0], self._seen[-1]
        return (last - first) / max(WINDOW_S, last_s - first_s)


class Offers:
    """All providers."""

    def __init__(self) -> None:
        self._offers: dict[str, Offer] = {}

    def hear(self, providers: Mapping[str, ProviderCounters], now_s: float) -> None:
        """Takes in one scrape of a gateway; of providers it does not name nothing new is known."""
        for name, counters in providers.items():
            self._offers.setdefault(name, Offer()).hear(counters, now_s)

    def takes_per_s(self, name: str) -> float:
        """Requests that this provider takes now; inf as far as is known, 0 for none."""
        offer = self._offers.get(name)
        return inf if offer is None else offer.takes_per_s

    def out(self) -> dict[str, bool]:
        """Which of them take less than they should."""
        return {name: offer.is_out for name, offer in self._offers.items()}

    def words(self, names: Iterable[str]) -> tuple[str, ...]:
        """Of these, what is not as it should be."""
        found = []
        for name in sorted(set(names)):
            takes_per_s = self.takes_per_s(name)
            if takes_per_s < inf:
                found.append(f"{name} takes {f'{takes_per_s:.2g} requests/s' if takes_per_s else 'nothing'} now")
        return tuple(found)
