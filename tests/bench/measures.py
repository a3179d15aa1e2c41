"""The measurements, each a coroutine over a running target; `measure` gathers them into one dict of figures."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from tests.bench.figures import Figures
from tests.bench.load import Counts, closed_loop, get_json, open_and_leave, request_bytes
from tests.bench.mock import GAP_S
from tests.bench.processes import Target

UNARY_CONNECTIONS = 64
LARGE_CONNECTIONS = 16
STREAMS = 100
STREAM_EVENTS = 64
LEAVING_STREAMS = 50
LEFT_DEADLINE_S = 10.0
LARGE_PROMPT = "the quick brown fox jumps over the lazy dog " * 5_000  # 220 KB


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How long each measurement runs."""

    warm_up_s: float = 1.5
    run_s: float = 5.0
    settle_s: float = 1.0


Measured = tuple[dict[str, float], Counts]

QUICK = Effort(warm_up_s=0.5, run_s=2.0, settle_s=0.5)


def chat_request(target: Target, prompt: str, **more: object) -> bytes:
    body = {"model": target.model, "messages": [{"role": "user", "content": prompt}], **more}
    return request_bytes(target.port, body, target.headers)


async def _loaded(target: Target, request: bytes, connections: int, effort: Effort) -> tuple[Counts, float]:
    """Counts and seconds of one measured run after a warm-up."""
    await closed_loop(target.port, request, connections=connections, duration_s=effort.warm_up_s)
    return await closed_loop(target.port, request, connections=connections, duration_s=effort.run_s, cpu_s=target.cpu_s)


async def _unary(target: Target, effort: Effort, _: Figures) -> Measured:
    request = chat_request(target, "What is the capital of France?")
    counts, took_s = await _loaded(target, request, UNARY_CONNECTIONS, effort)
    return {
        "unary_per_s": counts.answers / took_s,
        "unary_p50_ms": counts.latency_ms(50),
        "unary_p99_ms": counts.latency_ms(99),
        "cpu_us_per_request": counts.cpu_s / max(1, counts.answers) * 1e6,
    }, counts


async def _half_load(target: Target, effort: Effort, found: Figures) -> Measured:
    request, per_s = chat_request(target, "What is the capital of France?"), found["unary_per_s"] / 2
    counts, _ = await closed_loop(
        target.port, request, connections=UNARY_CONNECTIONS, duration_s=effort.run_s, per_s=per_s
    )
    return {"half_load_p99_ms": counts.latency_ms(99)}, counts


async def _single(target: Target, effort: Effort, _: Figures) -> Measured:
    counts, *_ = await _loaded(target, chat_request(target, "What is the capital of France?"), 1, effort)
    return {"single_p50_ms": counts.latency_ms(50)}, counts


async def _paced(target: Target, effort: Effort, _: Figures) -> Measured:
    """Streams that begin one after another and begin again when they end, so that at any time some are opened."""
    request = chat_request(target, "Count.", stream=True, max_tokens=STREAM_EVENTS)
    counts, _took_s = await closed_loop(
        target.port,
        request,
        connections=STREAMS,
        duration_s=effort.run_s,
        open_over_s=STREAM_EVENTS * GAP_S,
        cpu_s=target.cpu_s,
    )
    return {
        "cpu_us_per_event": counts.cpu_s / max(1, counts.events) * 1e6,
        "relay_p50_ms": counts.relay_ms(50),
        "relay_p99_ms": counts.relay_ms(99),
    }, counts


async def _large(target: Target, effort: Effort, _: Figures) -> Measured:
    counts, took_s = await _loaded(target, chat_request(target, LARGE_PROMPT), LARGE_CONNECTIONS, effort)
    return {"large_per_s": counts.answers / took_s}, counts


async def _left(target: Target, upstream: Target, effort: Effort) -> dict[str, float]:
    """Seconds from the moment every client has gone until the mock has no open stream."""
    await asyncio.sleep(effort.settle_s)
    request = chat_request(target, "Count.", stream=True, max_tokens=600)
    await open_and_leave(target.port, request, streams=LEAVING_STREAMS)
    left_s = time.perf_counter()
    while (await get_json(upstream.port, "/mock/stats"))["open_streams"] > 0:
        if time.perf_counter() - left_s > LEFT_DEADLINE_S:
            return {"upstream_freed_s": float("inf")}
        await asyncio.sleep(0.01)
    return {"upstream_freed_s": time.perf_counter() - left_s}


RUNS = {"unary": _unary, "half load": _half_load, "single": _single, "paced streams": _paced, "large prompts": _large}


async def measure(
    target: Target, upstream: Target, effort: Effort, tell: Callable[[str], None]
) -> tuple[dict[str, float], list[str]]:
    """Every figure of one target by name, and in words which requests failed on the way."""
    await asyncio.sleep(effort.settle_s)
    figures: dict[str, float] = {"idle_rss_mb": target.rss_mb()}
    if target.ready_s is not None:
        figures["ready_s"] = target.ready_s
    failures: list[str] = []
    for name, run in RUNS.items():
        tell(f"{target.name}: {name}")
        found, counts = await run(target, effort, figures)
        if counts.errors:
            failures.append(f"{target.name}: {name}: {counts.errors} requests failed, the first: {counts.first_error}")
        figures |= found
    tell(f"{target.name}: clients leave")
    figures |= await _left(target, upstream, effort)
    return figures, failures
