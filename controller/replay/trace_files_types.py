"""What trace files hold: single requests, or windows with rates, or windows with token distributions.

Requests are arrays and not objects, as a week of a busy pool has tens of millions of them. Made by the readers, cut and
scaled by `workloads`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Counts = NDArray[np.int32]
Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Blocks:
    """Prompts as rows of block numbers: prompts that begin with the same numbers begin with the same text."""

    block_tokens: int
    offsets: Indices  # one more than there are requests: the blocks of request i are ids[offsets[i] : offsets[i + 1]]
    ids: Indices

    def of(self, request: int) -> Indices:
        """The blocks of one prompt."""
        return self.ids[self.offsets[request] : self.offsets[request + 1]]

    def taken(self, order: Indices) -> Blocks:
        """Those of the requests named, in that order."""
        lengths = (self.offsets[1:] - self.offsets[:-1])[order]
        offsets = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
        within = np.arange(offsets[-1]) - np.repeat(offsets[:-1], lengths)
        ids = self.ids[np.repeat(self.offsets[:-1][order], lengths) + within]
        return Blocks(block_tokens=self.block_tokens, offsets=offsets, ids=ids)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RequestTrace:
    """Requests in order of arrival; times count from the first one of the file, or from the start of the workload."""

    arrivals_s: Floats
    input_tokens: Counts
    output_tokens: Counts
    blocks: Blocks | None = None  # None where the trace says nothing of shared beginnings

    def __len__(self) -> int:
        """How many requests."""
        return len(self.arrivals_s)

    def mean_sizes(self) -> tuple[float, float]:
        """Mean prompt and answer tokens; a request of nothing counts as one token."""
        return float(np.maximum(1, self.input_tokens).mean()), float(np.maximum(1, self.output_tokens).mean())

    def fitting(self, longest_tokens: int) -> RequestTrace:
        """Those that a context of so many tokens can hold, prompt and answer together; at their own times."""
        fits = np.flatnonzero(self.input_tokens + self.output_tokens <= longest_tokens)
        return self if len(fits) == len(self) else self.taken(fits)

    def taken(self, order: Indices) -> RequestTrace:
        """The requests named by their numbers, in that order."""
        return RequestTrace(
            arrivals_s=self.arrivals_s[order],
            input_tokens=self.input_tokens[order],
            output_tokens=self.output_tokens[order],
            blocks=None if self.blocks is None else self.blocks.taken(order),
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RateSeries:
    """Rates of one service or client, window by window in order of time. Windows may be missing."""

    starts_s: Floats
    rates_per_s: Floats
    cvs: Floats  # of the times between arrivals; 0 where the file says none
    distributions: tuple[str, ...]  # Gamma, Weibull, ... or "" where the file says none


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RateTrace:
    """Rates by the name of the service or client; "" where the file holds one and does not name it."""

    window_s: float
    series: Mapping[str, RateSeries]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TokenWindow:
    """Token counts of the requests of one window, as values with their shares, which sum to 1."""

    start_s: float
    input_tokens: Counts
    input_shares: Floats
    output_tokens: Counts
    output_shares: Floats


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TokenTrace:
    """Windows in order of time."""

    windows: tuple[TokenWindow, ...]


Trace = RequestTrace | RateTrace | TokenTrace
