"""`python -m tests.bench.streams`: thousands of slow streams open at once through one gateway worker."""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import uvloop

from tests.bench import targets
from tests.bench.figures import Row
from tests.bench.load import Client, Counts, get_json
from tests.bench.measures import LEFT_DEADLINE_S, chat_request
from tests.bench.processes import Target

TARGET_CORE, LOAD_CORE = 0, 1
GAP_S = 1.0
OPENED_PER_S = 200
REPLICAS = 4  # of at most 4,096 sequences each
IN_FLIGHT = 20_000
OPEN_FILES = 20_000  # two per stream in the gateway
LOG_BYTES = 2_000  # of its end, shown when streams were lost
EVENTS_LATE = 2  # of one stream over the whole time: the last may be on its way
ROWS = (
    Row(name="opened", title="streams open", digits=0),
    Row(name="lost", title="streams lost", reach=0, digits=0),
    Row(name="kib_each", title="KiB of RSS each", reach=40, digits=1),
    Row(name="events_per_s", title="events/s", digits=0),
    Row(name="relay_p50_ms", title="relay p50 ms"),
    Row(name="relay_p99_ms", title="relay p99 ms"),
    Row(name="core_ratio", title="of one core"),
    Row(name="upstream_freed_s", title="upstream freed after clients left, s", reach=1.0),
    Row(name="freed_cpu_s", title="CPU of the gateway until then, s"),
)


async def _open(target: Target, count: int, per_s: float, stop: asyncio.Event) -> list[tuple[Client, Counts]]:
    """Streams begun at an even pace, each with counts of its own."""
    loop, request = asyncio.get_running_loop(), chat_request(target, "Count.", stream=True, max_tokens=100_000)
    streams, started_s = [], time.perf_counter()
    for number in range(count):
        counts = Counts()
        _, client = await loop.create_connection(
            lambda seen=counts: Client(request, seen, stop), "127.0.0.1", target.port
        )
        streams.append((client, counts))
        await asyncio.sleep(max(0.0, started_s + number / per_s - time.perf_counter()))
    await asyncio.sleep(2 * GAP_S)
    return streams


async def _freed_s(target: Target, upstream: Target, clients: Sequence[Client]) -> tuple[float, float]:
    """All leave at once: seconds, and those of the gateway's CPU, until no stream is open at the upstream."""
    cpu_s = target.cpu_s()
    for client in clients:
        client.transport.abort()
    left_s = time.perf_counter()
    while (await get_json(upstream.port, "/mock/stats"))["open_streams"] > 0:
        if time.perf_counter() - left_s > LEFT_DEADLINE_S:
            return float("inf"), target.cpu_s() - cpu_s
        await asyncio.sleep(0.01)
    return time.perf_counter() - left_s, target.cpu_s() - cpu_s


async def _held(target: Target, upstream: Target, count: int, per_s: float, hold_s: float) -> dict[str, float]:
    idle_mb, stop = target.rss_mb(), asyncio.Event()
    streams = await _open(target, count, per_s, stop)
    opened = (await get_json(upstream.port, "/mock/stats"))["open_streams"]
    events_before = [counts.events for _, counts in streams]
    for _, counts in streams:
        counts.relayed_us.clear()
    cpu_s, started_s = target.cpu_s(), time.perf_counter()
    await asyncio.sleep(hold_s)
    took_s, cpu_s, full_mb = time.perf_counter() - started_s, target.cpu_s() - cpu_s, target.rss_mb()
    due = hold_s / GAP_S - EVENTS_LATE
    events = [counts.events - before for (_, counts), before in zip(streams, events_before, strict=True)]
    kept = [
        not counts.errors and not counts.answers and seen >= due
        for (_, counts), seen in zip(streams, events, strict=True)
    ]
    for error, times in Counter(counts.first_error for _, counts in streams if counts.first_error).most_common(3):
        print(f"{times} streams: {error}", file=sys.stderr)
    if ended := sum(counts.answers for _, counts in streams):
        print(f"{ended} streams were ended by the gateway", file=sys.stderr)
    relayed_ms = [us / 1e3 for _, counts in streams for us in counts.relayed_us]
    percentiles = statistics.quantiles(relayed_ms, n=100) if len(relayed_ms) > 1 else [float("nan")] * 99
    stop.set()
    freed_s, freed_cpu_s = await _freed_s(target, upstream, [client for client, _ in streams])
    return {
        "opened": opened,
        "lost": kept.count(False),
        "kib_each": (full_mb - idle_mb) * 1e6 / 1024 / count,
        "events_per_s": sum(events) / took_s,
        "relay_p50_ms": percentiles[49],
        "relay_p99_ms": percentiles[98],
        "core_ratio": cpu_s / took_s,
        "upstream_freed_s": freed_s,
        "freed_cpu_s": freed_cpu_s,
    }


async def _run(count: int, per_s: float, hold_s: float) -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="spillway-bench-") as name:
        folder = Path(name)
        async with (
            targets.mock(folder, core=LOAD_CORE, gap_s=GAP_S) as upstream,
            targets.spillway(folder, upstream, core=TARGET_CORE, replicas=REPLICAS, in_flight=IN_FLIGHT) as target,
        ):
            found = await _held(target, upstream, count, per_s, hold_s)
            if found["lost"]:
                print((folder / "spillway.log").read_text()[-LOG_BYTES:], file=sys.stderr)
            return found


def show(rows: Sequence[Row], found: dict[str, float]) -> None:
    """One line per figure, with what it is to reach."""
    for row in rows:
        verdict = {None: "", True: "yes", False: "NO"}[row.reached(found[row.name])]
        bar = "" if row.reach is None else f"{'>=' if row.more_is_better else '<='} {row.reach:g}"
        print(f"{row.title:40} {found[row.name]:>12,.{row.digits}f}  {bar:10} {verdict}")
    print(f"{targets.machine()}; load average {os.getloadavg()[0]:.1f}")


def main() -> int:
    """0 when every stream stayed."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.streams", description=__doc__)
    parser.add_argument("--streams", type=int, default=9_000)
    parser.add_argument("--opened-per-s", type=float, default=OPENED_PER_S, help="how many are begun per second")
    parser.add_argument("--hold-s", type=float, default=60.0, help="seconds that all of them stay open")
    options = parser.parse_args()
    if lack := targets.needs():
        print(f"error: {lack}", file=sys.stderr)
        return 2
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(OPEN_FILES, most) if most > 0 else OPEN_FILES, most))
    os.sched_setaffinity(0, {LOAD_CORE})
    found = uvloop.run(_run(options.streams, options.opened_per_s, options.hold_s))
    show(ROWS, found)
    return 1 if found["lost"] else 0


if __name__ == "__main__":
    sys.exit(main())
