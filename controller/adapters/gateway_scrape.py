"""Reads the `/metrics` of gateways: what was asked of each pool, and what is in flight where."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from math import isfinite

import httpx

from controller.adapters.exposition import samples
from controller.core.samples import GatewayCounters, PoolCounters, ProviderCounters
from controller.telemetry import gateway_metrics as names
from controller.telemetry.provider_metrics import PROVIDER_KEYS, KeyState

ANSWERED = "answered"  # the outcome of a try
TTFT_BUCKET = f"{names.TTFT}_bucket"
PER_POOL = (names.POOL_ARRIVALS, names.POOL_INPUT_TOKENS, names.POOL_OUTPUT_TOKENS)
WANTED = frozenset(
    {
        *PER_POOL,
        names.POOL_BOUND,
        names.QUEUE_DEPTH,
        names.SPILLED,
        names.REPLICA_IN_FLIGHT,
        names.ATTEMPTS,
        PROVIDER_KEYS,
        TTFT_BUCKET,
    }
)
DECLARED = frozenset(
    {*PER_POOL, names.QUEUE_DEPTH, names.SPILLED, names.REPLICA_IN_FLIGHT, names.TTFT}
)  # also while without a sample


def read_gateway(text: str) -> GatewayCounters | None:
    """The counters by pool; pools that the gateway does not know are absent.

    None when a metric is not there, under whatever other name it may be, or a value is no number: a gateway that
    does not say what was asked of it is not one of which nothing was asked.
    """
    types = {line.split(" ", 3)[2] for line in text.splitlines() if line.startswith("# TYPE ")}
    if not types >= DECLARED:
        return None
    plain: dict[str, dict[str, float]] = {name: {} for name in WANTED}
    spilled: defaultdict[str, dict[str, float]] = defaultdict(dict)
    good: dict[str, int] = {}
    answered: dict[str, float] = {}
    buckets: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
    for sample in samples(text, WANTED):
        labels = sample.labels
        if not isfinite(sample.value):
            return None
        if sample.name == PROVIDER_KEYS:
            if labels["state"] == KeyState.GOOD:
                good[labels["provider"]] = int(sample.value)
        elif sample.name == names.ATTEMPTS:
            if labels["outcome"] == ANSWERED:
                answered[labels["pool"]] = sample.value
        elif sample.name == names.SPILLED:
            spilled[labels["pool"]][labels["reason"]] = sample.value
        elif sample.name == TTFT_BUCKET:
            buckets[labels["pool"]].append((float(labels["le"]), sample.value))
        else:
            plain[sample.name][labels.get("pool") or labels["replica"]] = sample.value
    arrivals, input_tokens, output_tokens = (plain[name] for name in PER_POOL)
    pools = {
        pool: PoolCounters(
            arrivals=count,
            input_tokens=input_tokens[pool],
            output_tokens=output_tokens[pool],
            waiting=plain[names.QUEUE_DEPTH].get(pool, 0.0),
            bound=plain[names.POOL_BOUND].get(pool, 0.0),
            spilled=spilled.get(pool, {}),
            ttft_buckets=tuple(sorted(buckets.get(pool, ()))),
        )
        for pool, count in arrivals.items()
    }
    in_flight = {replica: int(count) for replica, count in plain[names.REPLICA_IN_FLIGHT].items()}
    providers = {
        name: ProviderCounters(keys_good=count, answered=answered.get(name, 0.0)) for name, count in good.items()
    }
    return GatewayCounters(pools=pools, replica_in_flight=in_flight, providers=providers)


class GatewayScraper:
    """All gateways, by where their admin servers are. Satisfies `loop.ports.GatewayFeed`."""

    def __init__(self, admin_urls: Sequence[str], timeout_s: float) -> None:
        self._admin_urls = tuple(admin_urls)
        self._client = httpx.AsyncClient(timeout=timeout_s, trust_env=False)

    def reconfigure(self, admin_urls: Sequence[str], timeout_s: float) -> None:
        """The gateways from now on."""
        self._admin_urls = tuple(admin_urls)
        self._client.timeout = httpx.Timeout(timeout_s)

    async def scrape(self) -> Mapping[str, GatewayCounters | None]:
        """The counters of each; None when it did not answer well in time."""
        found = await asyncio.gather(*(self.scrape_one(url) for url in self._admin_urls))
        return dict(zip(self._admin_urls, found, strict=True))

    async def scrape_one(self, admin_url: str) -> GatewayCounters | None:
        """The counters of this one; None when it did not answer well in time."""
        try:
            response = await self._client.get(f"{admin_url}/metrics")
            return read_gateway(response.text) if response.status_code == 200 else None
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError):
            return None

    async def close(self) -> None:
        """Afterwards no connection is open."""
        await self._client.aclose()
