"""What is measured: scrapes of engines and gateways, and what a tick makes of them for `decide` and `spill_step`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSample:
    """One pool at one instant. A blind tick has no sample at all (`None`), never zeros.

    `replicas_unknown`: ready ones that said nothing to be believed, `gateways_unknown`: gateways that said nothing of
    this pool; the sums are then too small.
    `saturation_ratio`: worst of queue and KV cache over their limits; >= 1 means full.
    `refused_now`: requests that gateways found no place for since the last scrape, or that wait in them for one.
    `demand_replicas`: work offered to the pool (served here + spilled away) in units of one replica at its SLO
    capacity, averaged over the observation window. Sizes are per request; 0 when none came.
    `bound_ratio`: of the arrivals, those that may not be bought. `request_gpu_s`: seconds of one replica that a request
    of these sizes costs at SLO capacity; None when none came, or nobody knows. `prompt_s`: what its prompt takes of
    that; 0 when none came. `ttft_slo_s`: what it may take with all waiting; None where the times of steps are unknown.
    """

    at_s: float
    replicas_ready: int
    replicas_warming: int
    replicas_draining: int
    running: int
    waiting: int
    kv_cache_usage_ratio: float
    saturation_ratio: float
    arrivals_per_s: float
    spilled_per_s: float
    demand_replicas: float
    ttft_p95_s: float | None = None
    replicas_unknown: int = 0
    refused_now: float = 0.0
    input_tokens: float = 0.0
    output_tokens: float = 0.0
    request_gpu_s: float | None = None
    prompt_s: float = 0.0
    ttft_slo_s: float | None = None
    bound_ratio: float = 0.0
    gateways_unknown: int = 0

    @property
    def unheard(self) -> str:
        """Who has said nothing, in words; "" when everybody has: then a pool may shrink and take traffic back."""
        if self.replicas_unknown:
            return f"no word from {self.replicas_unknown} of {self.replicas_ready} replicas"
        return f"no word from gateways: {self.gateways_unknown}" if self.gateways_unknown else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineMetrics:
    """What one engine says of itself. `tokens_total`: read and made since it started; None when it does not say."""

    running: int
    waiting: int
    kv_cache_usage_ratio: float
    tokens_total: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolCounters:
    """What a gateway has counted for one pool since it started. `ttft_buckets`: (bound in s, requests up to it)."""

    arrivals: float = 0.0
    input_tokens: float = 0.0
    output_tokens: float = 0.0
    waiting: float = 0.0  # in the gateway for a place in the pool, now
    spilled: Mapping[str, float] = field(default_factory=dict)  # by reason
    bound: float = 0.0  # of the arrivals: may not be bought, or their budget is spent
    ttft_buckets: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderCounters:
    """What a gateway says of one provider. `answered`: calls since it started."""

    keys_good: int
    answered: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayCounters:
    """One scrape of a gateway. A replica that is missing has nothing in flight; of such a provider nothing is known."""

    providers: Mapping[str, ProviderCounters] = field(default_factory=dict)
    pools: Mapping[str, PoolCounters] = field(default_factory=dict)
    replica_in_flight: Mapping[str, int] = field(default_factory=dict)
