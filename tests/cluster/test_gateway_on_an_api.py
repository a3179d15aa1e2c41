"""A gateway process on a real API: pods that drain and come, an API that is killed, a start without it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.adapters.kubernetes_kinds import Json
from tests.adapters.fleet_objects import NAME, model_pool, routing
from tests.cli.gateway_in_cluster import InCluster, until
from tests.cluster.handle import ControlPlane
from tests.cluster.start_control_plane import start_control_plane
from tests.faults.caller import ANSWERED
from tests.faults.gateway_process import GatewayProcess
from tests.faults.stub import Stub, running
from tests.faults.stub_scripts import answer
from tests.modelpool.pool_cases import crd

NAMESPACE = "gateway-fleet"
pytestmark = [pytest.mark.cluster, pytest.mark.timeout(480)]


@pytest.fixture(scope="module")
def plane() -> Iterator[ControlPlane]:
    """One that may be killed."""
    started = start_control_plane()
    try:
        started.apply(crd())
        started.kubectl("wait", "--for=condition=Established", "--timeout=30s", "crd/modelpools.spillway.dev")
        started.kubectl("create", "namespace", NAMESPACE)
        yield started
    finally:
        started.remove()


def _pod(name: str) -> Json:
    """A pod of the Deployment's ReplicaSet, which nobody here acts on."""
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": f"{NAME}-5d9", "uid": "u1", "controller": True}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"pod-template-hash": "5d9"}, "ownerReferences": [owner]},
        "spec": {"containers": [{"name": "engine", "image": "none"}]},
    }


def _patch(plane: ControlPlane, kind: str, name: str, status: Json) -> None:
    words = ("patch", kind, name, "-n", NAMESPACE, "--subresource=status", "--type=merge", "-p")
    plane.kubectl(*words, json.dumps({"status": status}))


def _ready(plane: ControlPlane, name: str) -> None:
    plane.kubectl("create", "-n", NAMESPACE, "-f", "-", given=json.dumps(_pod(name)))
    ready = {"type": "Ready", "status": "True", "lastTransitionTime": "2026-11-26T09:02:00Z"}
    _patch(
        plane,
        "pod",
        name,
        {"phase": "Running", "podIP": "127.0.0.1", "podIPs": [{"ip": "127.0.0.1"}], "conditions": [ready]},
    )


def _furnish(plane: ControlPlane, engine_port: int) -> None:
    found = model_pool(engine={"port": engine_port})
    made = {**found, "metadata": {"name": NAME}}
    plane.kubectl("create", "-n", NAMESPACE, "-f", "-", given=json.dumps(made))
    _patch(plane, "spool", NAME, routing(observedGeneration=1))


async def _counts(gateway: GatewayProcess, ready: int) -> None:
    """Returns once the gateway routes to so many ready replicas."""

    async def does() -> bool:
        pools = json.loads(await gateway.page("/v1/loads"))["pools"]
        return bool(pools.get(NAME, {}).get("ready") == ready)

    await until(does)


async def test_a_gateway_follows_pods_and_outlives_the_api(plane: ControlPlane, tmp_path: Path) -> None:
    """It serves what is ready, leaves what drains, and needs the API neither to go on nor to start again."""
    engine = Stub("engine-1", answer(), marker="word-")
    async with running(engine):
        here = InCluster(engine, tmp_path / "gateway", plane.kubeconfig, NAMESPACE)
        await asyncio.to_thread(_furnish, plane, here.engine_port)
        await asyncio.to_thread(_ready, plane, "a")
        async with here.gateway() as gateway:
            await here.ready(gateway)
            await _counts(gateway, 1)
            assert (await here.ask()).end == ANSWERED
            words = ("annotate", "pod", "a", "-n", NAMESPACE, "spillway.dev/draining=2026-11-26T10:00:00Z")
            await asyncio.to_thread(plane.kubectl, *words)
            await _counts(gateway, 0)
            await asyncio.to_thread(_ready, plane, "b")
            await _counts(gateway, 1)
            assert (await here.ask()).end == ANSWERED
            await until(lambda: _has_kept(here, "b"))
            await asyncio.to_thread(plane.component("kube-apiserver").kill)
            assert (await here.ask()).end == ANSWERED
        async with here.gateway() as again:
            await here.ready(again)
            assert (await again.metrics())["spillway_fleet_from_disk"] == 1.0
            assert (await here.ask()).end == ANSWERED
            await asyncio.to_thread(plane.component("kube-apiserver").start)
            await asyncio.to_thread(plane.until_ready)
            await asyncio.to_thread(_ready, plane, "c")
            await _counts(again, 2)
            await until(lambda: _is_by_the_api(again))


async def _is_by_the_api(gateway: GatewayProcess) -> bool:
    return (await gateway.metrics())["spillway_fleet_from_disk"] == 0.0


async def _has_kept(here: InCluster, pod: str) -> bool:
    kept = here.folder / "run" / "cluster.json"
    return kept.exists() and any(one["metadata"]["name"] == pod for one in json.loads(kept.read_bytes())["pods"])
