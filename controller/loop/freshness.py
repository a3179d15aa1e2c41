"""Is what an engine says of itself news? One that claims work while its count of tokens stands still is hung, or its
page is an old one: either way its figures prove nothing. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from controller.core.fleet import Replica
from controller.core.samples import EngineMetrics

STALE_SCRAPES = 3  # so many in a row, and
STALE_S = 3.0  # for so long: a long prompt alone may take seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Standstill:
    """An engine with work whose tokens have not moved since then, in so many scrapes."""

    tokens_total: float
    since_s: float
    scrapes: int = 1

    def is_stale(self, now_s: float) -> bool:
        """Whether its figures are not to be believed any more."""
        return self.scrapes > STALE_SCRAPES and now_s - self.since_s >= STALE_S


def standstill(metrics: EngineMetrics, before: Standstill | None, now_s: float) -> Standstill | None:
    """What is known after this scrape; None when the engine is idle, or does not count its tokens."""
    if metrics.tokens_total is None or metrics.running + metrics.waiting == 0:
        return None
    if before is None or before.tokens_total != metrics.tokens_total:
        return Standstill(tokens_total=metrics.tokens_total, since_s=now_s)
    return Standstill(tokens_total=before.tokens_total, since_s=before.since_s, scrapes=before.scrapes + 1)


class Standstills:
    """Those of one pool's replicas, from scrape to scrape."""

    def __init__(self) -> None:
        self._of: Mapping[str, Standstill | None] = {}

    def believed(
        self, replicas: Iterable[Replica], engines: Mapping[str, EngineMetrics], now_s: float
    ) -> Mapping[str, EngineMetrics]:
        """What is not an old story: an engine that claims work and makes no tokens is as good as silent."""
        after, believed = {one.replica_id: self._of.get(one.replica_id) for one in replicas}, {}
        for name, metrics in engines.items():
            still = after[name] = standstill(metrics, after[name], now_s)
            if still is None or not still.is_stale(now_s):
                believed[name] = metrics
        self._of = after
        return believed
