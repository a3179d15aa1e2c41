"""What monitoring shows of a simulated fleet: gauges and rates as old as the last scrape, replica counts as they are.

Called by `fleet_simulation`.
"""

from __future__ import annotations

from dataclasses import replace
from statistics import fmean

import numpy as np

from controller.replay.fleet_simulation_replicas import SimulatedFleet, TypicalRequest
from controller.replay.simulation_types import Seen, nothing_seen


class FleetMonitor:
    """Gathers what happens between two scrapes."""

    def __init__(self, scrape_s: float, replica_requests_per_s: float, typical: TypicalRequest) -> None:
        self._scrape_s = scrape_s
        self._mu = replica_requests_per_s
        self.offered = self.served = self.spilled = 0
        self.input_tokens = self.output_tokens = 0
        self.ttft_s: list[float] = []
        self.tpot_s: list[float] = []
        self.seen = nothing_seen(float(typical.input_tokens), float(typical.output_tokens))

    def counted(self, fleet: SimulatedFleet) -> Seen:
        """What a policy sees now."""
        return replace(self.seen, ready=fleet.ready, starting=len(fleet.starting))

    def scrape(self, fleet: SimulatedFleet) -> None:
        """Take the gauges of this moment and the rates since the last scrape; the fleet is at this moment."""
        pods = tuple(
            (float(pod.engine.running), float(pod.engine.waiting), pod.engine.kv_used_ratio)
            for pod in fleet.live
            if not pod.draining
        )
        seen, offered = self.seen, self.offered
        self.seen = replace(
            seen,
            running=sum(pod[0] for pod in pods),
            waiting=sum(pod[1] for pod in pods),
            kv_usage_ratio=fmean(pod[2] for pod in pods) if pods else 0.0,
            arrivals_per_s=offered / self._scrape_s,
            served_per_s=self.served / self._scrape_s,
            spilled_per_s=self.spilled / self._scrape_s,
            demand_replicas=offered / self._scrape_s / self._mu,
            ttft_p95_s=float(np.percentile(self.ttft_s, 95)) if self.ttft_s else None,
            tpot_mean_s=fmean(self.tpot_s) if self.tpot_s else None,
            input_tokens_mean=self.input_tokens / offered if offered else seen.input_tokens_mean,
            output_tokens_mean=self.output_tokens / offered if offered else seen.output_tokens_mean,
            per_replica=pods,
        )
        self.offered = self.served = self.spilled = self.input_tokens = self.output_tokens = 0
        self.ttft_s.clear()
        self.tpot_s.clear()
