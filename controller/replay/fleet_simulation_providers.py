"""External providers in a request-level simulation: what they cost, how soon they answer, when they refuse.

Called by `fleet_simulation`. A provider refuses by its token bucket of requests (429) or because it is out; then the
next one is asked, and where all refuse the request stays at home.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_SPREAD = math.log(3.0) / 2.326  # of the logarithm of the TTFT: the 99th percentile is three times the median
_BURST_S = 10.0  # a bucket holds the requests of so long


@dataclass(frozen=True, slots=True, kw_only=True)
class ExternalProvider:
    """One API. `outages`: from and until, in seconds of the run."""

    name: str
    input_usd_per_mtok: float
    output_usd_per_mtok: float
    ttft_s: float = 0.4
    tokens_per_s: float = 100.0
    requests_per_min: float = math.inf
    outages: tuple[tuple[float, float], ...] = ()

    def usd(self, input_tokens: int, output_tokens: int) -> float:
        """Price of one request."""
        return (input_tokens * self.input_usd_per_mtok + output_tokens * self.output_usd_per_mtok) / 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class ExternalAnswer:
    """How a spilled request went."""

    usd: float
    ttft_s: float
    tpot_s: float


class ExternalProviders:
    """All providers of a run, in the order in which they are asked."""

    def __init__(self, providers: Sequence[ExternalProvider], chance: np.random.Generator) -> None:
        self._providers = providers
        self._chance = chance
        self._buckets = [max(1.0, provider.requests_per_min / 60.0 * _BURST_S) for provider in providers]
        self._filled_s = [0.0 for _ in providers]
        self.refusals = 0

    def answer(self, now_s: float, input_tokens: int, output_tokens: int) -> ExternalAnswer | None:
        """What the first provider that takes the request makes of it; None when none does."""
        for index, provider in enumerate(self._providers):
            out = any(from_s <= now_s < until_s for from_s, until_s in provider.outages)
            if not out and self._admit(index, provider, now_s):
                return ExternalAnswer(
                    usd=provider.usd(input_tokens, output_tokens),
                    ttft_s=provider.ttft_s * math.exp(_SPREAD * float(self._chance.standard_normal())),
                    tpot_s=1.0 / provider.tokens_per_s,
                )
            self.refusals += 1
        return None

    def _admit(self, index: int, provider: ExternalProvider, now_s: float) -> bool:
        """Takes one request out of the bucket if there is one."""
        if provider.requests_per_min == math.inf:
            return True
        per_s = provider.requests_per_min / 60.0
        grown = self._buckets[index] + (now_s - self._filled_s[index]) * per_s
        self._filled_s[index] = now_s
        level = min(max(1.0, per_s * _BURST_S), grown)
        self._buckets[index] = level - 1.0 if level >= 1.0 else level
        return level >= 1.0
