"""A pool as one tick has seen it, and as gateways shall see it after it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from controller.core.fleet import PoolView, Replica, ReplicaState
from controller.core.pools import Pool
from controller.core.samples import EngineMetrics, PoolSample
from controller.loop.gateways import GatewaysWord
from controller.loop.plan import PoolPlan, PoolState


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One pool as observed in this tick."""

    replicas: tuple[Replica, ...]
    engines: Mapping[str, EngineMetrics]
    sample: PoolSample | None


def unused(seen: Seen, word: GatewaysWord | None) -> frozenset[str]:
    """Replicas where neither the engine nor any gateway knows of a request; silence is no proof.

    One that was never ready is known to no gateway, whether it can answer yet or not.
    """
    if word is None or word.silent:
        return frozenset()
    idle = {name for name, metrics in seen.engines.items() if metrics.running + metrics.waiting == 0}
    idle |= {one.replica_id for one in seen.replicas if one.ready_at_s is None}
    return frozenset(name for name in idle if not word.in_flight.get(name))


def pool_view(pool: Pool, seen: Seen, plan: PoolPlan, state: PoolState, news: tuple[str, ...] = ()) -> PoolView:
    """The pool as gateways shall see it: what was just told to drain already does. `news`: of what can be bought."""
    replicas = tuple(
        replace(one, state=ReplicaState.DRAINING) if one.replica_id in plan.drain else one
        for one in seen.replicas
        if one.replica_id not in plan.remove
    )
    replicas = tuple(_due(one, pool, state) for one in replicas)
    sample, scale = seen.sample, plan.scale
    words = "" if scale is None else "; ".join((scale.reason, *scale.constraints, *news))
    return PoolView(
        name=pool.name,
        replicas=replicas,
        mode=plan.spill.mode,
        spill_ratio=plan.spill.ratio,
        mode_since_s=state.spill.since_s or 0.0,
        mode_reason=plan.spill.reason,
        saturation_ratio=None if sample is None else sample.saturation_ratio,
        desired_replicas=None if scale is None else scale.replicas,
        decision_reason=words,
        wanted_replicas=None if scale is None else scale.wanted,
        wanted_reason="" if scale is None else scale.reason,
        constraints=() if scale is None else scale.constraints,
        terms=None if scale is None else scale.terms,
        cold_starts_s=state.cold_starts.took_s,
        missing_replicas=plan.missing,
    )


def _due(replica: Replica, pool: Pool, state: PoolState) -> Replica:
    """A warming replica with the time at which those before it would have been ready, once enough have been seen."""
    if replica.state is not ReplicaState.WARMING or not state.cold_starts.are_known:
        return replica
    return replace(replica, ready_at_s=replica.started_at_s + state.cold_starts.expected_s(pool.scale.cold_start_s))
