"""A platform of ours on a fake API server with fake controllers behind it, and a clock that is set by hand."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial

from controller.adapters.kubernetes_client import KubernetesClient
from controller.adapters.kubernetes_kinds import DEPLOYMENTS, PODS
from controller.adapters.kubernetes_objects import slim_pod
from controller.adapters.kubernetes_platform import KubernetesPlatform
from controller.adapters.kubernetes_scaling import slim_deployment
from controller.adapters.kubernetes_watch import KubernetesWatch
from controller.core.fleet import Replica
from controller.core.pools import EngineArgs, Pool, ScalePolicy, Slo, SpillPolicy
from tests.adapters.fake_apiserver import FakeApiServer, running_apiserver
from tests.adapters.fake_deployments import FakeDeployments, deployment

NOW_S = 1_800_000_000.0


def pool_of(name: str) -> Pool:
    return Pool(
        name=name,
        model="m",
        instance_type="g5.2xlarge",
        engine=EngineArgs(),
        slo=Slo(ttft_p95_s=1.0, tpot_p95_s=0.1),
        scale=ScalePolicy(cold_start_s=100.0),
        spill=SpillPolicy(),
    )


POOL = pool_of("p")


@dataclass(frozen=True)
class At:
    """Where a pool's pods are."""

    deployment: str
    port: int = 8000


async def until(holds: Callable[[], bool], patience_s: float = 10.0) -> None:
    deadline_s = time.monotonic() + patience_s
    while not holds():
        assert time.monotonic() < deadline_s, "it never came true"
        await asyncio.sleep(0.005)


class PlatformWorld:
    """`now_s` is the time; `platform` may be swapped for a successor that knows nothing."""

    def __init__(self, api: FakeApiServer) -> None:
        self.api = api
        self.now_s = NOW_S
        self.behind = FakeDeployments(api)
        self._tasks: list[asyncio.Task[None]] = []
        self.client: KubernetesClient
        self.watches: list[KubernetesWatch] = []
        self.platform: KubernetesPlatform

    async def begin(self, **targets: str) -> None:
        """A controller starts; it knows only what the cluster says."""
        await self.end()
        self.client = KubernetesClient(self.api.access())
        deployments = KubernetesWatch(self.client, DEPLOYMENTS, slim=slim_deployment, first_pause_s=0.02)
        pods = KubernetesWatch(self.client, PODS, slim=slim_pod, first_pause_s=0.02)
        self.watches = [deployments, pods]
        self._tasks = [asyncio.create_task(one.run(), name=one.kind.plural) for one in self.watches]
        for one in self.watches:
            assert await one.wait_synced(10.0)
        self.platform = KubernetesPlatform(self.client, deployments=deployments, pods=pods, now_s=lambda: self.now_s)
        self.platform.takes({pool: At(name) for pool, name in (targets or {"p": "d"}).items()})

    async def end(self) -> None:
        """The controller is gone."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._tasks:
            await self.client.close()
        self._tasks = []

    async def seen(self) -> None:
        """Afterwards the watches know all that is."""
        for one in self.watches:
            resource = f"{one.kind.group}/{one.kind.plural}"
            await until(partial(self._is_seen, one, resource))

    def _is_seen(self, watch: KubernetesWatch, resource: str) -> bool:
        there = {item["metadata"]["name"]: item["metadata"]["resourceVersion"] for item in self.api.named(resource)}
        return there == {name: item["metadata"]["resourceVersion"] for name, item in watch.objects.items()}

    async def settle(self, *, ready: bool = True) -> None:
        """Afterwards the controllers of the cluster have done what they do, and ours has seen it."""
        await self.behind.settle()
        if ready:
            await self.behind.ready()
        await self.seen()

    async def listed(self, pool: Pool = POOL) -> dict[str, Replica]:
        """By id."""
        return {one.replica_id: one for one in await self.platform.list_replicas(pool)}

    async def states(self, pool: Pool = POOL) -> dict[str, str]:
        """By id."""
        return {name: one.state.value for name, one in (await self.listed(pool)).items()}

    def replicas(self, name: str = "d") -> int:
        """How many there shall be."""
        return int(self.api.get("/apis/apps/v1/deployments", name)["spec"]["replicas"])


@asynccontextmanager
async def platform_world(replicas: int = 1, *, ready: bool = True) -> AsyncIterator[PlatformWorld]:
    """One Deployment `d` behind the pool `p`."""
    async with running_apiserver() as api:
        world = PlatformWorld(api)
        await api.put("/apis/apps/v1/deployments", deployment("d", replicas))
        await world.behind.settle()
        if ready:
            await world.behind.ready()
        await world.begin()
        try:
            yield world
        finally:
            await world.end()


def renamed(pool: Pool, name: str) -> Pool:
    """The same pool under another name."""
    return replace(pool, name=name)
