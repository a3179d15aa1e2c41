"""What replicas of each pool cost and what their work costs elsewhere, for requests of the size that came last.

Only what can be bought just now counts: from providers with a key (`usable_providers`) that answer (`offers`), for
requests whose caller, tenant and budget allow it (`bound_ratio`), and of a provider that several pools spill to each
pool's part (`provider_parts`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from math import exp, inf

from controller.autoscale.prices import Prices, market_prices
from controller.autoscale.scarcity import LIMIT_USED_RATIO
from controller.catalogue.load import load_catalogue
from controller.config.settings import Settings
from controller.core.models import GpuShape
from controller.core.money import Price
from controller.core.pools import Pool
from controller.core.samples import PoolSample, ProviderCounters
from controller.loop.offers import Offers
from controller.loop.provider_parts import parts

SPILLED_MEMORY_S = 300.0
BOUND_MEMORY_S = 60.0
ALL_BOUND_RATIO, SOME_FREE_RATIO = 0.95, 0.8  # from here on nothing is bought, until it is less than that again
FEW_BOUND_RATIO = 0.02  # below: replicas that pay serve them in any case


@dataclass(frozen=True, slots=True, kw_only=True)
class _Card:
    """What is known of a pool before any request came."""

    shape: GpuShape
    outside: tuple[tuple[str, Price], ...]  # provider and price
    limits_per_s: Mapping[str, float]  # of their providers; inf where one has none


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What was asked of a pool lately. `arrivals_per_s` and `bound_ratio` are averaged."""

    at_s: float
    input_tokens: float
    output_tokens: float
    request_gpu_s: float
    arrivals_per_s: float
    bound_ratio: float
    is_bound: bool


class PriceBook:
    """The prices of all pools. None for those whose GPUs or step times are not known, and until a request has come."""

    def __init__(
        self, settings: Settings, usable_providers: frozenset[str], asked: Mapping[str, Asked] | None = None
    ) -> None:
        self.offers = Offers()
        self.asked = dict(asked or {})
        self._spilled: dict[str, tuple[float, float]] = {}  # of each pool, averaged: when last, and requests per second
        self._cards = _cards(settings, usable_providers)
        self._taken = settings, usable_providers

    def takes(self, settings: Settings, usable_providers: frozenset[str], pools: Collection[str]) -> None:
        """The prices by these settings from now on; what was asked of `pools` is kept, of all others dropped."""
        if self._taken[0] is settings and self._taken[1] == usable_providers:
            return
        self._taken = settings, usable_providers
        self._cards = _cards(settings, usable_providers)
        for table in (self.asked, self._spilled):
            for name in [name for name in table if name not in pools]:
                del table[name]

    def hear(self, providers: Mapping[str, ProviderCounters], now_s: float) -> None:
        """Takes in what a gateway says of its providers."""
        self.offers.hear(providers, now_s)

    def now(self, pool: Pool, sample: PoolSample | None, *, cold_start_s: float | None = None) -> Prices | None:
        """The prices for what was asked lately, of those before while nothing is. `cold_start_s`: as learned."""
        card = self._cards.get(pool.name)
        if sample is not None and sample.request_gpu_s is not None:
            self.asked[pool.name] = _averaged(self.asked.get(pool.name), sample, sample.request_gpu_s)
        if sample is not None:
            self._spilled[pool.name] = _faded(self._spilled.get(pool.name), sample)
        asked = self.asked.get(pool.name)
        if card is None or asked is None:
            return None
        takes = {name: self._part_per_s(name, limit, pool.name) for name, limit in card.limits_per_s.items()}
        limit_per_s = sum(takes.values())
        if asked.bound_ratio >= FEW_BOUND_RATIO:
            limit_per_s = min(limit_per_s, (1.0 - asked.bound_ratio) * asked.arrivals_per_s / LIMIT_USED_RATIO)
        return market_prices(
            pool,
            card.shape,
            () if asked.is_bound else [price for name, price in card.outside if takes.get(name, inf) > 0.0],
            input_tokens=asked.input_tokens,
            output_tokens=asked.output_tokens,
            gpu_seconds_per_request=asked.request_gpu_s,
            cold_start_s=cold_start_s,
            spill_limit_per_s=limit_per_s,
        )

    def _part_per_s(self, provider: str, limit_per_s: float, pool: str) -> float:
        """What this pool may count on of a provider; those that nothing was asked of take no part."""
        whole = min(limit_per_s, self.offers.takes_per_s(provider))
        if whole == inf:
            return inf
        rivals = [name for name, card in self._cards.items() if provider in card.limits_per_s and name in self.asked]
        return parts(whole, {name: self._spilled.get(name, (0.0, 0.0))[1] for name in rivals})[pool]

    def words(self, pool: Pool) -> tuple[str, ...]:
        """What keeps this pool from buying as it would."""
        card, asked = self._cards.get(pool.name), self.asked.get(pool.name)
        words = () if card is None else self.offers.words(name for name, _ in card.outside)
        if asked is None or asked.bound_ratio < FEW_BOUND_RATIO:
            return words
        return (*words, f"{100.0 * asked.bound_ratio:.0f} % of requests may not be bought")


def _cards(settings: Settings, usable_providers: frozenset[str]) -> dict[str, _Card]:
    """What the settings say of each pool whose GPUs are known."""
    shapes, cards = load_catalogue().gpus, dict[str, _Card]()
    for pool in settings.pools.values():
        shape = shapes.get(pool.instance_type)
        targets = [settings.models[key] for key in pool.spill.to if key in settings.models]
        bought = [model for model in targets if model.enabled and model.provider in usable_providers]
        providers = {model.provider for model in bought}
        limits = {name: settings.providers[name].requests_per_min for name in providers & settings.providers.keys()}
        if shape is not None:
            cards[pool.name] = _Card(
                shape=shape,
                outside=tuple((model.provider, model.price) for model in bought),
                limits_per_s={name: inf if limit is None else limit / 60.0 for name, limit in limits.items()},
            )
    return cards


def _averaged(before: Asked | None, sample: PoolSample, request_gpu_s: float) -> Asked:
    """With what was asked in this tick."""
    found = Asked(
        at_s=sample.at_s,
        input_tokens=sample.input_tokens,
        output_tokens=sample.output_tokens,
        request_gpu_s=request_gpu_s,
        arrivals_per_s=sample.arrivals_per_s,
        bound_ratio=sample.bound_ratio,
        is_bound=sample.bound_ratio >= ALL_BOUND_RATIO,
    )
    if before is None:
        return found
    old = exp(-max(0.0, sample.at_s - before.at_s) / BOUND_MEMORY_S)
    bound_ratio = old * before.bound_ratio + (1.0 - old) * sample.bound_ratio
    return replace(
        found,
        arrivals_per_s=old * before.arrivals_per_s + (1.0 - old) * sample.arrivals_per_s,
        bound_ratio=bound_ratio,
        is_bound=bound_ratio >= (SOME_FREE_RATIO if before.is_bound else ALL_BOUND_RATIO),
    )


def _faded(before: tuple[float, float] | None, sample: PoolSample) -> tuple[float, float]:
    """What a pool spills, averaged over some minutes."""
    if before is None:
        return sample.at_s, sample.spilled_per_s
    old = exp(-max(0.0, sample.at_s - before[0]) / SPILLED_MEMORY_S)
    return sample.at_s, old * before[1] + (1.0 - old) * sample.spilled_per_s
