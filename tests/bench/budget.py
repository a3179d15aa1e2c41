"""What a reservation costs, and that no budget is overshot: `python -m tests.bench.budget` prints a table.

Two questions, on a warm store in a temporary folder, for SQLite and for a PostgreSQL of its own:
paced, 1,000 reservations are open at any time and 1,000 a second arrive; burst, 1,000 arrive at one instant.
Then 1,000 requests at once on a budget for ten, in one process and in four.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from controller.adapters.ledger_store import LedgerStore
from controller.core.ledger import Verdict
from controller.routing.budget import SpendLimits
from tests.adapters.ledger_values import CENT_NANOUSD, NOON_S, entry, open_store, unlimited, wish
from tests.adapters.postgres_server import running_postgres

OPEN, PER_S, PACED_S, BURSTS = 1_000, 1_000, 5.0, 10
CROWD, AFFORDABLE = 1_000, 10
_TEN = SpendLimits(day_nanousd=AFFORDABLE * CENT_NANOUSD)


def _ms(times_s: Sequence[float]) -> str:
    ordered = sorted(times_s)
    return " / ".join(f"{ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1e3:.2f}" for share in (0.5, 0.99))


async def _timed(store: LedgerStore, name: str, times_s: list[float]) -> None:
    began_s = time.perf_counter()
    assert await store.reserve(wish(name, 0.001)) is Verdict.GRANTED
    times_s.append(time.perf_counter() - began_s)


async def _paced(store: LedgerStore) -> list[float]:
    """Open loop: each arrival reserves, and the oldest of 1,000 open ones is posted."""
    await asyncio.gather(*(_timed(store, f"open-{at}", []) for at in range(OPEN)))
    names, times_s, tasks = [f"open-{at}" for at in range(OPEN)], list[float](), []
    began_s = time.perf_counter()
    for at in range(int(PER_S * PACED_S)):
        await asyncio.sleep(max(0.0, began_s + at / PER_S - time.perf_counter()))
        tasks.append(asyncio.create_task(_timed(store, f"paced-{at}", times_s)))
        names.append(f"paced-{at}")
        store.post(entry(names[at], cost_nanousd=1))
    await asyncio.gather(*tasks)
    return times_s


async def _bursts(store: LedgerStore) -> list[float]:
    times_s: list[float] = []
    for burst in range(BURSTS):
        await asyncio.gather(*(_timed(store, f"burst-{burst}-{at}", times_s) for at in range(CROWD)))
    return times_s


async def _admitted(store: LedgerStore, prefix: str, count: int) -> int:
    verdicts = await asyncio.gather(*(store.reserve(wish(f"{prefix}-{at}")) for at in range(count)))
    return verdicts.count(Verdict.GRANTED)


def crowd(place: Path | str, folder: Path, prefix: str, count: int) -> int:
    """How many of a crowd this process admits on a budget for ten that it may share."""
    store = open_store(place, folder, lambda _: _TEN)
    assert store.recovered()
    try:
        return asyncio.run(_admitted(store, prefix, count))
    finally:
        store.close()


def crowds(place: Path | str, folder: Path, processes: int) -> tuple[int, int]:
    """Admitted by all processes together, and what the database says is reserved, in purchases."""
    command = [sys.executable, "-m", "tests.bench.budget", "crowd", str(place), str(folder)]
    running = [
        subprocess.Popen([*command, f"p{at}", str(CROWD // processes)], stdout=subprocess.PIPE, text=True)
        for at in range(processes)
    ]
    admitted = sum(json.loads(process.communicate(timeout=60)[0]) for process in running)
    store = open_store(place, folder, lambda _: _TEN)
    try:
        day, _ = store.reader.spend(NOON_S)["acme"]
        return admitted, (day.reserved_nanousd + day.spent_nanousd) // CENT_NANOUSD
    finally:
        store.close()


def _measure(name: str, places: Sequence[Path | str], folder: Path) -> None:
    store = open_store(places[0], folder, unlimited)
    assert store.recovered()
    paced, burst = asyncio.run(_paced(store)), asyncio.run(_bursts(store))
    store.close()
    one, four = crowds(places[1], folder, 1)[0], crowds(places[2], folder, 4)[0]
    print(f"| {name} | {_ms(paced)} | {_ms(burst)} | {one} | {four} | {max(0, one - 10, four - 10)} |")


def main() -> None:
    """The table."""
    print("| database | paced p50 / p99 ms | burst p50 / p99 ms | admitted, 1 process | 4 processes | overshoot |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name, running_postgres(fsync=True) as server:
        folder = Path(name)
        _measure("SQLite", [folder / f"{at}.db" for at in range(3)], folder)
        _measure("PostgreSQL", [server.database() for _ in range(3)], folder)


if __name__ == "__main__":
    if sys.argv[1:2] == ["crowd"]:
        where, at, prefix, count = sys.argv[2:]
        print(json.dumps(crowd(where if "://" in where else Path(where), Path(at), prefix, int(count))))
    else:
        main()
