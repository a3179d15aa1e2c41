"""Reads vLLM's `/metrics`: running, waiting and KV cache of one engine."""

from __future__ import annotations

from math import isfinite

import httpx

from controller.adapters.exposition import samples
from controller.core.samples import EngineMetrics

RUNNING = "vllm:num_requests_running"
WAITING = "vllm:num_requests_waiting"
KV_CACHE_USAGE = "vllm:kv_cache_usage_perc"  # 0..1, whatever the name says


def read_engine(text: str) -> EngineMetrics | None:
    """The figures, summed over the engine's data-parallel ranks (the fullest KV cache of them).

    None when one lacks or is no number.
    """
    found: dict[str, list[float]] = {RUNNING: [], WAITING: [], KV_CACHE_USAGE: []}
    for sample in samples(text, found):
        found[sample.name].append(sample.value)
    if not all(values and all(map(isfinite, values)) for values in found.values()):
        return None
    return EngineMetrics(
        running=int(sum(found[RUNNING])),
        waiting=int(sum(found[WAITING])),
        kv_cache_usage_ratio=max(found[KV_CACHE_USAGE]),
    )


class EngineScraper:
    """Satisfies `loop.ports.EngineFeed`."""

    def __init__(self, timeout_s: float) -> None:
        self._client = httpx.AsyncClient(timeout=timeout_s, trust_env=False)

    async def scrape(self, url: str) -> EngineMetrics | None:
        """The engine's figures; None when it did not answer well in time."""
        try:
            response = await self._client.get(f"{url}/metrics")
            return read_engine(response.text) if response.status_code == 200 else None
        except (httpx.HTTPError, httpx.InvalidURL, ValueError):
            return None

    async def close(self) -> None:
        """Afterwards no connection is open."""
        await self._client.aclose()
