"""What the gateway says of each replica: is it out of rotation and why, and how far off its step times is it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

REPLICA_EJECTED = "spillway_replica_ejected"
EJECTIONS = "spillway_replica_ejections_total"
REPLICA_SLOWNESS = "spillway_replica_slowness_ratio"


class ReplicaMetrics(Collector):
    """Read at each scrape; as many series as there are replicas in the fleet."""

    def __init__(
        self,
        *,
        ejected: Callable[[], Mapping[str, str]],
        slowness: Callable[[], Mapping[str, tuple[float, float]]],
    ) -> None:
        self._ejected = ejected
        self._slowness = slowness
        self.ejections: dict[tuple[str, str], int] = {}  # by pool and reason

    def count(self, pool: str, reason: str) -> None:
        """One more replica has gone out of rotation."""
        self.ejections[pool, reason] = self.ejections.get((pool, reason), 0) + 1

    def collect(self) -> Iterable[Metric]:
        """Every family, for `prometheus_client`."""
        out = GaugeMetricFamily(REPLICA_EJECTED, "1 while out of rotation", labels=["replica", "reason"])
        for replica, reason in self._ejected().items():
            out.add_metric([replica, reason], 1.0)
        yield out
        times = CounterMetricFamily(EJECTIONS, "Replicas that went out of rotation", labels=["pool", "reason"])
        for (pool, reason), count in list(self.ejections.items()):
            times.add_metric([pool, reason], count)
        yield times
        slowness = GaugeMetricFamily(
            REPLICA_SLOWNESS, "Times seen over times of the step table", labels=["replica", "part"]
        )
        for replica, (prefill, decode) in self._slowness().items():
            slowness.add_metric([replica, "prefill"], prefill)
            slowness.add_metric([replica, "decode"], decode)
        yield slowness
