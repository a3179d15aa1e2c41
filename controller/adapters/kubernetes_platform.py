"""The platform on Kubernetes: a replica is a pod of the Deployment that a ModelPool names. For `loop.ports.Platform`.

Starting is one more in `spec.replicas`, by the scale subresource. Going is in two phases: the pod is marked as
draining, with the lowest deletion cost; once it is unused, its Deployment is shrunk for it, exactly once, and that
very pod goes (`kubernetes_removal`). Everything that must be known after a crash is on the objects themselves: marks
on pods, the number of replicas on the Deployment. While the picture of the cluster is stale nothing is listed, and so
nothing decided.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Protocol

import structlog

from controller.adapters.kubernetes_backoff import Backoffs
from controller.adapters.kubernetes_client import KubernetesClient
from controller.adapters.kubernetes_kinds import PODS, Json
from controller.adapters.kubernetes_lives import Lives, Places
from controller.adapters.kubernetes_pods import (
    DELETION_COST,
    DRAINING,
    FIRST_TO_GO,
    PodIndex,
    is_active,
    is_marked,
    replica_of,
    selector_words,
)
from controller.adapters.kubernetes_removal import (
    Member,
    Step,
    member_of,
    next_step,
    placeholders,
    shrunk_for,
    uncounted,
)
from controller.adapters.kubernetes_scaling import Scaling
from controller.adapters.kubernetes_troubles import failure_words, missing_words, no_pod_reason, troubles_of
from controller.adapters.kubernetes_watch import STALE_S, KubernetesWatch
from controller.core.errors import ClusterConflict, ClusterError, ClusterInvalid, ClusterNotFound, ClusterUnavailable
from controller.core.fleet import Replica
from controller.core.pools import Pool
from controller.modelpool.facts import Trouble

log = structlog.get_logger()


class Target(Protocol):
    """Whose pods a pool's replicas are, and the port of each that serves."""

    @property
    def deployment(self) -> str:
        """The name of the Deployment."""
        ...

    @property
    def port(self) -> int:
        """Of the engine."""
        ...


