"""The GPUs that pools share: each tick every group of nodes is split once, by what all of its pools wish. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import isfinite

from controller.autoscale.prices import Prices
from controller.autoscale.shared_nodes import Claim, Given, SharedState, share
from controller.config.settings import Settings
from controller.core.fleet import PoolView, Replica
from controller.core.pools import Pool
from controller.core.samples import PoolSample
from controller.loop.plan import PoolWish


def claim_of(
    pool: Pool,
    wish: PoolWish,
    replicas: tuple[Replica, ...],
    sample: PoolSample | None,
    *,
    prices: Prices | None,
    cold_start_s: float,
) -> Claim | None:
    """What a pool asks of the nodes that it shares; None for one that shares none. An operator's pin is a minimum."""
    if pool.node_pool is None or wish.scale is None:
        return None
    demand, terms, wished = None, wish.scale.terms, wish.scale.replicas
    if sample is not None and not sample.unheard and isfinite(sample.demand_replicas):
        demand = sample.demand_replicas if terms is None else terms.demand_replicas
    return Claim(
        name=pool.name,
        gpus=pool.engine.tensor_parallel,
        wish=wished,
        have=len(wish.staying),
        held=len(replicas),
        least=wished if wish.pinned else pool.scale.min_replicas,
        demand_replicas=demand,
        prices=prices,
        cold_start_s=cold_start_s,
        cooldown_s=pool.scale.scale_down_cooldown_s,
    )


def claim_unseen(pool: Pool, view: PoolView | None) -> Claim | None:
    """The claim of a pool whose turn has failed: it keeps what it was last seen to have."""
    if pool.node_pool is None:
        return None
    have = 0 if view is None else len(view.replicas)
    wish = have if view is None or view.desired_replicas is None else view.desired_replicas
    return Claim(
        name=pool.name,
        gpus=pool.engine.tensor_parallel,
        wish=wish,
        have=have,
        held=have,
        least=pool.scale.min_replicas,
        demand_replicas=None,
        prices=None,
        cold_start_s=pool.scale.cold_start_s,
        cooldown_s=pool.scale.scale_down_cooldown_s,
    )


class SharedNodes:
    """All groups of nodes, and what is remembered of each; `before` by an earlier controller."""

    def __init__(self, settings: Settings, before: Mapping[str, SharedState] | None = None) -> None:
        known = before or {}
        self.states = {name: replace(known.get(name, SharedState()), since_s=None) for name in settings.node_pools}
        self.takes(settings)

    def takes(self, settings: Settings) -> None:
        """The nodes as they are configured from now on; groups that stay keep what is remembered of them."""
        self._gpus = {name: node_pool.gpus for name, node_pool in settings.node_pools.items()}
        self._of = {pool.name: pool.node_pool for pool in settings.pools.values() if pool.node_pool in self._gpus}
        self.states = {name: self.states.get(name, SharedState()) for name in self._gpus}

    def split(self, claims: Mapping[str, Claim], now_s: float) -> dict[str, Given]:
        """What each pool that shares nodes gets."""
        given: dict[str, Given] = {}
        for name, gpus in self._gpus.items():
            group = [claim for pool, claim in claims.items() if self._of.get(pool) == name]
            if group:
                found, self.states[name] = share(group, gpus, self.states[name], now_s)
                given |= found
        return given
