"""The pools and the prices of every simulation, as `Economics`: what a replica costs and does, what spilling costs.

GPU prices, step times and list prices come from the catalogue, with their sources and dates there; capacity from
`autoscale.capacity` with the mean sizes of the workload: the same pool can do more of one than of another. Called by
`contest_field` and `spillway simulate`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from types import MappingProxyType
from typing import TypeVar

from controller.autoscale.capacity import batch_at_slo, decode_step_s, gpu_seconds_per_request, prefill_s
from controller.autoscale.prices import replica_usd_per_s, request_usd
from controller.catalogue import load_catalogue, step_times
from controller.core.errors import SimulationError
from controller.core.models import StepTimes
from controller.core.money import Price
from controller.core.pools import EngineArgs, Slo
from controller.replay.fluid_pool import ReplicaShape
from controller.replay.simulation_types import Economics
from controller.replay.workloads import mean_sizes

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolKind:
    """One model on one GPU shape. `size` names the price that its work has in a price set.

    The engine's token budget is the one that pools get whose file says none: `capacity.token_budget_at_slo`.
    """

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
    """What work costs at a provider and how soon it answers, by size of model; how many requests an account may send.

    Latencies: kickllm.com/research/ai-api-latency-comparison.html, April 2026.
    """

    prices: Mapping[str, str | Price]  # a key of the catalogue, or a price that is not in it
    latencies: Mapping[str, tuple[float, float]]  # median TTFT in s, tokens per s
    requests_per_min: float = math.inf


POOLS: Mapping[str, PoolKind] = MappingProxyType(
    {
        "8b-a100": PoolKind(
            size="8b",
            model="llama-8b-self",
            instance_type="p4de.24xlarge",
            engine=EngineArgs(max_num_seqs=256, max_model_len_tokens=131_072, max_num_batched_tokens=512),
            slo=Slo(ttft_p95_s=1.0, tpot_p95_s=0.05),
            cold_start_s=240.0,
        ),
        "70b-4xa100": PoolKind(
            size="70b",
            model="llama-70b-self",
            instance_type="p4de.24xlarge",
            engine=EngineArgs(
                tensor_parallel=4, max_num_seqs=256, max_model_len_tokens=131_072, max_num_batched_tokens=448
            ),
            slo=Slo(ttft_p95_s=2.0, tpot_p95_s=0.1),
            cold_start_s=480.0,
        ),
        "8b-l4": PoolKind(
            size="8b",
            model="llama-8b-self",
            instance_type="g6.2xlarge",
            engine=EngineArgs(
                max_num_seqs=64,
                max_model_len_tokens=16_384,  # of a KV cache of 34,000
                max_num_batched_tokens=128,
            ),
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
        "frontier": PriceSet(
            prices=MappingProxyType({"8b": "gpt-4o-mini", "70b": "gpt-4o"}),
            latencies=MappingProxyType({"8b": (0.25, 115.0), "70b": (0.38, 92.0)}),
        ),
        # Cheaper than most own GPUs: the caps of accounts, 30 to 1000 per minute by tier, are what keeps work at home.
        "same-weights": PriceSet(
            prices=MappingProxyType({"8b": "llama-8b-groq", "70b": LLAMA_70B_GROQ}),
            latencies=MappingProxyType({"8b": (0.12, 520.0), "70b": (0.18, 330.0)}),
            requests_per_min=1000.0,
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


def sizes_on(pool: str, workload: str) -> tuple[float, float]:
    """Mean prompt and answer tokens of the workload's requests that fit the pool's context."""
    return mean_sizes(workload, pool_kind(pool).engine.max_model_len_tokens)


def replica_requests_per_s(pool: str, workload: str) -> float:
    """Requests per second that one replica does within its SLO, of the workload's mean size."""
    return _capacity_per_s(pool_kind(pool), *sizes_on(pool, workload))


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
    found = economics_of(pool, prices, *sizes_on(pool, workload))
    return replace(
        found,
        min_replicas=min_replicas,
        max_replicas=max_replicas,
        spill_limit_per_s=found.spill_limit_per_s if requests_per_min is None else requests_per_min / 60.0,
    )


def economics_of(pool: str, prices: str, input_tokens: float, output_tokens: float) -> Economics:
    """A pool under a price set, for requests of this mean size."""
    kind, price = pool_kind(pool), list_price(pool, prices)
    return Economics(
        replica_usd_per_s=kind.replica_usd_per_s,
        spill_usd_per_request=request_usd(price, input_tokens, output_tokens),
        replica_requests_per_s=_capacity_per_s(kind, input_tokens, output_tokens),
        cold_start_s=kind.cold_start_s,
        spill_limit_per_s=PRICE_SETS[prices].requests_per_min / 60.0,
    )


def replica_shape(pool: str, input_tokens: float, output_tokens: float) -> ReplicaShape:
    """What a replica of the pool shows of itself at its SLO capacity, for requests of this mean size.

    Where the prompt alone takes more than half of the pool's TTFT, the SLO is twice that: none could keep the other.
    """
    kind = pool_kind(pool)
    steps, engine = kind.steps, kind.engine
    batch = batch_at_slo(steps, engine, kind.slo, input_tokens, output_tokens)
    context_tokens = input_tokens + output_tokens / 2
    idle_s, full_s = (decode_step_s(steps, many, context_tokens) for many in (1, batch))
    prompt_s = prefill_s(steps, engine, input_tokens)
    chunks = max(1.0, input_tokens / max(1.0, engine.max_num_batched_tokens - batch))
    ttft_s = prompt_s + chunks * full_s  # each beside the answers under way
    return ReplicaShape(
        ttft_slo_s=max(kind.slo.ttft_p95_s, 2 * ttft_s),
        ttft_idle_s=ttft_s,
        tpot_at_slo_s=full_s + batch * prompt_s / output_tokens,
        tpot_idle_s=idle_s,
        kv_usage_at_slo_ratio=batch * context_tokens / steps.kv_cache_tokens,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
    )


def _capacity_per_s(kind: PoolKind, input_tokens: float, output_tokens: float) -> float:
    return 1.0 / gpu_seconds_per_request(
        kind.steps, kind.engine, kind.slo, input_tokens=input_tokens, output_tokens=output_tokens
    )


def _named(known: Mapping[str, Value], what: str, name: str) -> Value:
    if name not in known:
        raise SimulationError(f"{what} is {name!r}; it must be one of {', '.join(known)}")
    return known[name]
