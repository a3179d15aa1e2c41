"""Two pools that share nodes for a recorded week, beside the best schedule: `python -m tests.bench.shared_nodes`.

Takes a quarter of an hour, most of it for the best schedules.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from rich.console import Console
from rich.table import Table

from controller.replay.oracle_lp import optimum_mixed
from controller.replay.shared_nodes import (
    OwnWishes,
    ProductionSharing,
    Sharing,
    SharingPool,
    mix_of,
    simulate_shared,
)
from controller.replay.simulation_types import Curve, Outcome
from controller.replay.workloads import published_curve
from controller.replay.workloads_curves import scaled_to
from controller.replay.workloads_economics import economics

KIND, PRICES = "70b-4xa100", "frontier"
GPUS_OF_NODE, GPUS_OF_REPLICA = 8, 4
CHEAP_RATIO = 0.5  # of the list price: what the work of the first pool costs elsewhere
HALF_A_DAY_S = 43_200.0
SLOT_S = 60.0
GAP_RATIO = 1e-3
SEEDS = (10, 20, 30)


def week(name: str, workload: str, nodes: int, busy_ratio: float, *, later_s: float, price_ratio: float) -> SharingPool:
    """A pool whose busy moments need that share of all the GPUs; `later_s`: its week begins so much later."""
    most = nodes * GPUS_OF_NODE // GPUS_OF_REPLICA
    facts = economics(KIND, PRICES, workload, max_replicas=most)
    facts = replace(facts, spill_usd_per_request=facts.spill_usd_per_request * price_ratio)
    curve = scaled_to(published_curve(workload), busy_ratio * most * facts.replica_requests_per_s)
    return SharingPool(name=name, curve=_turned(curve, later_s), economics=facts, gpus=GPUS_OF_REPLICA)


def _turned(curve: Curve, later_s: float) -> Curve:
    slots, rates = round(later_s / curve.slot_s), list(curve.rates_per_s)
    return replace(curve, rates_per_s=rates[slots:] + rates[:slots])


def pair(nodes: int, busy_ratio: float, later_s: float) -> tuple[SharingPool, ...]:
    """Chat whose work is cheap elsewhere, and code whose is dear, over weeks of one length."""
    pools = (
        week("chat", "az24-conv-week", nodes, busy_ratio, later_s=0.0, price_ratio=CHEAP_RATIO),
        week("code", "az24-code-week", nodes, busy_ratio, later_s=later_s, price_ratio=1.0),
    )
    slots = min(len(pool.curve.rates_per_s) for pool in pools)
    return tuple(
        replace(pool, curve=replace(pool.curve, rates_per_s=list(pool.curve.rates_per_s)[:slots])) for pool in pools
    )


def ways(pools: Sequence[SharingPool], nodes: int) -> Sequence[Callable[[], Sharing]]:
    """Ours, whoever comes first (chat is asked first), and half of the GPUs for each."""
    gpus, half = nodes * GPUS_OF_NODE, nodes * GPUS_OF_NODE // GPUS_OF_REPLICA // 2
    return (
        lambda: ProductionSharing(pools, gpus),
        lambda: OwnWishes(pools),
        lambda: OwnWishes(pools, {pool.name: half for pool in pools}),
    )


def _usd(outcomes: Mapping[str, Outcome]) -> float:
    return sum(one.usd for one in outcomes.values())


def main() -> None:
    """The table, a row as soon as it is known."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    table = Table("nodes", "weeks", "split", "cost by the best", "changes/h", "attained %", box=None)
    for nodes, busy_ratio in ((1, 1.0), (4, 0.8)):
        for words, later_s in (("together", 0.0), ("half a day apart", HALF_A_DAY_S)):
            pools, gpus = pair(nodes, busy_ratio, later_s), nodes * GPUS_OF_NODE
            best_usd = optimum_mixed(mix_of(pools, gpus, slot_s=SLOT_S), gap_ratio=GAP_RATIO).usd
            for way in ways(pools, nodes):
                runs = [(way(), seed) for seed in SEEDS]
                name = runs[0][0].name
                found = [simulate_shared(pools, gpus, sharing, seed=seed) for sharing, seed in runs]
                every = [one for run in found for one in run.values()]
                table.add_row(
                    str(nodes),
                    words,
                    name,
                    " ".join(f"{_usd(run) / best_usd:.3f}" for run in found),
                    f"{max(one.actions_per_hour for one in every):.2f}",
                    f"{100.0 * min(one.attained_ratio for one in every):.2f}",
                )
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
