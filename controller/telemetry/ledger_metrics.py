"""What the gateway says of its ledger: how much of it is not in the database yet, and for how long."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from controller.core.ledger import Backlog

BACKLOG = "spillway_ledger_backlog_rows"
OLDEST = "spillway_ledger_backlog_oldest_seconds"


class LedgerMetrics(Collector):
    """Read at each scrape."""

    def __init__(self, backlog: Callable[[], Backlog]) -> None:
        self._backlog = backlog

    def collect(self) -> Iterable[Metric]:
        """Every family, for `prometheus_client`."""
        backlog = self._backlog()
        yield GaugeMetricFamily(BACKLOG, "Rows and reservations that wait for their commit", value=backlog.rows)
        yield GaugeMetricFamily(OLDEST, "Since the oldest of these rows ended; 0 without one", value=backlog.oldest_s)
