"""The fleet as ModelPools and pods show it to a gateway: who serves, and what the controller has decided. No I/O.

A pod is one of a pool by its owner: the ReplicaSet of the Deployment that the pool names. What a pod says of itself is
the truth about it; what the ModelPool's status says of routing is the controller's word. What has not changed is the
same object as before, so that a word about one pod costs no more than that pod.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from controller.adapters.kubernetes_kinds import Json
from controller.adapters.kubernetes_lives import Lives
from controller.adapters.kubernetes_pods import is_active, is_ready, replica_of
from controller.autoscale.cold_starts import remembered
from controller.core.fleet import FleetView, PoolView, Replica
from controller.modelpool.cluster_pools import GoodPool
from controller.modelpool.objects import part
from controller.modelpool.views import view_from_status

HASH = "pod-template-hash"
GATEWAY = {"app.kubernetes.io/name": "spillway", "app.kubernetes.io/component": "gateway"}


@dataclass(frozen=True, slots=True)
class _Seen:
    """A pod as it was looked at last."""

    pod: Json
    cold_start_s: float
    replica: Replica


def deployment_of(pod: Json) -> str | None:
    """The Deployment whose ReplicaSet owns the pod; None when nothing or something else does."""
    metadata = pod["metadata"]
    for owner in metadata.get("ownerReferences") or []:
        if owner.get("controller") and owner.get("kind") == "ReplicaSet":
            suffix = f"-{(metadata.get('labels') or {}).get(HASH)}"
            name = str(owner["name"])
            return name.removesuffix(suffix) if name.endswith(suffix) else None
    return None


class Views:
    """From one look to the next."""

    def __init__(self) -> None:
        self._lives = Lives()
        self._seen: dict[str, _Seen] = {}
        self.view = FleetView()

    def look(
        self, good: Mapping[str, GoodPool], pools: Mapping[str, Json], pods: Mapping[str, Json], now_s: float
    ) -> bool:
        """Whether anything that requests go by has changed; then `view` is another one."""
        grouped = self._grouped(good, pods)
        found: dict[str, PoolView] = {}
        for name, one in good.items():
            status = part(pools.get(name, {}), "status")
            bare = view_from_status(name, status, ())
            expected_s = remembered(bare.cold_starts_s, ()).expected_s(one.pool.scale.cold_start_s)
            replicas = tuple(self._replica(pod, one, expected_s, now_s) for pod in grouped[one.target.deployment])
            before, view = self.view.pools.get(name), replace(bare, replicas=replicas)
            found[name] = before if before is not None and _routes(before) == _routes(view) else view
        self._forget(grouped.values())
        former, gateways = self.view.pools, max(1, sum(map(_is_gateway, pods.values())))
        is_same = list(former) == list(found) and all(former[name] is view for name, view in found.items())
        if is_same and gateways == self.view.gateways:
            return False
        self.view = FleetView(revision=self.view.revision + 1, published_at_s=now_s, gateways=gateways, pools=found)
        return True

    def _grouped(self, good: Mapping[str, GoodPool], pods: Mapping[str, Json]) -> dict[str, list[Json]]:
        """The pods of each Deployment that a pool has, by name."""
        wanted = {one.target.deployment for one in good.values()}
        grouped: defaultdict[str, list[Json]] = defaultdict(list)
        for _, pod in sorted(pods.items()):
            deployment = deployment_of(pod)
            if deployment in wanted:
                grouped[deployment].append(pod)
        return grouped

    def _replica(self, pod: Json, one: GoodPool, cold_start_s: float, now_s: float) -> Replica:
        metadata = pod["metadata"]
        uid, seen = str(metadata.get("uid") or metadata["name"]), self._seen.get(str(metadata["name"]))
        if seen is not None and seen.pod is pod and seen.cold_start_s == cold_start_s:
            return seen.replica
        replica = replica_of(pod, pool=one.pool.name, port=one.target.port, cold_start_s=cold_start_s)
        replica = self._lives.dated(uid, replica, cold_start_s, now_s)
        self._seen[replica.replica_id] = _Seen(pod, cold_start_s, replica)
        return replica

    def _forget(self, groups: Iterable[list[Json]]) -> None:
        there = {str(pod["metadata"]["name"]): str(pod["metadata"].get("uid")) for pods in groups for pod in pods}
        self._lives.keep(set(there.values()))
        self._seen = {name: seen for name, seen in self._seen.items() if name in there}


def _is_gateway(pod: Json) -> bool:
    """Whether it is a gateway of this installation that takes requests."""
    labels = pod["metadata"].get("labels") or {}
    return GATEWAY.items() <= labels.items() and is_active(pod) and is_ready(pod)


def _routes(view: PoolView) -> tuple[object, ...]:
    """What of a pool a gateway goes by."""
    return view.replicas, view.mode, view.spill_ratio, view.mode_since_s, view.mode_reason, view.cold_starts_s
