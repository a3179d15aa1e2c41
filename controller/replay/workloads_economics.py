"""The pools and the prices of the policy benchmark, as `Economics`: what a replica costs and does, what spilling costs.

GPU prices, step times and list prices come from the catalogue, with their sources and dates there; capacity from
`autoscale.capacity` with the mean sizes of the workload: the same pool can do more of one than of another.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from types import MappingProxyType
from typing import TypeVar

from controller.autoscale.capacity import gpu_seconds_per_request
from controller.autoscale.prices import replica_usd_per_s, request_usd
from controller.catalogue import load_catalogue, step_times
from controller.core.errors import SimulationError
from controller.core.models import StepTimes
from controller.core.money import Price
from controller.core.pools import EngineArgs, Slo
from controller.replay.simulation_types import Economics
from controller.replay.workloads import mean_sizes

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolKind:
    """One model on one GPU shape. `size` names the price that its work has in a price set."""

    size: str
    model: str  # in the catalogue, as is the instance type
    instance_type: str
    engine: EngineArgs
    slo: Slo
    cold_start_s: float  # warm node, cold cache: weights are fetched, the engine compiles

    @property
    def steps(self) -> StepTimes:
        """Step times of its engine."""
        gpu = load_catalogue().gpus[self.instance_type].gpu
        return step_times(self.model, gpu, self.engine.tensor_parallel, self.engine.weights)

    @property
    def replica_usd_per_s(self) -> float:
        """Its share of the instance."""
        return replica_usd_per_s(load_catalogue().gpus[self.instance_type], self.engine)


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceSet:
    """What the work costs at a provider, by size of model; and how many requests an account may send."""

    prices: Mapping[str, str | Price]  # a key of the catalogue, or a price that is not in it
    requests_per_min: float = math.inf


POOLS: Mapping[str, PoolKind] = MappingProxyType(
    {
        "8b-a100": PoolKind(
            size="8b",
            model="llama-8b-self",
            instance_type="p4de.24xlarge",
            engine=EngineArgs(max_num_seqs=256, max_model_len_tokens=131_072),
            slo=Slo(ttft_p95_s=1.0, tpot_p95_s=0.05),
            cold_start_s=240.0,
        ),
        "70b-4xa100": PoolKind(
            size="70b",
            model="llama-70b-self",
            instance_type="p4de.24xlarge",
            engine=EngineArgs(tensor_parallel=4, max_num_seqs=256, max_model_len_tokens=131_072),
            slo=Slo(ttft_p95_s=2.0, tpot_p95_s=0.1),
            cold_start_s=480.0,
        ),
        "8b-l4": PoolKind(
            size="8b",
            model="llama-8b-self",
            instance_type="g6.2xlarge",
            engine=EngineArgs(max_num_seqs=256, max_model_len_tokens=16_384),  # of a KV cache of 34,000
            slo=Slo(ttft_p95_s=2.0, tpot_p95_s=0.1),
            cold_start_s=240.0,
        ),
    }
)

LLAMA_70B_GROQ = Price(
    usd_per_mtok_in=Decimal("0.59"),
    usd_per_mtok_out=Decimal("0.79"),
    usd_per_mtok_cached_in=Decimal("0.59"),
    source="kickllm.com/research/ai-api-latency-comparison.html (Llama 70B on Groq)",
    as_of=date(2026, 4, 30),
)

PRICE_SETS: Mapping[str, PriceSet] = MappingProxyType(
    {
        "frontier": PriceSet(prices=MappingProxyType({"8b": "gpt-4o-mini", "70b": "gpt-4o"})),
        # Cheaper than most own GPUs: the caps of accounts, 30 to 1000 per minute by tier, are what keeps work at home.
        "same-weights": PriceSet(
            prices=MappingProxyType({"8b": "llama-8b-groq", "70b": LLAMA_70B_GROQ}), requests_per_min=1000.0
        ),
    }
)


def pool_kind(name: str) -> PoolKind:
    """The pool of that name."""
    return _named(POOLS, "pool", name)


def list_price(pool: str, prices: str) -> Price:
    """What the work of that pool costs at the provider of that set, with source and date."""
    price = _named(PRICE_SETS, "prices", prices).prices[pool_kind(pool).size]
    return load_catalogue().models[price].price if isinstance(price, str) else price


def replica_requests_per_s(pool: str, workload: str) -> float:
    """Requests per second that one replica does within its SLO, of the workload's mean size."""
    kind = pool_kind(pool)
    inputs, outputs = mean_sizes(workload, kind.engine.max_model_len_tokens)
    return 1.0 / gpu_seconds_per_request(kind.steps, kind.engine, kind.slo, input_tokens=inputs, output_tokens=outputs)


def economics(
    pool: str,
    prices: str,
    workload: str,
    *,
    requests_per_min: float | None = None,
    min_replicas: int = 0,
    max_replicas: int = 1000,
) -> Economics:
    """A pool under a price set, for the requests of a workload that fit its context.

    `requests_per_min` is what the provider's account allows, where it is not what the set says.
    """
    kind = pool_kind(pool)
    price = list_price(pool, prices)
    inputs, outputs = mean_sizes(workload, kind.engine.max_model_len_tokens)
    limit_per_min = PRICE_SETS[prices].requests_per_min if requests_per_min is None else requests_per_min
    return Economics(
        replica_usd_per_s=kind.replica_usd_per_s,
        spill_usd_per_request=request_usd(price, inputs, outputs),
        replica_requests_per_s=replica_requests_per_s(pool, workload),
        cold_start_s=kind.cold_start_s,
        min_replicas=min_replicas,
        max_replicas=max_replicas,
        spill_limit_per_s=limit_per_min / 60.0,
    )


def _named(known: Mapping[str, Value], what: str, name: str) -> Value:
    if name not in known:
        raise SimulationError(f"{what} is {name!r}; it must be one of {', '.join(known)}")
    return known[name]
