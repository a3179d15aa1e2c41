"""Five times the demand at once, request by request: `python -m tests.bench.recovery [--seeds N] [--before-s S]`.

How many requests attain from five seconds after the onset on, for a minute; and what is spent from two cold starts
after it on, beside the cheapest constant number of replicas under the same requests and the same gateway.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass, replace
from statistics import fmean

import numpy as np
from rich.console import Console
from rich.table import Table

from controller.replay.fleet_simulation import FleetRequests, FleetSetup, simulate_fleet
from controller.replay.fleet_simulation_providers import ExternalProvider
from controller.replay.production import ProductionPolicy
from controller.replay.simulation_types import Autoscaler, Economics, Outcome, Seen, Wish
from controller.replay.trace_files import shipped_trace
from controller.replay.trace_files_types import Floats, RequestTrace
from controller.replay.workloads_economics import economics_of, list_price, pool_kind

TRACE, PRICES = "azure_llm_2023_conv.csv.gz", "frontier"
AFTER_S, MINUTE_S = 5.0, 60.0
WATCHED_S = 300.0  # spending, from two cold starts after the onset on
STEPS = ((1, 5), (4, 20))


class Watched:
    """A policy, or a constant, and what its pool cost per second at each of its ticks."""

    period_s = 10.0

    def __init__(self, economics: Economics, policy: Autoscaler | None, replicas: int = 0) -> None:
        self.name = "watched"
        self._economics, self._policy, self._replicas = economics, policy, replicas
        self.spent: list[tuple[float, float]] = []

    def step(self, seen: Seen, now_s: float) -> Wish:
        """What the policy wishes."""
        economics = self._economics
        paid_usd = (seen.ready + seen.starting) * economics.replica_usd_per_s
        self.spent.append((now_s, paid_usd + seen.spilled_per_s * economics.spill_usd_per_request))
        return Wish(replicas=self._replicas) if self._policy is None else self._policy.step(seen, now_s)

    def usd_per_s(self, from_s: float, until_s: float) -> float:
        """The mean between these moments."""
        return fmean(usd for at_s, usd in self.spent if from_s <= at_s < until_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One pool with its requests."""

    setup: FleetSetup
    onset_s: float
    arrivals_s: Floats
    rows: RequestTrace

    def play(self, policy: Autoscaler, replicas: int, from_s: float, until_s: float) -> Outcome:
        """The requests of that stretch, with so many replicas at its start."""
        first, last = (int(at) for at in np.searchsorted(self.arrivals_s, (from_s, until_s)))
        load = FleetRequests(
            arrival_s=(self.arrivals_s[first:last] - from_s).tolist(),
            input_tokens=np.maximum(1, self.rows.input_tokens[first:last]).tolist(),
            output_tokens=np.maximum(1, self.rows.output_tokens[first:last]).tolist(),
        )
        return simulate_fleet(load, policy, replace(self.setup, replicas_at_start=replicas))


def stepped(pool: str, low: int, high: int, onset_s: float, seed: int) -> Step:
    """Requests of a recorded hour's sizes that need `low` replicas, then `high`."""
    kind, trace, price = pool_kind(pool), shipped_trace(TRACE), list_price(pool, PRICES)
    assert isinstance(trace, RequestTrace)
    economics = replace(economics_of(pool, PRICES, *trace.mean_sizes()), max_replicas=4 * high)
    rng = np.random.default_rng(seed)
    end_s = onset_s + 2 * economics.cold_start_s + WATCHED_S
    spans = ((low, 0.0, onset_s), (high, onset_s, end_s))
    counts = [rng.poisson(many * economics.replica_requests_per_s * (until_s - at_s)) for many, at_s, until_s in spans]
    times_s = [rng.uniform(at_s, until_s, count) for (_, at_s, until_s), count in zip(spans, counts, strict=True)]
    arrivals_s = np.sort(np.concatenate(times_s))
    provider = ExternalProvider(
        name="external",
        input_usd_per_mtok=float(price.usd_per_mtok_in),
        output_usd_per_mtok=float(price.usd_per_mtok_out),
    )
    return Step(
        setup=FleetSetup(
            steps=kind.steps, engine=kind.engine, slo=kind.slo, economics=economics, providers=(provider,)
        ),
        onset_s=onset_s,
        arrivals_s=arrivals_s,
        rows=trace.taken(rng.integers(0, len(trace), len(arrivals_s))),
    )


def attained_ratio(step: Step, low: int) -> float:
    """Of the requests of a minute from five seconds after the onset on."""
    until, after = (
        step.play(ProductionPolicy(step.setup.economics), low + 1, 0.0, step.onset_s + end_s)
        for end_s in (AFTER_S, AFTER_S + MINUTE_S)
    )
    return (after.attained - until.attained) / (after.offered - until.offered)


def spent_ratio(step: Step, low: int, high: int) -> tuple[float, int]:
    """What is spent once two cold starts have passed, by that of the cheapest constant; and that constant."""
    economics = step.setup.economics
    from_s = step.onset_s + 2 * economics.cold_start_s
    until_s = from_s + WATCHED_S
    ours = Watched(economics, ProductionPolicy(economics))
    step.play(ours, low + 1, 0.0, until_s)
    best_usd, best = math.inf, 0
    for replicas in range(high, high + max(2, high // 4)):
        steady = Watched(economics, None, replicas)
        step.play(steady, replicas, from_s, until_s)
        best_usd, best = min((best_usd, best), (steady.usd_per_s(30.0, WATCHED_S), replicas))
    return ours.usd_per_s(from_s + 30.0, until_s) / best_usd, best


def main() -> None:
    """One row for each pool and step."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--before-s", type=float, default=1800.0, help="how long the pool has been watched by then")
    options = parser.parse_args()
    table = Table(title="Five times the demand at once (to reach: 95 % of the minute from 5 s on, 1.1 x)")
    for column in ("pool", "replicas needed", "attained, %", "spent x steady best", "that has"):
        table.add_column(column, justify="right")
    for pool in ("8b-a100", "70b-4xa100"):
        for low, high in STEPS:
            steps = [stepped(pool, low, high, options.before_s, seed) for seed in range(1, options.seeds + 1)]
            attained = [f"{100 * attained_ratio(step, low):.1f}" for step in steps]
            spent = [spent_ratio(step, low, high) for step in steps]
            ratios, bests = [f"{ratio:.2f}" for ratio, _ in spent], [str(best) for _, best in spent]
            table.add_row(pool, f"{low} -> {high}", *(" ".join(column) for column in (attained, ratios, bests)))
    Console().print(table)


if __name__ == "__main__":
    main()
