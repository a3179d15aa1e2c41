"""What a replica costs and what its work costs elsewhere: the two prices that decide how many replicas pay."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import inf

from controller.core.models import GpuShape
from controller.core.money import Price
from controller.core.pools import EngineArgs, Pool

SECONDS_PER_HOUR = 3600.0
TOKENS_PER_MTOK = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """Of one pool, now. `spill_usd_per_replica_s`: buying what one replica does per second at SLO capacity; inf where
    nobody may be asked. `spill_limit_replicas`: how much work the providers take.
    """

    replica_usd_per_s: float
    spill_usd_per_replica_s: float
    cold_start_s: float
    spill_limit_replicas: float = inf

    @property
    def start_usd(self) -> float:
        """What a replica costs until it serves."""
        return self.replica_usd_per_s * self.cold_start_s

    @property
    def break_even_ratio(self) -> float:
        """The use from which on a replica is cheaper than buying its work, c / (s * mu); inf where that is free."""
        return self.replica_usd_per_s / self.spill_usd_per_replica_s if self.spill_usd_per_replica_s else inf


def replica_usd_per_s(shape: GpuShape, engine: EngineArgs) -> float:
    """What a replica costs: its share of the instance's GPUs."""
    return float(shape.usd_per_hour) / SECONDS_PER_HOUR * engine.tensor_parallel / shape.gpus


def request_usd(price: Price, input_tokens: float, output_tokens: float) -> float:
    """What a request of this size costs at a provider, nothing of it cached."""
    return (
        float(price.usd_per_mtok_in) * input_tokens + float(price.usd_per_mtok_out) * output_tokens
    ) / TOKENS_PER_MTOK


def market_prices(
    pool: Pool,
    shape: GpuShape,
    outside: Iterable[Price],
    *,
    input_tokens: float,
    output_tokens: float,
    gpu_seconds_per_request: float,
    cold_start_s: float | None = None,
    spill_limit_per_s: float = inf,
) -> Prices:
    """The prices of a pool for requests of this size, from those of its GPUs and of the models it may spill to.

    `spill_limit_per_s`: how many requests their providers together take. `cold_start_s`: as learned; None: as
    configured.
    Where providers sell for less than replicas cost, a replica is still kept from `home_use_ratio` on.
    """
    having = replica_usd_per_s(shape, pool.engine)
    cheapest_usd = min((request_usd(price, input_tokens, output_tokens) for price in outside), default=inf)
    bought = cheapest_usd / gpu_seconds_per_request
    return Prices(
        replica_usd_per_s=having,
        spill_usd_per_replica_s=max(bought, having / pool.scale.home_use_ratio),
        cold_start_s=pool.scale.cold_start_s if cold_start_s is None else cold_start_s,
        spill_limit_replicas=spill_limit_per_s * gpu_seconds_per_request,
    )
