"""Invariants I1 to I7 of the fault matrix, checked after every row. Each check returns what is wrong, or nothing."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.faults import books
from tests.faults.caller import CUT
from tests.faults.watcher import Health
from tests.faults.world import World, eventually

SETTLE_S = 2.0
SPARE = 2  # file descriptors and tasks
LAG_P99_S = 0.050
HEALTHZ_S = 0.100
# An arena of the allocator comes and goes, and after bodies of 10 to 20 MB it keeps a part of such a block: A7 grew by
# 8.2 to 12.3 MiB, run by run. What leaks shows in the soak of a million requests (tests/bench).
RSS_RATIO, RSS_FLOOR_BYTES = 0.05, 16 * 1024 * 1024
AMPLIFICATION, SPARE_CALLS = 1.2, 3
LAG, COMPUTED = "spillway_loop_lag_seconds", "spillway_loop_computed_seconds"
IN_FLIGHT = ("spillway_in_flight", "spillway_gateway_in_flight", "spillway_replica_in_flight")


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """The gateway at rest before the row."""

    fds: int
    tasks: int
    rss_bytes: int
    metrics: Mapping[str, float]
    calls: int
    offered: int


async def baseline(world: World) -> Baseline:
    """The state that the gateway must come back to."""
    await asyncio.sleep(0.3)  # dropped connections close, garbage of the start goes
    metrics = await world.gateway.metrics()
    fds, rss_bytes = world.gateway.resources()
    return Baseline(
        fds=fds,
        tasks=int(metrics["spillway_tasks"]),
        rss_bytes=rss_bytes,
        metrics=metrics,
        calls=len(world.calls),
        offered=world.offered,
    )


def check_answers(world: World) -> str:
    """I1: every request ended with an answer or a typed error; I4: from one source, and never silently."""
    return "; ".join(list(filter(None, (one.complaint() for one in world.told)))[:3])


async def check_settled(world: World, before: Baseline) -> str:
    """I2: gauges at 0, file descriptors and tasks where they were, within two seconds of the callers' leaving."""
    for stub in world.stubs:
        stub.drop_idle()
    wrong = "never looked"

    async def is_settled() -> bool:
        nonlocal wrong
        metrics = await world.gateway.metrics()
        fds, _ = world.gateway.resources()
        busy = {name: value for name, value in metrics.items() if name.split("{")[0] in IN_FLIGHT and value}
        tasks = int(metrics["spillway_tasks"])
        wrong = ""
        if busy:
            wrong = f"in flight: {busy}"
        elif abs(fds - before.fds) > SPARE and fds > before.fds:
            wrong = f"{fds} file descriptors, {before.fds} before"
        elif tasks > before.tasks + SPARE:
            wrong = f"{tasks} tasks, {before.tasks} before"
        return not wrong

    try:
        await eventually(is_settled, within_s=SETTLE_S, every_s=0.05)
    except AssertionError:
        return wrong
    return ""


async def check_books(world: World) -> str:
    """I3: one row per request, and what it says is what the stub counted."""
    rows = await world.ledger()
    return "; ".join(books.complaints(rows, world.told, world.calls, world.provider_names)[:3])


def _files(world: World) -> list[Path]:
    folder = world.gateway.folder
    return [path for path in folder.rglob("*") if path.is_file() and path.name != "spillway.yaml"]


async def check_canaries(world: World) -> str:
    """I5: no prompt, completion or key in logs, metrics, the ledger, error bodies or core dumps."""
    canaries = world.canaries
    words = {
        "prompt": canaries.prompt,
        "completion": canaries.completion,
        "provider key": canaries.provider_key,
        "caller key": world.gateway.key,
    }
    places = {path.name: path.read_bytes() for path in _files(world)}
    places["metrics"] = (await world.gateway.page("/metrics")).encode()
    if isinstance(world.gateway.books, str):
        places["ledger"] = repr(books.select(world.gateway.books, "select * from ledger")).encode()
    places["loads"] = (await world.gateway.page("/v1/loads")).encode()
    for told in world.told:
        if told.status != 200 and told.body:
            places[f"the refusal of {told.request_id}"] = told.body
        if told.events and told.events[-1].startswith('{"error"'):
            places[f"the error event of {told.request_id}"] = told.events[-1].encode()
    found = [
        f"{name} in {place}" for place, data in places.items() for name, word in words.items() if word.encode() in data
    ]
    return "; ".join(found[:3])


def p99_s(histogram: str, before: Mapping[str, float], after: Mapping[str, float]) -> float:
    """The upper bound of the bucket with the 99th percentile of the samples since."""
    buckets = []
    for name, value in after.items():
        if name.startswith(f"{histogram}_bucket"):
            bound = name.partition('le="')[2].rstrip('"}')
            buckets.append((float(bound), value - before.get(name, 0.0)))
    buckets.sort()
    total = buckets[-1][1]
    return next(bound for bound, count in buckets if count >= 0.99 * total)


async def _grown_bytes(world: World, before: Baseline, allowed_bytes: float) -> int:
    """By how much the resident memory is above what it was, once it is down or two seconds have passed."""

    def grown() -> int:
        return world.gateway.resources()[1] - before.rss_bytes

    with contextlib.suppress(AssertionError):
        await eventually(lambda: grown() <= allowed_bytes, within_s=SETTLE_S, every_s=0.1)
    return grown()


async def check_calm(world: World, before: Baseline, health: Health) -> tuple[str, dict[str, float]]:
    """I6: the loop was never long away, health always answered, the memory came back. With the figures."""
    metrics = await world.gateway.metrics()
    lag_s, computed_s = (p99_s(name, before.metrics, metrics) for name in (LAG, COMPUTED))
    allowed_bytes = max(before.rss_bytes * RSS_RATIO, RSS_FLOOR_BYTES)
    grown_bytes = await _grown_bytes(world, before, allowed_bytes)
    figures = {
        "lag_p99_s": lag_s,
        "lag_computed_p99_s": computed_s,
        "healthz_p99_s": health.healthz_p99_s,
        "healthz_max_s": health.healthz_max_s,
        "machine_p99_s": health.own_p99_s,
        "rss_grown_mib": round(grown_bytes / 2**20, 1),
    }
    wrong = []
    if computed_s > LAG_P99_S or (health.is_calm and lag_s > LAG_P99_S):
        wrong.append(f"loop lag p99 up to {lag_s:g} s, computing {computed_s:g} s of it")
    late = health.is_calm and (health.timeouts or health.healthz_p99_s > HEALTHZ_S)
    if health.failures or late:
        failed = f"{health.failures} failed and {health.timeouts} came too late besides {health.samples}"
        wrong.append(f"/healthz p99 {health.healthz_p99_s:g} s, {failed}")
    if grown_bytes > allowed_bytes:
        wrong.append(f"resident memory grew by {grown_bytes / 2**20:.1f} MiB, allowed {allowed_bytes / 2**20:.1f}")
    return "; ".join(wrong), figures


def check_amplification(world: World, before: Baseline) -> str:
    """I7: the upstreams together heard at most 1.2 times what was offered, and three."""
    calls, offered = len(world.calls) - before.calls, world.offered - before.offered
    limit = AMPLIFICATION * offered + SPARE_CALLS
    return f"{calls} calls for {offered} requests" if calls > limit else ""


def check_pid(world: World) -> str:
    """The gateway is still the process it was."""
    code = world.gateway.process.poll()
    return "" if code is None else f"the gateway ended with {code}"


def cut_short(world: World) -> int:
    """Requests that ended without a word."""
    return sum(told.end == CUT for told in world.told)
