"""What replicas of each pool cost and what their work costs elsewhere, for requests of the size that came last."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from controller.autoscale.prices import Prices, market_prices
from controller.catalogue.load import load_catalogue
from controller.config.settings import Settings
from controller.core.models import GpuShape
from controller.core.money import Price
from controller.core.pools import Pool
from controller.core.samples import PoolSample


@dataclass(frozen=True, slots=True, kw_only=True)
class _Card:
    """What is known of a pool before any request came."""

    shape: GpuShape
    outside: tuple[Price, ...]
    spill_limit_per_s: float  # of their providers together; inf where one has none


class PriceBook:
    """The prices of all pools. None for those whose GPUs or step times are not known, and until a request has come.

    Only from `usable_providers` can work be bought: what has no key stands in for no replica.
    """

    def __init__(self, settings: Settings, usable_providers: frozenset[str]) -> None:
        shapes = load_catalogue().gpus
        self._cards: dict[str, _Card] = {}
        self._last: dict[str, Prices] = {}
        for pool in settings.pools.values():
            shape = shapes.get(pool.instance_type)
            targets = [settings.models[key] for key in pool.spill.to if key in settings.models]
            bought = [model for model in targets if model.enabled and model.provider in usable_providers]
            providers = {model.provider for model in bought}
            limits = [settings.providers[name].requests_per_min for name in providers if name in settings.providers]
            if shape is not None:
                self._cards[pool.name] = _Card(
                    shape=shape,
                    outside=tuple(model.price for model in bought),
                    spill_limit_per_s=sum(inf if limit is None else limit / 60.0 for limit in limits),
                )

    def now(self, pool: Pool, sample: PoolSample | None, *, cold_start_s: float | None = None) -> Prices | None:
        """The prices for what was asked lately; while nothing is asked, those of before. `cold_start_s`: as learned."""
        card = self._cards.get(pool.name)
        if card is None or sample is None or sample.request_gpu_s is None:
            return self._last.get(pool.name)
        prices = market_prices(
            pool,
            card.shape,
            card.outside,
            input_tokens=sample.input_tokens,
            output_tokens=sample.output_tokens,
            gpu_seconds_per_request=sample.request_gpu_s,
            cold_start_s=cold_start_s,
            spill_limit_per_s=card.spill_limit_per_s,
        )
        self._last[pool.name] = prices
        return prices
