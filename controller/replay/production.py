"""What runs in production as one of the policies that simulations compare: the same `decide`, fed from what is seen."""

from __future__ import annotations

from dataclasses import replace

from controller.autoscale.decide import ScaleState, decide
from controller.autoscale.market import shifted
from controller.autoscale.prices import Prices
from controller.core.pools import ScalePolicy
from controller.core.samples import PoolSample
from controller.replay.simulation_types import Economics, Seen, Wish

PERIOD_S = 10.0  # a slot of the fluid model; the control loop ticks every second, and sees no more between scrapes
FULL_RATIO, ROOM_RATIO = 1.0, 0.5  # what a simulation knows of saturation: somebody waits or found no place, or nobody
# Who was spilled while less was kept than this left by the share of the mode, not for want of room.
FULL_USE_RATIO = 0.95


def policy_of(economics: Economics) -> ScalePolicy:
    """What an operator of such a pool would have configured."""
    return ScalePolicy(
        min_replicas=economics.min_replicas,
        max_replicas=economics.max_replicas,
        cold_start_s=economics.cold_start_s,
    )


def prices_of(economics: Economics) -> Prices:
    """The same as the controller knows it."""
    return Prices(
        replica_usd_per_s=economics.replica_usd_per_s,
        spill_usd_per_replica_s=economics.spill_usd_per_request * economics.replica_requests_per_s,
        cold_start_s=economics.cold_start_s,
        spill_limit_replicas=economics.spill_limit_per_s / economics.replica_requests_per_s,
    )


def sample_of(seen: Seen, now_s: float) -> PoolSample:
    """What the controller would have measured."""
    kept_ratio = 1.0 - seen.spilled_per_s / seen.arrivals_per_s if seen.arrivals_per_s else 1.0
    turned_away = seen.spilled_per_s > 0 and seen.demand_replicas * kept_ratio >= FULL_USE_RATIO * seen.ready
    is_full = seen.ready > 0 and (seen.waiting > 0 or turned_away)
    return PoolSample(
        at_s=now_s,
        replicas_ready=seen.ready,
        replicas_warming=seen.starting,
        replicas_draining=0,
        running=round(seen.running),
        waiting=round(seen.waiting),
        kv_cache_usage_ratio=seen.kv_usage_ratio,
        saturation_ratio=FULL_RATIO if is_full else ROOM_RATIO,
        arrivals_per_s=seen.arrivals_per_s,
        spilled_per_s=seen.spilled_per_s,
        demand_replicas=seen.demand_replicas,
        ttft_p95_s=seen.ttft_p95_s,
        input_tokens=seen.input_tokens_mean,
        output_tokens=seen.output_tokens_mean,
    )


class ProductionPolicy:
    """The controller's scaling of one pool; per-request spilling is the simulated gateway's."""

    def __init__(
        self,
        economics: Economics,
        *,
        name: str = "spillway",
        period_s: float = PERIOD_S,
        start_patience_ratio: float = 1.0,
    ) -> None:
        self.name = name
        self.period_s = period_s
        self._state = ScaleState()
        self._policy = replace(policy_of(economics), start_patience_ratio=start_patience_ratio)
        self._prices = prices_of(economics)

    def step(self, seen: Seen, now_s: float) -> Wish:
        """One tick of the controller. It ran before, as the pool did, so it is in no cooldown of a restart."""
        if self._state.market is None:
            ran_since_s = now_s - self._policy.scale_down_cooldown_s
            market = shifted(None, seen.ready + seen.starting, ran_since_s)
            self._state = replace(self._state, market=replace(market, at_s=now_s))
        decision, self._state = decide(
            sample_of(seen, now_s),
            self._state,
            self._policy,
            replicas_now=seen.ready + seen.starting,
            prices=self._prices,
            now_s=now_s,
        )
        return Wish(replicas=decision.replicas, reason=decision.reason)
