"""One look at an installation, as a person with kubectl has it: ModelPools, their pods, and who leads.

Nothing is watched and nothing is kept: it is for commands, which ask and are gone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import median

from controller.adapters.kubernetes_client import KubernetesClient
from controller.adapters.kubernetes_kinds import DEPLOYMENTS, LEASES, MODEL_POOLS, PODS, Json, Kind
from controller.adapters.kubernetes_lives import Places
from controller.adapters.kubernetes_pods import is_active, is_ordered_away, is_ready, pods_of, replica_of, unix_s
from controller.adapters.kubernetes_removal import member_of, placeholders
from controller.adapters.kubernetes_troubles import no_pod_reason
from controller.core.errors import ClusterForbidden, ClusterNotFound
from controller.core.fleet import PoolView, Replica
from controller.modelpool.objects import entries, name_of, number, part, text
from controller.modelpool.views import is_left_out, view_from_status

LEASE = "spillway-controller"
OURS = {"app.kubernetes.io/name": "spillway"}
COMPONENT = "app.kubernetes.io/component"
GATEWAY, CONTROLLER = "gateway", "controller"
LEARNED = 3  # so many starts must have been seen before they say how long one takes
COLD_START_S, ENGINE_PORT = 180.0, 8000  # as the CRD has them


@dataclass(frozen=True, slots=True, kw_only=True)
class Leader:
    """The controller that leads. `age_s`: since its last sign of life."""

    identity: str
    age_s: float
    lease_s: float

    @property
    def is_alive(self) -> bool:
        """Whether nobody may take its place yet."""
        return self.age_s <= self.lease_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What there is. `leader` None: nobody has ever led, or that may not be read, as `leader_is_known` says."""

    pools: Mapping[str, Json] = field(default_factory=dict)
    views: Mapping[str, PoolView] = field(default_factory=dict)
    pods: Mapping[str, Json] = field(default_factory=dict)
    leader: Leader | None = None
    leader_is_known: bool = True

    def replicas(self) -> dict[str, Replica]:
        """All replicas by their id."""
        return {one.replica_id: one for view in self.views.values() for one in view.replicas}

    def is_told_to_go(self, replica_id: str) -> bool:
        """Whether an operator has said so already."""
        return replica_id in self.pods and is_ordered_away(self.pods[replica_id])

    def leading_pod(self) -> str | None:
        """The pod of the controller that leads, whose identity begins with its name."""
        holder = "" if self.leader is None else self.leader.identity
        names = [name for name in self.pods if holder == name or holder.startswith(f"{name}-")]
        return max(names, key=len, default=None)

    def members(self, component: str) -> tuple[str, ...]:
        """The pods of gateways or controllers that serve, by name."""
        return members_of(self.pods, component)


async def look(client: KubernetesClient, now_s: float) -> Sight:
    """What there is now; ClusterError where it cannot be had."""
    pools, deployments, pods, lease = await asyncio.gather(
        named(client, MODEL_POOLS),
        named(client, DEPLOYMENTS),
        named(client, PODS),
        _lease(client),
    )
    views = {name: _view(name, pool, deployments, pods, now_s) for name, pool in pools.items()}
    leader = None if lease is None else leader_of(lease, now_s)
    return Sight(pools=pools, views=views, pods=pods, leader=leader, leader_is_known=lease is not None)


async def ready_members(client: KubernetesClient, component: str) -> tuple[str, ...]:
    """The same without a look at anything else."""
    return members_of(await named(client, PODS), component)


def members_of(pods: Mapping[str, Json], component: str) -> tuple[str, ...]:
    """The pods of gateways or controllers that serve, by name."""
    wanted = {**OURS, COMPONENT: component}
    return tuple(
        name
        for name, pod in pods.items()
        if wanted.items() <= (pod["metadata"].get("labels") or {}).items() and is_active(pod) and is_ready(pod)
    )


def leader_of(lease: Json, now_s: float) -> Leader | None:
    """Who leads by the lease; None where nobody does."""
    spec = part(lease, "spec")
    renewed_s, holder = unix_s(spec.get("renewTime")), text(spec, "holderIdentity")
    if renewed_s is None or not holder:
        return None
    lease_s = float(number(spec, "leaseDurationSeconds") or 0)
    return Leader(identity=holder, age_s=max(0.0, now_s - renewed_s), lease_s=lease_s)


def cold_start_s(pool: Json) -> float:
    """How long a start takes: as seen, once there were some; else as its spec says."""
    seen = [one for one in entries(part(pool, "status"), "coldStartSeconds") if isinstance(one, int)]
    if len(seen) >= LEARNED:
        return float(median(seen))
    return float(number(part(pool, "spec", "autoscale"), "coldStartSeconds") or COLD_START_S)


def _view(name: str, pool: Json, deployments: Mapping[str, Json], pods: Mapping[str, Json], now_s: float) -> PoolView:
    spec, status = part(pool, "spec"), part(pool, "status")
    deployment = deployments.get(text(part(spec, "scaleTargetRef"), "name"))
    if deployment is None or is_left_out(status):
        return view_from_status(name, status, ())
    port, start_s = number(part(spec, "engine"), "port") or ENGINE_PORT, cold_start_s(pool)
    own = pods_of(deployment, pods.values())
    replicas = [replica_of(pod, pool=name, port=port, cold_start_s=start_s) for pod in own]
    places = Places(name_of(deployment))
    asked_for = number(part(deployment, "spec"), "replicas")
    places.become(
        placeholders([member_of(pod) for pod in own], 1 if asked_for is None else asked_for, frozenset()), now_s
    )
    replicas += places.replicas(name, no_pod_reason(deployment), start_s)
    return view_from_status(name, status, replicas)


async def named(client: KubernetesClient, kind: Kind, query: Mapping[str, str] | None = None) -> dict[str, Json]:
    """The objects of a kind by name; `query`: which of them."""
    found = await client.get(kind.path(client.namespace), query or {})
    return {name_of(item): item for item in found.get("items") or []}


async def _lease(client: KubernetesClient) -> Json | None:
    """The lease of the controllers; empty where nobody has taken it, None where it may not be read."""
    try:
        return await client.get(LEASES.path(client.namespace, LEASE))
    except ClusterNotFound:
        return {}
    except ClusterForbidden:
        return None
