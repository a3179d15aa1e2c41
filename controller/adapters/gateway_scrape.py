"""Reads the gateway's `/metrics`: what was asked of each pool, and what is in flight where."""

from __future__ import annotations

from collections import defaultdict

import httpx

from controller.adapters.exposition import samples
from controller.core.samples import GatewayCounters, PoolCounters
from controller.telemetry import gateway_metrics as names

TTFT_BUCKET = f"{names.TTFT}_bucket"
WANTED = frozenset(
    {
        names.POOL_ARRIVALS,
        names.POOL_INPUT_TOKENS,
        names.POOL_OUTPUT_TOKENS,
        names.SPILLED,
        names.REPLICA_IN_FLIGHT,
        TTFT_BUCKET,
    }
)


def read_gateway(text: str) -> GatewayCounters:
    """The counters by pool; pools that the gateway does not know are absent."""
    plain: dict[str, dict[str, float]] = {name: {} for name in WANTED}
    spilled: defaultdict[str, dict[str, float]] = defaultdict(dict)
    buckets: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
    for sample in samples(text, WANTED):
        labels = sample.labels
        if sample.name == names.SPILLED:
            spilled[labels["pool"]][labels["reason"]] = sample.value
        elif sample.name == TTFT_BUCKET:
            buckets[labels["pool"]].append((float(labels["le"]), sample.value))
        else:
            plain[sample.name][labels.get("pool") or labels["replica"]] = sample.value
    pools = {
        pool: PoolCounters(
            arrivals=arrivals,
            input_tokens=plain[names.POOL_INPUT_TOKENS].get(pool, 0.0),
            output_tokens=plain[names.POOL_OUTPUT_TOKENS].get(pool, 0.0),
            spilled=spilled.get(pool, {}),
            ttft_buckets=tuple(sorted(buckets.get(pool, ()))),
        )
        for pool, arrivals in plain[names.POOL_ARRIVALS].items()
    }
    in_flight = {replica: int(count) for replica, count in plain[names.REPLICA_IN_FLIGHT].items()}
    return GatewayCounters(pools=pools, replica_in_flight=in_flight)


class GatewayScraper:
    """Satisfies `loop.ports.GatewayFeed`."""

    def __init__(self, admin_url: str, timeout_s: float) -> None:
        self._url = f"{admin_url}/metrics"
        self._client = httpx.AsyncClient(timeout=timeout_s, trust_env=False)

    async def scrape(self) -> GatewayCounters | None:
        """Its counters; None when it did not answer well in time."""
        try:
            response = await self._client.get(self._url)
            return read_gateway(response.text) if response.status_code == 200 else None
        except (httpx.HTTPError, ValueError, KeyError):
            return None

    async def close(self) -> None:
        """Afterwards no connection is open."""
        await self._client.aclose()
