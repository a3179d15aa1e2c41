"""What the gateways say, taken together: who is silent, what is in flight, what providers take. Pure.

Counters stay apart by gateway, since each counts from its own start and may be silent for a while; rates are summed
(`demand.PoolDemand`). Whoever is silent may have any number of requests: what the others say is a lower bound.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import median_low

from controller.core.samples import GatewayCounters, PoolCounters, ProviderCounters


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewaysWord:
    """One scrape of all gateways. `pools`: by pool, what each gateway has counted for it, as far as it knows it.

    `in_flight`: by replica, at the gateways that have answered.
    """

    count: int = 1
    silent: frozenset[str] = frozenset()
    pools: Mapping[str, Mapping[str, PoolCounters]] = field(default_factory=dict)
    in_flight: Mapping[str, int] = field(default_factory=dict)
    providers: Mapping[str, ProviderCounters] = field(default_factory=dict)

    @property
    def answering(self) -> int:
        """How many are known to take requests."""
        return max(1, self.count - len(self.silent))


class Gateways:
    """All gateways, from scrape to scrape."""

    def __init__(self) -> None:
        self._answered: dict[tuple[str, str], float] = {}  # by provider and gateway, last
        self._grown: defaultdict[str, float] = defaultdict(float)

    def hear(self, said: Mapping[str, GatewayCounters | None]) -> GatewaysWord | None:
        """What this scrape says; None when nobody has answered."""
        heard = {name: one for name, one in said.items() if one is not None}
        if not heard:
            return None
        pools: defaultdict[str, dict[str, PoolCounters]] = defaultdict(dict)
        providers: defaultdict[str, dict[str, ProviderCounters]] = defaultdict(dict)
        in_flight: Counter[str] = Counter()
        for name, counters in heard.items():
            in_flight.update(counters.replica_in_flight)
            for pool, found in counters.pools.items():
                pools[pool][name] = found
            for provider, offer in counters.providers.items():
                providers[provider][name] = offer
        return GatewaysWord(
            count=len(said),
            silent=frozenset(said.keys() - heard.keys()),
            pools=pools,
            in_flight=in_flight,
            providers={name: self._provider(name, offers) for name, offers in providers.items()},
        )

    def _provider(self, provider: str, said: Mapping[str, ProviderCounters]) -> ProviderCounters:
        """Without a good key where half of the gateways have none: keys rest at each for itself, and who does not call
        a provider does not notice that it is down.
        """
        for gateway, counters in said.items():
            before = self._answered.get((provider, gateway), counters.answered)
            self._answered[provider, gateway] = counters.answered
            self._grown[provider] += max(0.0, counters.answered - before)
        good = median_low([counters.keys_good for counters in said.values()])
        return ProviderCounters(keys_good=good, answered=self._grown[provider])
