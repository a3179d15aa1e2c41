"""Pools that share GPUs, simulated together in the fluid model: the controller's own split, and the ways without one.

Called by hand and by tests; `oracle_lp` knows what the best schedule would have cost. What it leaves out is as in
`fluid`, and that a replica drains before its GPUs are free.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from controller.autoscale.decide import ScaleState, decide
from controller.autoscale.owed import with_owed
from controller.autoscale.shared_nodes import Claim, SharedState, share
from controller.core.errors import SimulationError
from controller.replay.fluid import FluidPool, FluidRun, offered_requests
from controller.replay.oracle_lp_types import Mix, ReplicaKind, Workload
from controller.replay.production import PERIOD_S, policy_of, prices_of, sample_of
from controller.replay.simulation_types import Curve, Economics, Outcome, Seen, Wish

NODES = "shared"
PROVIDER = "provider"


@dataclass(frozen=True, slots=True, kw_only=True)
class SharingPool:
    """One pool of those that share. `gpus`: of one replica."""

    name: str
    curve: Curve
    economics: Economics
    gpus: int


class Sharing(Protocol):
    """Decides for all pools at once. State lives inside; every run makes it anew."""

    @property
    def name(self) -> str:
        """As reports call it."""
        ...

    def step(self, seen: Mapping[str, Seen], now_s: float) -> Mapping[str, Wish]:
        """What to do from now on, for each pool."""
        ...


class OwnWishes:
    """Every pool decides as if it were alone. `most`: what each may have of the GPUs for good; {}: whoever comes first
    has them.
    """

    def __init__(self, pools: Sequence[SharingPool], most: Mapping[str, int] | None = None) -> None:
        self.name = "first-come" if most is None else "fixed-parts"
        self._pools = pools
        bounds = {} if most is None else most
        self._policies = {
            pool.name: replace(
                policy_of(pool.economics), max_replicas=bounds.get(pool.name, pool.economics.max_replicas)
            )
            for pool in pools
        }
        self._prices = {pool.name: prices_of(pool.economics) for pool in pools}
        self._states = {pool.name: ScaleState() for pool in pools}

    def step(self, seen: Mapping[str, Seen], now_s: float) -> Mapping[str, Wish]:
        """The wish of each."""
        return {pool.name: self._wish(pool.name, seen[pool.name], now_s) for pool in self._pools}

    def _wish(self, name: str, seen: Seen, now_s: float) -> Wish:
        sample, count = with_owed(sample_of(seen, now_s), self._states[name], seen.ready + seen.starting)
        decision, self._states[name] = decide(
            sample,
            self._states[name],
            self._policies[name],
            replicas_now=count,
            prices=self._prices[name],
            now_s=now_s,
        )
        return Wish(replicas=decision.replicas, reason=decision.reason)


class ProductionSharing(OwnWishes):
    """The controller's: the wishes of all pools, and `share` where they are too many."""

    def __init__(self, pools: Sequence[SharingPool], gpus: int) -> None:
        super().__init__(pools)
        self.name = "spillway"
        self._gpus = gpus
        self._shared = SharedState()

    def step(self, seen: Mapping[str, Seen], now_s: float) -> Mapping[str, Wish]:
        """What each gets."""
        wishes = super().step(seen, now_s)
        claims = [self._claim(pool, wishes[pool.name], seen[pool.name]) for pool in self._pools]
        given, self._shared = share(claims, self._gpus, self._shared, now_s)
        return {
            name: Wish(replicas=given[name].replicas, reason=given[name].reason or wishes[name].reason)
            for name in wishes
        }

    def _claim(self, pool: SharingPool, wish: Wish, seen: Seen) -> Claim:
        have = seen.ready + seen.starting
        return Claim(
            name=pool.name,
            gpus=pool.gpus,
            wish=wish.replicas,
            have=have,
            held=have,
            least=pool.economics.min_replicas,
            demand_replicas=seen.demand_replicas,
            prices=self._prices[pool.name],
            cold_start_s=pool.economics.cold_start_s,
        )


def simulate_shared(
    pools: Sequence[SharingPool],
    gpus: int,
    sharing: Sharing,
    *,
    seed: int,
    run: FluidRun | None = None,
    period_s: float = PERIOD_S,
) -> dict[str, Outcome]:
    """One run of all pools together, under one way of sharing; what there are no GPUs for is not started.

    It begins with empty nodes, as `mix_of` does.
    """
    run = replace(run or FluidRun(), ready_at_start=0)
    slot_s = _slot_s(pools)
    fluids = {pool.name: FluidPool(pool.curve, pool.economics, run, seed + at) for at, pool in enumerate(pools)}
    offered = {pool.name: offered_requests(pool.curve, seed + at, noise=run.noise) for at, pool in enumerate(pools)}
    tick_s = 0.0
    for slot in range(len(pools[0].curve.rates_per_s)):
        now_s = slot * slot_s
        for fluid in fluids.values():
            fluid.advance(now_s)
        while tick_s <= now_s:
            wishes = sharing.step({name: fluid.monitor.seen for name, fluid in fluids.items()}, tick_s)
            _follow(pools, fluids, wishes, gpus, now_s)
            tick_s += period_s
        for name, fluid in fluids.items():
            fluid.flow(offered[name][slot])
    return {pool.name: fluids[pool.name].outcome(pool.curve, sharing.name, seed) for pool in pools}


def _slot_s(pools: Sequence[SharingPool]) -> float:
    """That of all of them."""
    kinds = {(pool.curve.slot_s, len(pool.curve.rates_per_s)) for pool in pools}
    if len(kinds) != 1:
        raise SimulationError(f"the pools have {len(kinds)} kinds of slots; all must have as many of the same length")
    return pools[0].curve.slot_s


def _follow(
    pools: Sequence[SharingPool],
    fluids: Mapping[str, FluidPool],
    wishes: Mapping[str, Wish],
    gpus: int,
    now_s: float,
) -> None:
    """First who gives up, then who gets, in the order of the pools, as far as there are GPUs."""
    for pool in pools:
        if wishes[pool.name].replicas < fluids[pool.name].replicas:
            fluids[pool.name].follow(wishes[pool.name], now_s)
    for pool in pools:
        fluid = fluids[pool.name]
        free = (gpus - sum(fluids[one.name].replicas * one.gpus for one in pools)) // pool.gpus
        fluid.follow(
            replace(wishes[pool.name], replicas=min(wishes[pool.name].replicas, fluid.replicas + max(0, free))), now_s
        )


def mix_of(pools: Sequence[SharingPool], gpus: int, *, slot_s: float) -> Mix:
    """The same pools as `oracle_lp` is asked about them, in slots that may be longer, whose demand is averaged."""
    per_slot = max(1, round(slot_s / _slot_s(pools)))
    return Mix(
        slot_s=per_slot * pools[0].curve.slot_s,
        workloads=tuple(_workload(pool, per_slot) for pool in pools),
        node_pool_gpus={NODES: gpus},
    )


def _workload(pool: SharingPool, per_slot: int) -> Workload:
    rates, economics = pool.curve.rates_per_s, pool.economics
    means = [sum(rates[at : at + per_slot]) / per_slot for at in range(0, len(rates) - per_slot + 1, per_slot)]
    return Workload(
        name=pool.name,
        rates_per_s=means,
        kinds=(ReplicaKind(name=pool.name, economics=economics, node_pool=NODES, gpus=pool.gpus),),
        provider_usd_per_request={PROVIDER: economics.spill_usd_per_request},
    )
