"""What each baseline does on a workload of some days: `python -m tests.replay.baselines.baseline_table [WORKLOAD]`.

Prints the table of controller/replay/baselines/README.md: tuned on days 1 to 3, reported on days 4 to 7.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator

import numpy as np

from controller.replay.baselines.fluid_facts import fluid_facts
from controller.replay.baselines.registry import BASELINES
from controller.replay.fluid import FluidRun, offered_requests, simulate
from controller.replay.fluid_pool import ReplicaShape
from controller.replay.oracle import optimum
from controller.replay.simulation_types import Curve, Economics, Outcome
from controller.replay.workloads import workload_curve

STUDIED_DAYS = 3
REPLICAS = 20
POOL = Economics(
    replica_usd_per_s=3.43 / 3600,
    spill_usd_per_request=0.0003,
    replica_requests_per_s=7.2,
    cold_start_s=300.0,
    max_replicas=30,
)
SHAPE = ReplicaShape()
SEED = 1


def week(name: str) -> tuple[Curve, Curve]:
    """(days to tune on, days to report) of a workload, scaled so that its busy slots need 20 replicas."""
    whole = workload_curve(
        name,
        replicas=REPLICAS,
        replica_requests_per_s=POOL.replica_requests_per_s,
        cold_start_s=POOL.cold_start_s,
    )
    cut = round(STUDIED_DAYS * 86_400 / whole.slot_s)
    studied, reported = (
        Curve(name=part, slot_s=whole.slot_s, rates_per_s=rates, kind=whole.kind)
        for part, rates in (("studied", whole.rates_per_s[:cut]), ("reported", whole.rates_per_s[cut:]))
    )
    return studied, reported


class Row:
    """One baseline in one form on both parts of a week."""

    def __init__(self, name: str, gateway: str, studied: Curve, reported: Curve) -> None:
        self._name = name
        self._gateway = gateway
        self._studied = studied
        self._reported = reported

    def run(self, curve: Curve, knob: float) -> Outcome:
        """One run. A count fixed in hindsight knows the curve it is run on; a timetable knows only the studied days."""
        baseline = BASELINES[self._name]
        known = curve if self._name.startswith("static") else self._studied
        policy = baseline(fluid_facts(POOL, SHAPE, known), knob)
        how = FluidRun(gateway=self._gateway, shape=SHAPE, scrape_s=baseline.scrape_s)
        return simulate(curve, POOL, policy, seed=SEED, run=how)

    def tuned(self) -> float:
        """The knob that costs least on the studied days with 99 % in time; without one, that with most in time."""
        runs = {knob: self.run(self._studied, knob) for knob in BASELINES[self._name].sweep}
        good = [knob for knob, run in runs.items() if run.attained_ratio >= 0.99]
        if good:
            return min(good, key=lambda knob: runs[knob].usd)
        return max(runs, key=lambda knob: runs[knob].attained_ratio)

    def cells(self, optimum_usd: float) -> Iterator[str]:
        """Default and tuned on the reported days."""
        yield self._name
        yield {"none": "plain", "naive": "+ naive spill", "valve": "+ valve"}[self._gateway]
        for knob in (BASELINES[self._name].default, self.tuned()):
            run = self.run(self._reported, knob)
            yield f"{knob:g}"
            yield f"{run.usd / optimum_usd:.2f}x"
            yield f"{100 * run.attained_ratio:.1f} %"
            yield f"{100 * run.spilled / run.offered:.1f} %"
            yield f"{run.actions_per_hour:.1f}"


def table(name: str) -> Iterator[str]:
    """Rows of a Markdown table."""
    studied, reported = week(name)
    demand = np.array(offered_requests(reported, SEED)) / reported.slot_s
    first = math.ceil(reported.rates_per_s[0] / POOL.replica_requests_per_s)
    best = optimum(demand, reported.slot_s, POOL, ready_at_start=first)
    yield f"Optimum: {best.usd_per_1k:.4f} $ per 1,000 requests, {100 * best.spilled / best.offered:.1f} % spilled."
    columns = "cost | in time | spilled | actions/h"
    yield f"| baseline | form | default | {columns} | tuned | {columns} |"
    yield "|" + "---|" * 12
    for baseline_name, baseline in BASELINES.items():
        for gateway in baseline.gateways:
            yield f"| {' | '.join(Row(baseline_name, gateway, studied, reported).cells(best.usd))} |"


if __name__ == "__main__":
    for line in table(sys.argv[1] if len(sys.argv) > 1 else "az24-code-week"):
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
