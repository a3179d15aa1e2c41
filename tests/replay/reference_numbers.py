"""What the fluid model says of public traces: `python -m tests.replay.reference_numbers [SLOT_S]`.

From the ten-minute rates of Azure 2024 and ServeGen that ship (see README.md here). Prints one row per trace
and price set, means of five seeds: the optimum with and without spilling, constants, a plain HPA at three targets.
"""

from __future__ import annotations

import csv
import gzip
import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from controller.replay.fluid import FluidRun, offered_requests, simulate
from controller.replay.oracle import averaged, constant, constant_best, optimum
from controller.replay.oracle_nearsighted import nearsighted
from controller.replay.simulation_types import Curve, Economics, Outcome, Seen, Wish

DATA = Path(__file__).parents[2] / "controller/replay/data"
POINT_S = 600.0
SEEDS = range(1, 6)
REPLICAS = 20  # that the 99.5 % quantile of demand needs
PRICES = {
    "8B": Economics(
        replica_usd_per_s=3.43 / 3600, spill_usd_per_request=0.0003, replica_requests_per_s=7.2, cold_start_s=300
    ),
    "70B": Economics(
        replica_usd_per_s=13.72 / 3600, spill_usd_per_request=0.005, replica_requests_per_s=2.9, cold_start_s=480
    ),
}


class PlainHpa:
    """HPA on the offered rate: tolerance a tenth, down to the highest wish of five minutes; starting ones count."""

    period_s = 15.0

    def __init__(self, target: float) -> None:
        self.name = f"hpa {target:g}"
        self._target = target
        self._wishes: list[tuple[float, int]] = []

    def step(self, seen: Seen, now_s: float) -> Wish:
        """The rule of the external metric."""
        now = seen.ready + seen.starting
        needed = seen.demand_replicas / self._target
        wish = now if now and abs(needed / now - 1) <= 0.1 else math.ceil(needed)
        self._wishes = [(at_s, old) for at_s, old in self._wishes if at_s > now_s - 300] + [(now_s, wish)]
        return Wish(replicas=max(wish, min(now, max(old for _, old in self._wishes))))


def public_rates(folder: Path) -> Iterator[tuple[str, NDArray[np.float64]]]:
    """The three week-long curves. Windows of rate zero are gaps of ServeGen, and are filled from their neighbours."""
    with (folder / "azure_llm_2024_rate_digitised_10min.csv").open() as lines:
        azure = list(csv.DictReader(lines))
    for service in ("code", "conv"):
        yield f"az24-{service}", np.array([float(row["rate_rps"]) for row in azure if row["service"] == service])
    with gzip.open(folder / "servegen_rate_10min.csv.gz", "rt") as lines:
        rates = np.array([float(row["rate_rps"]) for row in csv.DictReader(lines)])
    known = np.flatnonzero(rates > 0)
    yield "sg-m-small", np.interp(np.arange(len(rates)), known, rates[known])


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """One row of one seed: dollars per thousand requests, ratios to the optimum, shares."""

    optimum: float
    spilled_ratio: float
    no_spill: float
    constant_best: float
    constant_peak: float
    hpa_70: float
    hpa_95_ratio: float
    hpa_95_spilled_ratio: float
    hpa_100_ratio: float
    hpa_100_spilled_ratio: float
    nearsighted_ratio: float  # a perfect forecast of one cold start


def reference(points: NDArray[np.float64], economics: Economics, slot_s: float, seed: int) -> Reference:
    """One seed: rates held for their ten minutes, scaled, with Poisson noise per slot; optima of the minutes' means."""
    rates = np.repeat(points, round(POINT_S / slot_s))
    rates = rates * (REPLICAS * economics.replica_requests_per_s / np.quantile(rates, 0.995))
    curve = Curve(name="week", slot_s=slot_s, rates_per_s=rates.tolist(), kind="diurnal")
    demand = averaged(np.array(offered_requests(curve, seed)) / slot_s, slot_s)
    best = optimum(demand, slot_s, economics)
    peak = math.ceil(float(demand.max()) / economics.replica_requests_per_s)

    def run(target: float, gateway: str) -> Outcome:
        how = FluidRun(gateway=gateway, scrape_s=min(slot_s, 15.0))
        return simulate(curve, economics, PlainHpa(target), seed=seed, run=how)

    warm, hot = run(0.95, "valve"), run(1.0, "valve")
    return Reference(
        optimum=best.usd_per_1k,
        spilled_ratio=best.spilled / best.offered,
        no_spill=optimum(demand, slot_s, replace(economics, spill_usd_per_request=math.inf)).usd_per_1k,
        constant_best=constant_best(demand, slot_s, economics).usd_per_1k,
        constant_peak=constant(demand, slot_s, economics, peak).usd_per_1k,
        hpa_70=run(0.7, "none").usd_per_1k,
        hpa_95_ratio=warm.usd / best.usd,
        hpa_95_spilled_ratio=warm.spilled / warm.offered,
        hpa_100_ratio=hot.usd / best.usd,
        hpa_100_spilled_ratio=hot.spilled / hot.offered,
        nearsighted_ratio=nearsighted(demand, slot_s, economics, ahead_s=economics.cold_start_s).usd / best.usd,
    )


def table(rates: Iterator[tuple[str, NDArray[np.float64]]], slot_s: float) -> Iterator[str]:
    """Rows of a Markdown table."""
    yield (
        "| trace | optimum (spilled) | no spill | best constant | peak constant | HPA 0.7"
        " | HPA 0.95, valve | HPA 1.0, valve | nearsighted |"
    )
    yield "|---" * 9 + "|"
    for name, points in rates:
        for pool, economics in PRICES.items():
            seeds = [reference(points, economics, slot_s, seed) for seed in SEEDS]
            mean = Reference(
                **{field: float(np.mean([getattr(one, field) for one in seeds])) for field in Reference.__slots__}
            )
            digits = 3 if mean.optimum < 1 else 2
            usd = (mean.no_spill, mean.constant_best, mean.constant_peak, mean.hpa_70)
            hpa = (
                (mean.hpa_95_ratio, mean.hpa_95_spilled_ratio),
                (mean.hpa_100_ratio, mean.hpa_100_spilled_ratio),
            )
            cells = [
                f"{name} {pool}",
                f"{mean.optimum:.{digits}f} ({mean.spilled_ratio:.1%})",
                *(f"{value:.{digits}f}" for value in usd),
                *(f"{ratio:.3f}x {spilled:.1%}" for ratio, spilled in hpa),
                f"{mean.nearsighted_ratio:.3f}x",
            ]
            yield f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    for row in table(public_rates(DATA), float(sys.argv[1]) if len(sys.argv) > 1 else 60.0):
        sys.stdout.write(row + "\n")