class KubernetesPlatform:
    """Lists, starts, drains and removes pods of Deployments."""

    def __init__(
        self,
        client: KubernetesClient,
        *,
        deployments: KubernetesWatch,
        pods: KubernetesWatch,
        now_s: Callable[[], float],
        before_scaling: Callable[[], Awaitable[object]] | None = None,
    ) -> None:
        """`before_scaling`: awaited before each change of a number of replicas, so that a successor knows of it."""
        self._client = client
        self._before_scaling = before_scaling
        self._deployments, self._pods = deployments, pods
        self._now_s = now_s
        self._targets: Mapping[str, Target] = {}
        self._scaling = Scaling(client, lambda: deployments.objects, now_s)
        self._index = PodIndex()
        self._lives: dict[str, Lives] = {}
        self._places: dict[str, Places] = {}
        self._shrunk: dict[str, frozenset[str]] = {}  # by Deployment: pods that it was shrunk for and that are there
        self._pool_of: dict[str, str] = {}  # by replica, as of the last listings
        self._listed: dict[str, tuple[str, ...]] = {}
        self.backoffs = Backoffs(now_s)

    def takes(self, targets: Mapping[str, Target]) -> None:
        """From now on these are the pools, and where their pods are."""
        for name in self._targets.keys() - targets.keys():
            self.backoffs.forget(name)
        self._targets = dict(targets)

    def manages(self, pool: Pool) -> bool:
        """Whether replicas of this pool can be started and stopped here."""
        return pool.name in self._targets

    def fresh(self) -> bool:
        """Whether what is known of Deployments and pods may be acted on."""
        return max(self._deployments.age_s(), self._pods.age_s()) < STALE_S

    async def list_replicas(self, pool: Pool) -> tuple[Replica, ...]:
        """Every pod of the pool, and every place that waits for one; ClusterUnavailable while that is not known."""
        return self.replicas_of(pool)

    def replicas_of(self, pool: Pool) -> tuple[Replica, ...]:
        """The same, at once: all of it is known here."""
        if not self.fresh():
            age_s = max(self._deployments.age_s(), self._pods.age_s())
            raise ClusterUnavailable(f"what is known of the cluster is {age_s:.0f} s old", reason="Stale")
        target, deployment = self._where(pool.name)
        if deployment is None:
            return ()
        pods = self._pods_of(deployment)
        members = [member_of(pod) for pod in pods]
        count, gone = self._count(deployment, members)
        self._scaling.decide_on(target.deployment)
        beyond = uncounted(members, count, gone)
        now_s, cold_start_s = self._now_s(), pool.scale.cold_start_s
        lives = self._lives.setdefault(pool.name, Lives())
        lives.keep({one.uid for one in members})
        found = [
            lives.dated(
                str(pod["metadata"]["uid"]),
                replica_of(pod, pool=pool.name, port=target.port, cold_start_s=cold_start_s),
                cold_start_s,
                now_s,
            )
            for pod in pods
            if pod["metadata"]["name"] not in beyond
        ]
        places = self._places_of(target.deployment)
        places.become(placeholders(members, count, gone), now_s)
        found += places.replicas(pool.name, no_pod_reason(deployment), cold_start_s)
        for name in self._listed.get(pool.name, ()):
            self._pool_of.pop(name, None)
        self._listed[pool.name] = tuple(one.replica_id for one in found)
        self._pool_of |= dict.fromkeys(self._listed[pool.name], pool.name)
        return tuple(found)

    async def start(self, pool: Pool) -> str:
        """Ask for one replica more; the id of the place that waits for its pod.

        A place that was to go stays in place of that: its pod may be there already, only not seen yet.
        """
        target, deployment = self._where(pool.name)
        kept = None if deployment is None else self._places_of(target.deployment).recall(self._now_s())
        if kept is not None:
            log.info("replica_recalled", pool=pool.name, deployment=target.deployment, replica=kept)
            return kept
        with self.backoffs.writing(pool.name):
            if deployment is None:
                raise ClusterNotFound(missing_words(target.deployment), reason="TargetNotFound")
            await self._see_off(deployment)
            count = await self._change(target.deployment, +1)
        log.info("replica_asked_for", pool=pool.name, deployment=target.deployment, replicas=count)
        members = [member_of(pod) for pod in self._pods_of(deployment)]
        places = self._places_of(target.deployment)
        places.become(placeholders(members, *self._count(deployment, members)), self._now_s())
        return places.newest()

    async def mark_draining(self, replica_id: str) -> None:
        """Afterwards it is listed as draining, also by another controller, and would be the first to go."""
        pool = self._pool_of.get(replica_id, "")
        for places in self._places.values():
            places.drain(replica_id)
        pod = self._pods.objects.get(replica_id)
        if pod is None or not is_active(pod) or is_marked(pod):
            return
        since = datetime.fromtimestamp(self._now_s(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        marks = {DRAINING: since, DELETION_COST: FIRST_TO_GO}
        body = {"metadata": {"uid": pod["metadata"]["uid"], "annotations": marks}}
        with self.backoffs.writing(pool):
            try:
                marked = await self._client.patch(PODS.path(self._client.namespace, replica_id), body)
            except ClusterNotFound:
                return
            except ClusterInvalid as error:
                if "metadata.uid" in str(error):
                    return  # that very pod is gone, and another one has its name
                raise
        self._pods.learn(marked)

    async def remove(self, replica_id: str) -> None:
        """Afterwards that very replica is on its way out, and its Deployment has been shrunk for it once."""
        pool = self._pool_of.get(replica_id, "")
        target = self._targets.get(pool)
        if target is None:
            return
        deployment = self._deployments.objects.get(target.deployment)
        pod, places = self._pods.objects.get(replica_id), self._places_of(target.deployment)
        with self.backoffs.writing(pool):
            if deployment is not None and places.has(replica_id):
                await self._change(target.deployment, -1)
                places.drop(replica_id)
            elif pod is not None and not is_active(pod):
                await self._clear_away(pod)
            elif pod is not None and deployment is not None:
                await self._take_out(pool, deployment, pod)

    async def close(self) -> None:
        """Pods go on running. The client is not this one's to close: others have something to write still."""

    def selector_of(self, pool: str) -> str:
        """The label selector of its pods in words; "" where its Deployment is not there."""
        deployment = self._where(pool)[1] if pool in self._targets else None
        return "" if deployment is None else selector_words(deployment["spec"]["selector"])

    def troubles_of(self, pool: str) -> tuple[Trouble, ...]:
        """What is in the way of this pool, for its conditions."""
        if pool not in self._targets:
            return ()
        _, deployment = self._where(pool)
        return troubles_of(self.trouble_of(pool), "" if deployment is None else failure_words(deployment))

    def trouble_of(self, pool: str) -> ClusterError | None:
        """What keeps this pool from being scaled as decided; None where nothing does."""
        target, deployment = self._where(pool)
        if deployment is None:
            return ClusterNotFound(missing_words(target.deployment), reason="TargetNotFound")
        fought = self._scaling.fought_over(target.deployment)
        if fought:
            return ClusterConflict(fought, reason="FoughtOver")
        return self.backoffs.last(pool)

    def _where(self, pool: str) -> tuple[Target, Json | None]:
        target = self._targets.get(pool)
        if target is None:
            raise ClusterNotFound(f"there is no ModelPool '{pool}'", reason="PoolNotFound")
        return target, self._deployments.objects.get(target.deployment)

    def _pods_of(self, deployment: Json) -> tuple[Json, ...]:
        return self._index.of(deployment, self._pods.objects)

    def _places_of(self, deployment: str) -> Places:
        return self._places.setdefault(deployment, Places(deployment))

    def _count(self, deployment: Json, members: list[Member]) -> tuple[int, frozenset[str]]:
        """How many replicas there shall be, and the pods that are there and count no more."""
        name = str(deployment["metadata"]["name"])
        count = self._scaling.replicas(name)
        known = self._shrunk.get(name, frozenset())
        self._shrunk[name] = shrunk_for(members, count, known)
        return count, self._shrunk[name]

    async def _clear_away(self, pod: Json) -> None:
        """What is over is deleted, for nobody else does; what is on its way out is left alone."""
        if pod["metadata"].get("deletionTimestamp") is None:
            await self._delete(pod)

    async def _take_out(self, pool: str, deployment: Json, pod: Json) -> None:
        name, uid = str(deployment["metadata"]["name"]), str(pod["metadata"]["uid"])
        members = [member_of(one) for one in self._pods_of(deployment)]
        count, gone = self._count(deployment, members)
        step = next_step(uid, members, count, gone)
        if step is Step.NOTHING:
            return
        if step is not Step.DELETE:
            self._scaling.check(name)
        if step is not Step.SHRINK:
            await self._delete(pod)
        if step is not Step.DELETE:
            count = await self._change(name, -1)
            self._shrunk[name] = gone | {uid}
        log.info("replica_removed", pool=pool, replica=pod["metadata"]["name"], how=step.value, replicas=count)

    async def _change(self, deployment: str, by: int) -> int:
        if self._before_scaling is not None:
            await self._before_scaling()
        return await self._scaling.change(deployment, by)

    async def _see_off(self, deployment: Json) -> None:
        """Pods that were shrunk for are deleted: one more that is asked for now must not keep them."""
        pods = self._pods_of(deployment)
        _, gone = self._count(deployment, [member_of(one) for one in pods])
        for pod in pods:
            if pod["metadata"]["uid"] in gone:
                await self._delete(pod)

    async def _delete(self, pod: Json) -> None:
        metadata = pod["metadata"]
        path = PODS.path(self._client.namespace, str(metadata["name"]))
        try:
            going = await self._client.delete(path, uid=str(metadata["uid"]))
        except (ClusterNotFound, ClusterConflict):
            return  # that very pod is gone
        if (going.get("metadata") or {}).get("deletionTimestamp") is not None:
            self._pods.learn(going)
