"""What a gateway on Kubernetes says of the view it routes by."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

REVISION = "spillway_fleet_revision"
FROM_DISK = "spillway_fleet_from_disk"


class FleetMetrics(Collector):
    """Read at each scrape. How old what is known may be: `spillway_kubernetes_watch_age_seconds`."""

    def __init__(self, revision: Callable[[], int], from_disk: Callable[[], bool]) -> None:
        self._revision = revision
        self._from_disk = from_disk

    def collect(self) -> Iterable[Metric]:
        """Every family, for `prometheus_client`."""
        yield GaugeMetricFamily(REVISION, "Views that this gateway has routed by so far", value=self._revision())
        words = "1 while the view is what an earlier gateway has kept, as the cluster has not answered yet"
        yield GaugeMetricFamily(FROM_DISK, words, value=float(self._from_disk()))
