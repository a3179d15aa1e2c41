"""All gateways of the namespace, by their pods: whose counters are read, each under the name of its pod.

Satisfies `loop.ports.GatewayFeed`. A pod that is on its way out still has requests, and is asked until it is gone; one
whose node took it along is not waited for longer than it had to end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from controller.adapters.gateway_scrape import GatewayScraper
from controller.adapters.kubernetes_kinds import Json
from controller.adapters.kubernetes_pods import unix_s
from controller.core.samples import GatewayCounters

LABELS = {"app.kubernetes.io/name": "spillway", "app.kubernetes.io/component": "gateway"}
PAST_ITS_END_S = 30.0


def gateway_urls(pods: Mapping[str, Json], admin_port: int, now_s: float) -> dict[str, str]:
    """Where the admin server of each gateway listens, by the name of its pod."""
    found = {}
    for name, pod in pods.items():
        labels, status = pod["metadata"].get("labels") or {}, pod.get("status") or {}
        address = str(status.get("podIP") or "")
        if any(labels.get(key) != value for key, value in LABELS.items()) or not address or not _runs(pod, now_s):
            continue
        found[name] = f"http://[{address}]:{admin_port}" if ":" in address else f"http://{address}:{admin_port}"
    return found


def _runs(pod: Json, now_s: float) -> bool:
    """Whether a container of it runs, and it is not past the end that it was given."""
    ends_s = unix_s(pod["metadata"].get("deletionTimestamp"))
    if ends_s is not None and now_s > ends_s + PAST_ITS_END_S:
        return False
    containers = (pod.get("status") or {}).get("containerStatuses") or []
    return any("running" in (one.get("state") or {}) for one in containers)


class KubernetesGateways:
    """Reads the counters of every gateway there is at the moment."""

    def __init__(
        self,
        pods: Callable[[], Mapping[str, Json]],
        *,
        admin_port: int,
        timeout_s: float,
        now_s: Callable[[], float],
    ) -> None:
        self._pods = pods
        self._admin_port = admin_port
        self._now_s = now_s
        self._scraper = GatewayScraper((), timeout_s)

    async def scrape(self) -> Mapping[str, GatewayCounters | None]:
        """The counters of each; None when it did not answer well in time."""
        urls = gateway_urls(self._pods(), self._admin_port, self._now_s())
        found = await asyncio.gather(*(self._scraper.scrape_one(url) for url in urls.values()))
        return dict(zip(urls, found, strict=True))

    def reconfigure(self, timeout_s: float) -> None:
        """From the next scrape on they have so long to answer."""
        self._scraper.reconfigure((), timeout_s)

    async def close(self) -> None:
        """Afterwards no connection is open."""
        await self._scraper.close()
