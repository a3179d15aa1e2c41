"""`python -m tests.bench`: the gateway beside its peers on the same mock upstream, one table, one run."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import uvloop
from rich.console import Console
from rich.table import Table

from tests.bench import targets as target_list
from tests.bench.figures import ROWS, Figures, Row, medians, with_ratios
from tests.bench.measures import QUICK, Effort, measure
from tests.bench.processes import TargetDown

TARGET_CORE, LOAD_CORE = 0, 1
DECISIONS_REACH_MS = 50.0
ROUNDS = 3
PIPE_WIDTH = 120
NAMES = ("direct", *target_list.TARGETS, "decisions")


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round of 2 s per measurement: noisier")
    parser.add_argument("--only", action="append", choices=NAMES, help="measure only this; may be repeated")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE, too")
    return parser.parse_args()


def _tell(text: str) -> None:
    print(f"  {text}", file=sys.stderr, flush=True)


async def _round(names: Sequence[str], effort: Effort) -> tuple[dict[str, Figures], list[str]]:
    """Every target once, one after the other on the same mock."""
    found: dict[str, Figures] = {}
    with tempfile.TemporaryDirectory(prefix="spillway-bench-") as folder:
        async with target_list.mock(Path(folder), core=LOAD_CORE) as upstream:
            found["direct"], notes = await measure(upstream, upstream, effort, _tell)
            for name in [name for name in names if name in target_list.TARGETS]:
                _tell(f"{name}: starting")
                try:
                    async with target_list.TARGETS[name](Path(folder), upstream, core=TARGET_CORE) as target:
                        found[name], failures = await measure(target, upstream, effort, _tell)
                except TargetDown as error:
                    notes.append(f"{name} was not measured: {error}")
                    continue
                notes += failures
    return found, notes


def _rounds(names: Sequence[str], effort: Effort, count: int) -> tuple[dict[str, Figures], list[str]]:
    """The median of each figure over interleaved rounds: a machine that slows down for a while slows all targets."""
    rounds, notes = [], []
    for number in range(1, count + 1):
        _tell(f"round {number} of {count}")
        found, told = uvloop.run(_round(names, effort))
        rounds.append(found)
        notes += told
    return medians(rounds), notes


def _cell(row: Row, value: float | None, direct: float | None) -> str:
    if value is None or value != value:  # noqa: PLR0124 - nan
        return "-"
    text = f"{value:,.{row.digits}f}"
    return f"{text} ({value / direct:.2f}x)" if direct and direct == direct else text  # noqa: PLR0124 - nan


def _verdict(row: Row, value: float | None) -> tuple[str, str]:
    reached = None if value is None else row.reached(value)
    sign = ">=" if row.more_is_better else "<="
    return "" if row.reach is None else f"{sign} {row.reach:g}", {None: "", True: "yes", False: "NO"}[reached]


def _table(results: dict[str, Figures], decided_ms: float | None) -> Table:
    table = Table(title="Gateway on one core, mock upstream and load on the other (x: ratio to direct)")
    table.add_column("figure")
    for name in results:
        table.add_column(name, justify="right")
    table.add_column("to reach", justify="right")
    table.add_column("reached")
    ours = results.get("spillway", {})
    for row in ROWS:
        cells = []
        for name, figures in results.items():
            direct = None if name == "direct" else results["direct"].get(row.name)
            cells.append(_cell(row, figures.get(row.name), direct))
        table.add_row(row.title, *cells, *_verdict(row, ours.get(row.name)))
    if decided_ms is not None:
        row = Row(name="decisions_ms", title="decide + spill_step, 200 pools, ms", reach=DECISIONS_REACH_MS)
        cells = [_cell(row, decided_ms if name == "spillway" else None, None) for name in results]
        table.add_row(f"{row.title}: {decided_ms:.2f}", *cells, *_verdict(row, decided_ms))
    return table


def _decisions_ms() -> float:
    from tests.bench.decisions import decisions_ms  # noqa: PLC0415 - only when asked for

    return decisions_ms()


def main() -> int:
    """0 when everything asked for was measured; figures not reached are shown, not an error."""
    options = _parse()
    if lack := target_list.needs():
        print(f"error: {lack}", file=sys.stderr)
        return 2
    names = options.only or list(NAMES)
    os.sched_setaffinity(0, {LOAD_CORE})
    decided_ms = _decisions_ms() if "decisions" in names else None
    started_s = time.monotonic()
    wanted = set(names) - {"decisions"}
    count = 1 if options.quick else ROUNDS
    results, notes = _rounds(names, QUICK if options.quick else Effort(), count) if wanted else ({}, [])
    results = with_ratios(results)
    console = Console(width=None if sys.stdout.isatty() else PIPE_WIDTH)
    console.print(_table(results, decided_ms))
    when = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    load = os.getloadavg()[0]
    took = f"took {time.monotonic() - started_s:.0f} s, load average {load:.1f}"
    foot = f"{when}, {target_list.machine()}; median of {count} interleaved rounds; {took}"
    console.print(foot, *notes, sep="\n", markup=False)
    if options.json:
        document = {"at": when, "machine": target_list.machine(), "figures": results, "decisions_ms": decided_ms}
        options.json.write_text(json.dumps({**document, "notes": notes}, indent=1) + "\n")
    return 1 if notes else 0


if __name__ == "__main__":
    sys.exit(main())
