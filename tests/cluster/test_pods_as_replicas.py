"""The platform adapter on a real API and real controllers: ReplicaSets take the pod that was chosen, and no other."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from controller.adapters.kubernetes_access import kubeconfig_access
from controller.adapters.kubernetes_client import KubernetesClient
from controller.adapters.kubernetes_kinds import DEPLOYMENTS, PODS
from controller.adapters.kubernetes_objects import slim_pod
from controller.adapters.kubernetes_platform import KubernetesPlatform
from controller.adapters.kubernetes_scaling import slim_deployment
from controller.adapters.kubernetes_watch import KubernetesWatch
from controller.core.fleet import ReplicaState
from tests.adapters.kubernetes_world import POOL, At
from tests.cluster.admin_client import AdminClient
from tests.cluster.handle import ControlPlane
from tests.cluster.stand_in_node import StandInNode
from tests.cluster.test_stand_in_node import Switch, deployment

SOON_S = 60.0
pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]


@dataclass
class Fleet:
    """One Deployment `d` behind the pool `p`, and the platform that scales it."""

    client: KubernetesClient
    node: StandInNode
    watches: list[KubernetesWatch]
    platform: KubernetesPlatform = field(init=False)

    def __post_init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """A platform that remembers nothing."""
        deployments, pods = self.watches
        self.platform = KubernetesPlatform(self.client, deployments=deployments, pods=pods, now_s=time.time)
        self.platform.takes({"p": At("d")})

    async def states(self) -> dict[str, ReplicaState]:
        return {one.replica_id: one.state for one in await self.platform.list_replicas(POOL)}

    async def until(self, holds: Callable[[dict[str, ReplicaState]], bool]) -> dict[str, ReplicaState]:
        deadline_s = time.monotonic() + SOON_S
        while not holds(found := await self.states()):
            assert time.monotonic() < deadline_s, found
            await asyncio.sleep(0.05)
        return found

    async def ready(self, count: int) -> list[str]:
        """The names of so many ready ones, once there are so many and nothing else."""
        found = await self.until(lambda states: list(states.values()) == [ReplicaState.READY] * count)
        return sorted(found)

    async def replicas(self) -> int:
        scale = await self.client.get(DEPLOYMENTS.path(self.client.namespace, "d", "scale"))
        return int(scale["spec"]["replicas"])


@asynccontextmanager
async def fleet_of(plane: ControlPlane, replicas: int) -> AsyncIterator[Fleet]:
    namespace = f"pods-{secrets.token_hex(4)}"
    plane.kubectl("create", "namespace", namespace)
    access = await kubeconfig_access(str(plane.kubeconfig), context=None, namespace=namespace)
    client = KubernetesClient(access)
    api = AdminClient(plane.server, plane.certificates)
    node = StandInNode(api, namespace, lambda name, address, port: Switch(address), cold_start_s=0.3)
    deployments = KubernetesWatch(client, DEPLOYMENTS, slim=slim_deployment)
    watches = [deployments, KubernetesWatch(client, PODS, slim=slim_pod)]
    tasks = [asyncio.create_task(node.run()), *(asyncio.create_task(one.run()) for one in watches)]
    try:
        await client.create(DEPLOYMENTS.path(namespace), dict(deployment("d", replicas)))
        for watch in watches:
            assert await watch.wait_synced(30.0)
        deadline_s = time.monotonic() + SOON_S
        while "d" not in deployments.objects:
            assert time.monotonic() < deadline_s
            await asyncio.sleep(0.05)
        yield Fleet(client, node, watches)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await client.close()
        await api.close()
        await asyncio.sleep(0.25)  # for transports with TLS to close


async def test_the_pod_that_was_chosen_goes(deploying_plane: ControlPlane) -> None:
    """Of four ready ones the oldest, which no ReplicaSet would take by itself."""
    async with fleet_of(deploying_plane, 4) as fleet:
        pods = await fleet.ready(4)
        oldest = min(await fleet.platform.list_replicas(POOL), key=lambda one: one.started_at_s).replica_id
        await fleet.platform.mark_draining(oldest)
        assert (await fleet.states())[oldest] is ReplicaState.DRAINING
        await asyncio.sleep(1.0)
        await fleet.platform.remove(oldest)
        await fleet.platform.remove(oldest)
        assert await fleet.ready(3) == sorted(set(pods) - {oldest})
        assert await fleet.replicas() == 3


async def test_one_that_starts_is_not_taken_instead(deploying_plane: ControlPlane) -> None:
    """A ready pod goes while another has no node yet; that one stays, and serves once there is room."""
    async with fleet_of(deploying_plane, 2) as fleet:
        pods = await fleet.ready(2)
        await fleet.node.set_room(2)
        await fleet.platform.start(POOL)
        found = await fleet.until(lambda states: len(states) == 3 and not any("#" in name for name in states))
        (waiting,) = [name for name, state in found.items() if state is ReplicaState.WARMING]
        await fleet.platform.mark_draining(pods[0])
        await asyncio.sleep(1.0)
        await fleet.platform.remove(pods[0])
        assert await fleet.ready(2) == sorted([pods[1], waiting])
        assert await fleet.replicas() == 2


async def test_a_successor_shrinks_no_second_time(deploying_plane: ControlPlane) -> None:
    """The one that marked and shrunk is gone; the next one finds the pod going, or gone, and writes nothing."""
    async with fleet_of(deploying_plane, 3) as fleet:
        pods = await fleet.ready(3)
        manager = deploying_plane.component("kube-controller-manager")
        await fleet.platform.mark_draining(pods[1])
        await asyncio.sleep(1.0)
        manager.freeze()
        try:
            await fleet.platform.remove(pods[1])
            fleet.begin()
            while fleet.watches[0].objects["d"]["spec"]["replicas"] != 2:
                await asyncio.sleep(0.01)
            for _ in range(3):
                assert (await fleet.states())[pods[1]] is ReplicaState.DRAINING
                await fleet.platform.remove(pods[1])
        finally:
            manager.thaw()
        assert await fleet.ready(2) == sorted({pods[0], pods[2]})
        assert await fleet.replicas() == 2


async def test_a_rollout_is_left_alone(deploying_plane: ControlPlane) -> None:
    """While pods of an older template are replaced, never more replicas are listed than there shall be."""
    async with fleet_of(deploying_plane, 2) as fleet:
        before = await fleet.ready(2)
        body = {"spec": {"template": {"metadata": {"annotations": {"version": "2"}}}}}
        await fleet.client.patch(DEPLOYMENTS.path(fleet.client.namespace, "d"), body)
        most, deadline_s = 0, time.monotonic() + SOON_S
        while set(before) & (await fleet.states()).keys():
            states = await fleet.states()
            alive = [one for one in states.values() if one in {ReplicaState.READY, ReplicaState.WARMING}]
            most = max(most, len(alive))
            assert time.monotonic() < deadline_s
            await asyncio.sleep(0.01)
        assert most <= 2
        assert len(await fleet.ready(2)) == 2
