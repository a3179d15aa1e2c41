"""Metrics of what a process asks of the Kubernetes API, and of how fresh its picture of the cluster is."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import inf

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

CALLS = "spillway_kubernetes_calls_total"
LISTS = "spillway_kubernetes_lists_total"
WATCH_AGE = "spillway_kubernetes_watch_age_seconds"
LEADER = "spillway_controller_leader"


class KubernetesMetrics(Collector):
    """Counters of one process, and the ages of its watches as of a scrape."""

    def __init__(self) -> None:
        self._calls: dict[tuple[str, str, str], int] = {}
        self._lists: dict[tuple[str, str], int] = {}
        self._ages: dict[str, Callable[[], float]] = {}

    def called(self, verb: str, resource: str, code: str) -> None:
        """One call was answered, or not: then `code` says why."""
        key = (verb, resource, code)
        self._calls[key] = self._calls.get(key, 0) + 1

    def listed(self, resource: str, why: str) -> None:
        """All objects of a kind were listed."""
        self._lists[resource, why] = self._lists.get((resource, why), 0) + 1

    def watch(self, resource: str, age_s: Callable[[], float]) -> None:
        """Afterwards scrapes ask this for the age of the picture of a kind."""
        self._ages[resource] = age_s

    def collect(self) -> Iterable[Metric]:
        """Every family, for `prometheus_client`."""
        calls = CounterMetricFamily(CALLS, "Calls of the Kubernetes API", labels=["verb", "resource", "code"])
        for called, count in list(self._calls.items()):  # the thread of the lease counts, too
            calls.add_metric(called, count)
        yield calls
        lists = CounterMetricFamily(LISTS, "Full lists of a kind, by why", labels=["resource", "why"])
        for listed, count in list(self._lists.items()):
            lists.add_metric(listed, count)
        yield lists
        ages = GaugeMetricFamily(
            WATCH_AGE, "Since the API has last vouched for what is known of a kind", labels=["resource"]
        )
        for resource, age_s in self._ages.items():
            if (age := age_s()) < inf:
                ages.add_metric([resource], age)
        yield ages


class LeaderMetrics(Collector):
    """Whether this controller runs the fleet; while it does, what it does as well."""

    def __init__(self, holds: Callable[[], bool]) -> None:
        self._holds = holds
        self.leading: Collector | None = None

    def collect(self) -> Iterable[Metric]:
        """Every family, for `prometheus_client`."""
        yield GaugeMetricFamily(LEADER, "1 while this controller runs the fleet", value=float(self._holds()))
        if self.leading is not None:
            yield from self.leading.collect()
