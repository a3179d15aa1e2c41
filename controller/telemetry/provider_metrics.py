"""What the gateway says of its providers: in which state are the keys that it calls them with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

PROVIDER_KEYS = "spillway_provider_keys"


class KeyState(StrEnum):
    """Refused: the provider does not know it, forbids it, or its account has nothing left; somebody has to act."""

    GOOD = "good"
    RESTING = "resting"
    REFUSED = "refused"


class ProviderMetrics(Collector):
    """Read at each scrape; three series per provider. Which key it is stands in the log, by its number."""

    def __init__(self, keys: Callable[[], Mapping[tuple[str, KeyState], int]]) -> None:
        self._keys = keys

    def collect(self) -> Iterable[Metric]:
        """Every family, for `prometheus_client`."""
        family = GaugeMetricFamily(PROVIDER_KEYS, "Keys by what came of their last calls", labels=["provider", "state"])
        for (provider, state), count in self._keys().items():
            family.add_metric([provider, state.value], count)
        yield family
