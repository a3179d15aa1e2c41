"""Deployments of the real controller manager get pods that a stand-in node runs, each with an engine of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from tests.cluster.admin_client import AdminClient, Json
from tests.cluster.handle import ControlPlane
from tests.cluster.stand_in_node import StandInNode

SOON_S = 60.0
LABELS = {"app": "pool", "app.kubernetes.io/component": "engine"}
pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]


@dataclass
class Switch:
    """An engine that only knows whether it listens."""

    address: str
    on: bool = False
    busy: bool = False

    async def listen(self) -> None:
        """It is on."""
        self.on = True

    async def die(self) -> None:
        """It is off."""
        self.on = False

    def is_idle(self) -> bool:
        """Whether it may go."""
        return not self.busy


def deployment(name: str, replicas: int) -> dict[str, object]:
    """A Deployment whose pods the node looks after."""
    container = {"name": "engine", "image": "engine", "ports": [{"containerPort": 8000}]}
    spec = {"containers": [container], "terminationGracePeriodSeconds": 2}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": LABELS},
            "template": {"metadata": {"labels": LABELS}, "spec": spec},
        },
    }


@asynccontextmanager
async def place(
    plane: ControlPlane, namespace: str, replicas: int, room: int | None = None
) -> AsyncIterator[tuple[AdminClient, StandInNode, dict[str, Switch]]]:
    """A namespace with one Deployment and a node for it."""
    engines: dict[str, Switch] = {}

    def make_engine(name: str, address: str, _port: int) -> Switch:
        engines[name] = Switch(address)
        return engines[name]

    api = AdminClient(plane.server, plane.certificates)
    node = StandInNode(api, namespace, make_engine, cold_start_s=0.1, room=room)
    space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
    await api.call("POST", "/api/v1/namespaces", space)
    await api.call("POST", f"/apis/apps/v1/namespaces/{namespace}/deployments", deployment("pool", replicas))
    running = asyncio.create_task(node.run())
    try:
        yield api, node, engines
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await api.close()
        await asyncio.sleep(0.05)  # for the transports to close


async def until(api: AdminClient, namespace: str, **wanted: int) -> Mapping[str, Json]:
    """The pods by name, once the Deployment counts so many."""
    async with asyncio.timeout(SOON_S):
        while True:
            found = await api.get(f"/apis/apps/v1/namespaces/{namespace}/deployments/pool")
            status = found.get("status") or {}
            if all(int(status.get(name) or 0) == count for name, count in wanted.items()):
                pods = await api.get(f"/api/v1/namespaces/{namespace}/pods")
                return {str(one["metadata"]["name"]): one for one in pods["items"]}
            await asyncio.sleep(0.05)


async def scale(api: AdminClient, namespace: str, replicas: int) -> None:
    """The Deployment shall have so many."""
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments/pool/scale"
    await api.patch(path, {"spec": {"replicas": replicas}})


async def test_pods_get_ready_with_engines_of_their_own(deploying_plane: ControlPlane) -> None:
    """Each at its own address; after a shrink the one of the lowest cost is gone, and its engine with it."""
    async with place(deploying_plane, "ready", 3) as (api, node, engines):
        pods = await until(api, "ready", readyReplicas=3)
        assert len({one["status"]["podIP"] for one in pods.values()}) == 3
        assert {engines[name].address for name in pods} == {one["status"]["podIP"] for one in pods.values()}
        assert all(engine.on for engine in engines.values())
        chosen = sorted(pods)[1]
        cost = {"metadata": {"annotations": {"controller.kubernetes.io/pod-deletion-cost": "-100"}}}
        await api.patch(f"/api/v1/namespaces/ready/pods/{chosen}", cost)
        await asyncio.sleep(0.5)  # for the controller manager to see it
        await scale(api, "ready", 2)
        left = await until(api, "ready", readyReplicas=2, replicas=2)
        async with asyncio.timeout(SOON_S):
            while chosen in node.wards:
                await asyncio.sleep(0.02)
        assert chosen not in left or left[chosen]["metadata"].get("deletionTimestamp")
        assert not engines[chosen].on


async def test_pods_without_room_wait_and_say_so(deploying_plane: ControlPlane) -> None:
    """Once there is room they start."""
    async with place(deploying_plane, "full", 2, room=1) as (api, node, _):
        pods = await until(api, "full", readyReplicas=1, replicas=2)
        async with asyncio.timeout(SOON_S):
            while not any(one["status"].get("conditions") and not one["spec"].get("nodeName") for one in pods.values()):
                pods = await until(api, "full", readyReplicas=1)
        waiting = next(one for one in pods.values() if not one["spec"].get("nodeName"))
        assert waiting["status"]["conditions"][0]["reason"] == "Unschedulable"
        await node.set_room(2)
        await until(api, "full", readyReplicas=2)


async def test_a_pod_crashes_or_goes_silent(deploying_plane: ControlPlane) -> None:
    """The first is seen in its status, the second is not."""
    async with place(deploying_plane, "broken", 2) as (api, node, engines):
        first, second = await until(api, "broken", readyReplicas=2)
        await node.silence(first)
        await node.crash(second)
        pods = await until(api, "broken", readyReplicas=1)
        assert not any(engine.on for engine in engines.values())
        state = pods[second]["status"]["containerStatuses"][0]
        assert state["state"]["waiting"]["reason"] == "CrashLoopBackOff"
        assert state["restartCount"] == 1
        assert pods[first]["status"]["containerStatuses"][0]["ready"]
