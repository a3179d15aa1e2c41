"""What monitoring knows of a fluid pool: rates over the last scrape window, gauges of its end, counts from the cluster.

Called by `fluid`. Metrics are as old as the last scrape; how many replicas there are is known at once, as in a
cluster.
"""

from __future__ import annotations

from dataclasses import replace

from controller.replay.fluid_pool import ReplicaShape
from controller.replay.simulation_types import Seen, nothing_seen


class FluidMonitor:
    """Gathers slots and turns them into a `Seen` at every scrape."""

    __slots__ = ("_batch", "_mu", "_next_s", "_scrape_s", "_shape", "_slot_s", "_sums", "_wait_s", "seen")

    def __init__(self, shape: ReplicaShape, replica_requests_per_s: float, slot_s: float, scrape_s: float) -> None:
        self._shape = shape
        self._mu = replica_requests_per_s
        self._batch = shape.running(replica_requests_per_s, 1.0)  # of one replica at its SLO
        self._slot_s = slot_s
        self._scrape_s = scrape_s
        self._next_s = 0.0
        self._sums = [0.0, 0.0, 0.0, 0.0]  # slots, offered, served, spilled since the last scrape
        self._wait_s = 0.0
        self.seen = nothing_seen(shape.input_tokens, shape.output_tokens)

    def add(self, offered: float, served: float, spilled: float, wait_s: float) -> None:
        """One more slot of the window; `wait_s` is what an arrival at its end waits."""
        sums = self._sums
        sums[0] += 1
        sums[1] += offered
        sums[2] += served
        sums[3] += spilled
        self._wait_s = max(self._wait_s, wait_s)

    def count(self, ready: int, starting: int) -> None:
        """The cluster's count, known at once."""
        seen = self.seen
        if seen.ready != ready or seen.starting != starting:
            self.seen = replace(seen, ready=ready, starting=starting)

    def scrape(self, now_s: float, ready: int, served_now: float, backlog: float) -> None:
        """Takes the figures if it is time. Gauges are of the last slot, in which `served_now` requests were done."""
        if now_s < self._next_s:
            return
        slots, offered, served, spilled = self._sums
        while self._next_s <= now_s:
            self._next_s += self._scrape_s
        shape, mu, window_s = self._shape, self._mu, slots * self._slot_s
        rate = mu * ready if backlog > 0 else served_now / self._slot_s  # where work waits, no replica is idle
        use = min(1.0, rate / (mu * ready)) if ready else 0.0
        full = self._batch * ready
        batched = shape.batched(backlog, full)
        tpot_s = shape.tpot_s(use)
        running = shape.running_at(rate, tpot_s) + batched if ready else 0.0
        self.seen = Seen(
            ready=ready,
            starting=self.seen.starting,
            running=running,
            waiting=backlog - batched,
            kv_usage_ratio=min(1.0, shape.kv_usage_at_slo_ratio * running / full) if ready else 0.0,
            arrivals_per_s=offered / window_s,
            served_per_s=served / window_s,
            spilled_per_s=spilled / window_s,
            demand_replicas=offered / window_s / mu,
            ttft_p95_s=shape.ttft_idle_s + self._wait_s if served else None,
            tpot_mean_s=tpot_s if served else None,
            input_tokens_mean=shape.input_tokens,
            output_tokens_mean=shape.output_tokens,
        )
        self._sums = [0.0, 0.0, 0.0, 0.0]
        self._wait_s = 0.0
