"""A gateway's picture of the cluster: pools from ModelPools, replicas from pods, kept fresh by two watches.

Satisfies `gateway.ports.FleetFeed`. A pod that drains or turns ready is known within moments, by its own event and not
by way of the controller. While the Kubernetes API is away the last picture stands, also over a restart of the gateway
(`cluster_copy`). Pools that change are worked out on a thread and handed to whoever was named by `on_pools`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import inf

import structlog

from controller.adapters.cluster_copy import ClusterCopy, Known
from controller.adapters.kubernetes_client import KubernetesClient
from controller.adapters.kubernetes_kinds import MODEL_POOLS, PODS, Json
from controller.adapters.kubernetes_objects import slim_pod
from controller.adapters.kubernetes_views import Views
from controller.adapters.kubernetes_watch import KubernetesWatch
from controller.config.settings import Settings
from controller.core.fleet import FleetView
from controller.modelpool.cluster_pools import ClusterBase, ClusterPools, cluster_pools, versions_of

log = structlog.get_logger()

GATHER_S = 0.02  # events come in bursts: one look for those that come together
DISK_AFTER_S = 3.0  # the API has not answered by then: what was kept is taken
KEEP_EVERY_S = 2.0
_Versions = frozenset[tuple[str, str, int]]  # name, uid, generation


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebased:
    """Another spillway.yaml, and the pools by it; `versions`: of the specs that it was worked out with."""

    base: ClusterBase
    pools: ClusterPools
    versions: _Versions


class KubernetesFleet:
    """One per gateway. `settings` are those with the pools there are now."""

    def __init__(
        self,
        client: KubernetesClient,
        base: ClusterBase,
        copy: ClusterCopy,
        *,
        now_s: Callable[[], float] = time.time,
        disk_after_s: float = DISK_AFTER_S,
    ) -> None:
        self._client, self._base, self._copy = client, base, copy
        self._now_s, self._disk_after_s = now_s, disk_after_s
        self._pools_watch = KubernetesWatch(client, MODEL_POOLS)
        self._pods_watch = KubernetesWatch(client, PODS, slim=slim_pod)
        self._views = Views()
        self._known: ClusterPools = cluster_pools(base, ())
        self._versions: _Versions | None = None
        self._earlier: Known | None = None  # as it was kept before this start
        self._disk: Known | None = None  # the same, while it is the picture
        self._accepted: dict[str, Json] = {}  # the good pools, with the specs that they go by
        self._on_pools: Callable[[Settings], object] = lambda _: None
        self._news = asyncio.Event()
        self._kept_at_s, self._kept = -inf, self._worth_keeping
        for watch in (self._pools_watch, self._pods_watch):
            watch.on_change(self._news.set)

    @property
    def settings(self) -> Settings:
        """spillway.yaml with the pools that are good."""
        return self._known.settings

    @property
    def is_known(self) -> bool:
        """Whether there is a picture: of the cluster now, or the one that was kept."""
        return self._versions is not None

    @property
    def from_disk(self) -> bool:
        """Whether it is the one that was kept."""
        return self._disk is not None

    def view(self) -> FleetView:
        """The fleet as last known: one attribute, cheap enough for every request."""
        return self._views.view

    def on_pools(self, taker: Callable[[Settings], object]) -> None:
        """Afterwards `taker` gets the settings, on the event loop, each time the pools have changed."""
        self._on_pools = taker

    def worked_out(self, base: ClusterBase) -> Rebased:
        """What the pools there are come to with another spillway.yaml; for a thread."""
        objects = list(self._pools().values())
        return Rebased(base=base, pools=cluster_pools(base, objects, self._known), versions=versions_of(objects))

    def rebase(self, found: Rebased) -> Settings:
        """The settings by it; from now on pools are checked against that spillway.yaml."""
        pools = found.pools
        if self._versions is not None and found.versions != self._versions:  # a pool that came meanwhile stays
            pools = cluster_pools(found.base, list(self._pools().values()), self._known)
        self._base, self._known = found.base, pools
        if self._versions is not None:
            self._versions = frozenset()  # they may have changed while it was worked out
            self._news.set()
        return self._known.settings

    async def watch(self) -> None:
        """Keeps the picture fresh until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._pools_watch.run(), name="modelpool-watch")
            group.create_task(self._pods_watch.run(), name="pod-watch")
            await self._begin()
            try:
                await self._follow()
            finally:
                if self._is_news_to_disk:
                    self._copy.keep(self._to_keep())

    async def _follow(self) -> None:
        while True:
            self._news.clear()
            self._look()
            await self._work_out()
            if self._is_news_to_disk and time.monotonic() - self._kept_at_s >= KEEP_EVERY_S:
                await asyncio.to_thread(self._copy.keep, self._to_keep())
            await self._wait_for_news(KEEP_EVERY_S if self._is_news_to_disk else None)
            await asyncio.sleep(GATHER_S)

    async def close(self) -> None:
        """Afterwards no connection is open."""
        await self._client.close()

    async def _begin(self) -> None:
        """Returns once the cluster has been listed, or what was kept is to do until it is."""
        deadline_s = time.monotonic() + self._disk_after_s
        self._earlier = await asyncio.to_thread(self._copy.last, self._client.namespace)
        while True:
            self._news.clear()  # else one list that is there already would keep this loop from ever waiting
            if self._synced:
                return
            left_s = deadline_s - time.monotonic()
            if left_s <= 0 and self._earlier is not None:
                self._disk = self._earlier
                log.warning("fleet_from_disk", age_s=round(self._now_s() - self._disk.at_s, 1))
                return
            await self._wait_for_news(max(left_s, self._disk_after_s / 2))

    @property
    def _synced(self) -> bool:
        return self._pools_watch.is_synced and self._pods_watch.is_synced

    def _pools(self) -> Mapping[str, Json]:
        if self._disk is not None and not self._pools_watch.is_synced:
            return {str(item["metadata"]["name"]): item for item in self._disk.pools}
        return self._pools_watch.objects

    def _pods(self) -> Mapping[str, Json]:
        if self._disk is not None and not self._pods_watch.is_synced:
            return {str(item["metadata"]["name"]): item for item in self._disk.pods}
        return self._pods_watch.objects

    def _look(self) -> None:
        """The view is brought up to date."""
        if self._disk is not None and self._synced:
            self._disk = None
            log.info("fleet_from_cluster")
        if self._views.look(self._known.good, self._pools(), self._pods(), self._now_s()):
            log.debug("fleet_changed", revision=self._views.view.revision)

    async def _work_out(self) -> None:
        """Where specs have changed: the pools, then who goes by them, then the view."""
        objects = list(self._pools().values())
        versions = versions_of(objects)
        if versions == self._versions:
            return
        base = self._base
        known = await asyncio.to_thread(self._pools_by, base, objects)
        if base is not self._base:  # replaced meanwhile: once more
            self._news.set()
            return
        self._known = known
        specs = {str(item["metadata"]["name"]): item for item in objects}
        accepted = self._accepted if self._versions is not None else self._accepted_earlier(objects)
        self._earlier = None
        sources = {name: (accepted if name in known.kept else specs).get(name) for name in known.good}
        self._accepted = {name: source for name, source in sources.items() if source is not None}
        self._look()  # before requests may ask for a new pool
        self._versions = versions
        for name, problems in self._known.problems.items():
            told = [str(problem) for problem in problems if problem.severity == "error"]
            if told:
                log.warning("pool_refused", pool=name, problems=told, goes_on=name in self._known.kept)
        self._on_pools(self._known.settings)

    def _pools_by(self, base: ClusterBase, objects: Sequence[Json]) -> ClusterPools:
        """Pools that are refused go on as before; at the first look as before this start."""
        known = self._known
        if self._versions is None:
            known = cluster_pools(base, self._accepted_earlier(objects).values())
        return cluster_pools(base, objects, known)

    def _accepted_earlier(self, objects: Sequence[Json]) -> dict[str, Json]:
        return {} if self._earlier is None else self._earlier.accepted(objects)

    @property
    def _is_news_to_disk(self) -> bool:
        return self._worth_keeping != self._kept and self._disk is None

    @property
    def _worth_keeping(self) -> tuple[int, frozenset[str]]:
        """What is another one when there is something to keep."""
        return self._views.view.revision, self._known.kept

    def _to_keep(self) -> Known:
        """What is known now, for a gateway that starts while the cluster is away."""
        self._kept, self._kept_at_s = self._worth_keeping, time.monotonic()
        return Known(
            at_s=self._now_s(),
            namespace=self._client.namespace,
            pools=tuple(self._pools().values()),
            pods=tuple(self._pods().values()),
            good=tuple(self._accepted[name] for name in sorted(self._known.kept & self._accepted.keys())),
        )

    async def _wait_for_news(self, limit_s: float | None) -> None:
        try:
            async with asyncio.timeout(limit_s):
                await self._news.wait()
        except TimeoutError:
            pass
