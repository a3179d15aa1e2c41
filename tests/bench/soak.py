"""`python -m tests.bench.soak`: a million requests through one gateway; what it keeps of them must be nothing."""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from statistics import median

import uvloop

from controller.adapters.h1_upstream import IDLE_SWEEP_S
from tests.bench import targets
from tests.bench.figures import Row
from tests.bench.load import Client, Counts, closed_loop, get
from tests.bench.measures import chat_request
from tests.bench.processes import Target
from tests.bench.streams import LOAD_CORE, TARGET_CORE, show

UNARY_CONNECTIONS, STREAM_CONNECTIONS = 56, 8
STREAM_EVENTS = 8
GAP_S = 0.005
WARM_UP_RATIO = 0.2  # of the requests
SAMPLE_EVERY_S = 0.5
QUIET_S = 2 * IDLE_SWEEP_S + 1.0  # then no idle connection is part of the baseline
BASELINE_DEADLINE_S = 30.0
TASKS = re.compile(rb"^spillway_tasks(?:\{[^}]*\})? ([0-9.e+]+)$", re.MULTILINE)
ROWS = (
    Row(name="requests", title="requests", digits=0),
    Row(name="failed", title="failed", reach=0, digits=0),
    Row(name="rss_mb", title="RSS MB, median", digits=1),
    Row(name="slope_percent", title="RSS slope, % per 100,000 requests", reach=0.1, digits=3),
    Row(name="files_left", title="file descriptors above the baseline", reach=0, digits=0),
    Row(name="tasks_left", title="tasks above the baseline", reach=0, digits=0),
    Row(name="per_s", title="requests/s", digits=0),
)


def theil_sen(points: Sequence[tuple[float, float]]) -> float:
    """The median slope over all pairs of points: one jump or a few outliers do not move it."""
    return median((y2 - y1) / (x2 - x1) for (x1, y1), (x2, y2) in combinations(points, 2) if x2 != x1)


async def _tasks(target: Target) -> int:
    assert target.admin_port is not None
    found = TASKS.search(await get(target.admin_port, "/metrics"))
    assert found is not None, "the gateway does not tell its tasks"
    return int(float(found[1]))


async def _load(target: Target, requests: int) -> tuple[Counts, list[tuple[float, float]], float]:
    """What came of that many requests, (requests so far, RSS in MB) on the way, and seconds."""
    counts, stop, loop = Counts(), asyncio.Event(), asyncio.get_running_loop()
    unary = chat_request(target, "What is the capital of France?")
    stream = chat_request(target, "Count.", stream=True, max_tokens=STREAM_EVENTS)
    clients, points, started_s = [], [], time.perf_counter()
    for request in [unary] * UNARY_CONNECTIONS + [stream] * STREAM_CONNECTIONS:
        _, client = await loop.create_connection(
            lambda asked=request: Client(asked, counts, stop), "127.0.0.1", target.port
        )
        clients.append(client)
    while counts.answers + counts.errors < requests and not all(client.done.done() for client in clients):
        await asyncio.sleep(SAMPLE_EVERY_S)
        points.append((float(counts.answers), target.rss_mb()))
        counts.latencies_s.clear()
        counts.relayed_us.clear()
    stop.set()
    took_s = time.perf_counter() - started_s
    await asyncio.wait([client.done for client in clients], timeout=10.0)
    return counts, points, took_s


async def _back(target: Target, files: int, tasks: int) -> tuple[int, int]:
    """How many descriptors and tasks more than the baseline are left, once they have had time to go."""
    deadline_s = time.monotonic() + BASELINE_DEADLINE_S
    while True:
        left = max(0, target.open_files() - files), max(0, await _tasks(target) - tasks)
        if left == (0, 0) or time.monotonic() > deadline_s:
            return left
        await asyncio.sleep(0.5)


async def _soaked(target: Target, requests: int) -> dict[str, float]:
    request = chat_request(target, "What is the capital of France?")
    connections = UNARY_CONNECTIONS + STREAM_CONNECTIONS
    await closed_loop(target.port, request, connections=connections, duration_s=2.0)
    await asyncio.sleep(QUIET_S)
    files, tasks = target.open_files(), await _tasks(target)
    counts, points, took_s = await _load(target, requests)
    if counts.first_error:
        print(f"the first error: {counts.first_error}", file=sys.stderr)
    warm = [point for point in points if point[0] >= WARM_UP_RATIO * requests]
    rss_mb = median(size for _, size in warm)
    files_left, tasks_left = await _back(target, files, tasks)
    return {
        "requests": counts.answers,
        "failed": counts.errors,
        "rss_mb": rss_mb,
        "slope_percent": theil_sen(warm) * 1e5 / rss_mb * 100,
        "files_left": files_left,
        "tasks_left": tasks_left,
        "per_s": counts.answers / took_s,
    }


async def _run(requests: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="spillway-bench-") as name:
        folder = Path(name)
        async with (
            targets.mock(folder, core=LOAD_CORE, gap_s=GAP_S) as upstream,
            targets.spillway(folder, upstream, core=TARGET_CORE) as target,
        ):
            return await _soaked(target, requests)


def main() -> int:
    """0 when nothing failed and nothing was kept."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.soak", description=__doc__)
    parser.add_argument("--requests", type=int, default=1_000_000)
    options = parser.parse_args()
    if lack := targets.needs():
        print(f"error: {lack}", file=sys.stderr)
        return 2
    os.sched_setaffinity(0, {LOAD_CORE})
    found = uvloop.run(_run(options.requests))
    show(ROWS, found)
    return 0 if all(row.reached(found[row.name]) is not False for row in ROWS) else 1


if __name__ == "__main__":
    sys.exit(main())
