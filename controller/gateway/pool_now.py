"""The part of a fleet's view that requests need, and what is known of its replicas, in the words of routing.

Called by `own_pools`.
"""

from __future__ import annotations

from dataclasses import dataclass

from controller.core.fleet import Replica, ReplicaState
from controller.core.pools import Pool
from controller.gateway.loads import LiveLoad
from controller.routing.ejection import Conduct
from controller.routing.remeasure import Sight


@dataclass(slots=True, kw_only=True)
class PoolNow:
    """The part of a view that requests need, worked out once per view; and which replica is to be measured again."""

    ready: tuple[tuple[Replica, LiveLoad], ...]
    warming: tuple[Replica, ...]
    asked: int = 0  # requests since the last measurement
    due: str | None = None


def fixed_replicas(pool: Pool) -> tuple[Replica, ...]:
    """Replicas of a pool that no controller has published: its fixed addresses, taken as ready."""
    return tuple(
        Replica(replica_id=url, pool=pool.name, url=url, state=ReplicaState.READY, started_at_s=0.0)
        for url in pool.endpoints
    )


def may_call(load: LiveLoad, now_s: float) -> bool:
    """Whether a call may go to one that is out; one that is back by this is not judged by what was seen before."""
    standing = load.standing
    allowed = standing.may_call(now_s)
    if standing.reason is None:
        load.fit.doubt()
    return allowed


def conduct_of(load: LiveLoad) -> Conduct:
    """How it behaves, beside the others of its pool."""
    standing, fit = load.standing, load.fit
    return Conduct(
        is_out=standing.reason is not None,
        calls=standing.calls,
        failures=standing.failures,
        prefill_slowness=fit.prefill.factor,
        prefill_seen=fit.prefill.seen_lately,
        decode_slowness=fit.decode.factor,
        decode_seen=fit.decode.seen_lately,
    )


def sight_of(load: LiveLoad) -> Sight:
    """When and how slow it was last seen."""
    fit = load.fit
    return Sight(
        is_out=load.standing.reason is not None,
        in_flight=load.in_flight,
        slowness=fit.prefill.factor,
        seen_at_s=max(fit.prefill.seen_at_s, fit.decode.seen_at_s),
    )
