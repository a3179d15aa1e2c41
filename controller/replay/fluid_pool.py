"""The replicas and the queue of a pool in the fluid model: work is a quantity, and every ready replica does the same.

Called by `fluid`. Replicas are ordered and released at the start of a slot; they are paid from order to release.
"""

from __future__ import annotations

import math
from bisect import insort
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from controller.core.errors import SimulationError


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaShape:
    """What one replica shows of itself at its SLO capacity, and that SLO: defaults of an 8B model on one A100."""

    ttft_slo_s: float = 2.0
    ttft_idle_s: float = 0.2
    tpot_at_slo_s: float = 0.05
    tpot_idle_s: float = 0.0125
    kv_usage_at_slo_ratio: float = 0.9
    batch_headroom_ratio: float = (
        0.0  # of the batch at the SLO: waiting work that engines take in all the same, all slower
    )
    input_tokens: float = 1155.0  # Azure 2023, conversations
    output_tokens: float = 211.0

    def __post_init__(self) -> None:
        """Refuse times that are none."""
        for name in ("ttft_slo_s", "tpot_at_slo_s", "tpot_idle_s", "input_tokens", "output_tokens"):
            value = getattr(self, name)
            if not (value > 0 and math.isfinite(value)):
                raise SimulationError(f"{name} is {value:g}; it must be a finite number > 0")
        if not 0 <= self.batch_headroom_ratio < math.inf:
            value = self.batch_headroom_ratio
            raise SimulationError(f"batch_headroom_ratio is {value:g}; it must be a finite number >= 0")
        if not self.tpot_idle_s <= self.tpot_at_slo_s:
            allowed = f"at most tpot_at_slo_s ({self.tpot_at_slo_s:g})"
            raise SimulationError(f"tpot_idle_s is {self.tpot_idle_s:g}; it must be {allowed}")

    def tpot_s(self, use_ratio: float) -> float:
        """Time per token when a replica is used so: step time grows with the batch, the batch with step time."""
        slowdown = self.tpot_at_slo_s / self.tpot_idle_s
        return self.tpot_at_slo_s / (slowdown - use_ratio * (slowdown - 1))

    def running(self, requests_per_s: float, use_ratio: float) -> float:
        """Requests in the batch, by Little's law."""
        return self.running_at(requests_per_s, self.tpot_s(use_ratio))

    def running_at(self, requests_per_s: float, tpot_s: float) -> float:
        """The same, where the time per token is known."""
        return requests_per_s * (self.ttft_idle_s + self.output_tokens * tpot_s)

    def batched(self, backlog: float, full: float) -> float:
        """Of the work that is behind, what engines show as running, not waiting; `full` is their batch at the SLO."""
        return min(backlog, self.batch_headroom_ratio * full)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shortage:
    """For a while there are nodes for so many replicas and no more: those that run stay, further orders wait unpaid."""

    from_s: float
    until_s: float
    replicas: int


class ReplicaFleet:
    """Ready, starting and draining replicas of one pool. Counts only what is ordered, paid and ready."""

    __slots__ = (
        "_chance",
        "_cold_start_s",
        "_cv",
        "_drain_s",
        "_draining",
        "_failure_ratio",
        "_shortages",
        "_starting",
        "_without_node",
        "ready",
    )

    def __init__(
        self,
        ready: int,
        cold_start_s: float,
        *,
        chance: np.random.Generator,
        cold_start_cv: float = 0.0,
        failure_ratio: float = 0.0,
        drain_s: float = 0.0,
        shortages: Sequence[Shortage] = (),
    ) -> None:
        self.ready = ready
        self._cold_start_s = cold_start_s
        self._chance = chance
        self._cv = cold_start_cv
        self._failure_ratio = failure_ratio
        self._drain_s = drain_s
        self._shortages = shortages
        self._without_node = 0  # ordered, and waiting for a node
        self._starting: list[float] = []  # when they are ready, soonest first
        self._draining: list[float] = []  # when they are gone, soonest first

    @property
    def starting(self) -> int:
        """Ordered and not ready yet, with a node or without."""
        return len(self._starting) + self._without_node

    @property
    def paid(self) -> int:
        """All that cost money now."""
        return self.ready + len(self._starting) + len(self._draining)

    def advance(self, now_s: float) -> None:
        """Those whose time has come are ready, or gone."""
        starting, draining = self._starting, self._draining
        while starting and starting[0] <= now_s:
            del starting[0]
            self.ready += 1
        if self._without_node:
            self._place(now_s)
        while draining and draining[0] <= now_s:
            del draining[0]

    def want(self, replicas: int, now_s: float) -> None:
        """Orders or releases until ready and starting together are so many: those that start are cancelled first."""
        more = replicas - self.ready - self.starting
        if more > 0:
            self._without_node += more
            self._place(now_s)
        for _ in range(-more):
            if self._without_node:
                self._without_node -= 1
            elif self._starting:
                del self._starting[-1]
            else:
                self.ready -= 1
                if self._drain_s > 0:
                    self._draining.append(now_s + self._drain_s)
        if more > 0:
            self.advance(now_s)  # a cold start of nothing

    def _place(self, now_s: float) -> None:
        """Orders get nodes, and begin their cold start, as far as there are nodes."""
        most = min((gap.replicas for gap in self._shortages if gap.from_s <= now_s < gap.until_s), default=math.inf)
        while self._without_node and self.ready + len(self._starting) < most:
            self._without_node -= 1
            insort(self._starting, now_s + self._start_s())

    def _start_s(self) -> float:
        """One cold start: lognormal about its mean; one that fails is found out at its end, and begins again."""
        if self._cv == 0 and self._failure_ratio == 0:
            return self._cold_start_s
        sigma2 = math.log1p(self._cv * self._cv)
        total_s = 0.0
        while True:
            total_s += self._cold_start_s * math.exp(self._chance.normal(-sigma2 / 2, math.sqrt(sigma2)))
            if self._chance.random() >= self._failure_ratio:
                return total_s


def late_arrivals(arrivals: float, before: float, after: float, threshold: float) -> float:
    """Of what came in while the queue went straight from `before` to `after`, who found it above the threshold."""
    low, high = (before, after) if before < after else (after, before)
    if high <= threshold:
        return 0.0
    if low >= threshold:
        return arrivals
    return arrivals * (high - threshold) / (high - low)
