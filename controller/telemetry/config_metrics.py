"""What a process says of its configuration: whether the newest one is in force, and how often it was read again."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

VALID = "spillway_config_valid"
RELOADS = "spillway_config_reloads_total"


class ReloadResult(StrEnum):
    """What became of a configuration that was read again."""

    APPLIED = "applied"
    REFUSED = "refused"  # the old one stays in force
    UNCHANGED = "unchanged"


class ConfigMetrics(Collector):
    """One per process."""

    def __init__(self) -> None:
        self.valid = True
        self.reloads = dict.fromkeys(ReloadResult, 0)

    def reloaded(self, result: ReloadResult) -> None:
        """The file was read again."""
        self.valid = result is not ReloadResult.REFUSED
        self.reloads[result] += 1

    def collect(self) -> Iterable[Metric]:
        """Every family, for `prometheus_client`."""
        words = "0 while the newest configuration is refused and an older one in force"
        yield GaugeMetricFamily(VALID, words, value=float(self.valid))
        family = CounterMetricFamily(RELOADS, "Times the configuration was read again", labels=["result"])
        for result, count in self.reloads.items():
            family.add_metric([result.value], count)
        yield family
