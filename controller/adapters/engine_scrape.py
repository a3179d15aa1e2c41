"""Reads vLLM's `/metrics`: running, waiting, KV cache and token counts of one engine."""

from __future__ import annotations

from math import isfinite

import aiohttp

from controller.adapters.exposition import samples
from controller.core.samples import EngineMetrics

RUNNING = "vllm:num_requests_running"
WAITING = "vllm:num_requests_waiting"
KV_CACHE_USAGE = "vllm:kv_cache_usage_perc"  # 0..1, whatever the name says
TOKENS = ("vllm:prompt_tokens_total", "vllm:generation_tokens_total")
REQUESTS_MAX = 1_000_000  # an engine with more of them has long run out of memory, or lies
PAGE_BYTES_MAX = 4 * 1024 * 1024  # vLLM's own has about 0.1 MB


def read_engine(text: str) -> EngineMetrics | None:
    """The figures, summed over the engine's data-parallel ranks (the fullest KV cache of them).

    None when one lacks or cannot be true.
    """
    found: dict[str, list[float]] = {name: [] for name in (RUNNING, WAITING, KV_CACHE_USAGE, *TOKENS)}
    for sample in samples(text, found):
        found[sample.name].append(sample.value)
    limits = {RUNNING: REQUESTS_MAX, WAITING: REQUESTS_MAX, KV_CACHE_USAGE: 1.0}
    if not all(found[name] and all(0.0 <= value <= limit for value in found[name]) for name, limit in limits.items()):
        return None
    counted = [value for name in TOKENS for value in found[name]]
    return EngineMetrics(
        running=int(sum(found[RUNNING])),
        waiting=int(sum(found[WAITING])),
        kv_cache_usage_ratio=max(found[KV_CACHE_USAGE]),
        tokens_total=sum(counted) if counted and all(map(isfinite, counted)) else None,
    )


async def _page(response: aiohttp.ClientResponse) -> str:
    """ValueError when it is longer than any engine's page: it is read no further."""
    page = bytearray()
    async for part in response.content.iter_any():
        page += part
        if len(page) > PAGE_BYTES_MAX:
            raise ValueError(f"a page of metrics with more than {PAGE_BYTES_MAX} bytes")
    return page.decode()


class EngineScraper:
    """Satisfies `loop.ports.EngineFeed`.

    aiohttp, as a controller may have hundreds of engines: reading 400 of them takes 0.14 s of CPU, with httpx 2.8 s.
    """

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._session: aiohttp.ClientSession | None = None

    def reconfigure(self, timeout_s: float) -> None:
        """How long an engine may take from now on."""
        self._timeout_s = timeout_s

    async def scrape(self, url: str) -> EngineMetrics | None:
        """The engine's figures; None when it did not answer well in time."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0),
                headers={"Accept-Encoding": "identity"},
                auto_decompress=False,  # a page that is small on the line could be of any size here
            )
        timeout = aiohttp.ClientTimeout(total=self._timeout_s)
        try:
            async with self._session.get(f"{url}/metrics", timeout=timeout, allow_redirects=False) as response:
                return read_engine(await _page(response)) if response.status == 200 else None
        except (aiohttp.ClientError, TimeoutError, ValueError, OSError):
            return None

    async def close(self) -> None:
        """Afterwards no connection is open."""
        if self._session is not None:
            await self._session.close()
            self._session = None
