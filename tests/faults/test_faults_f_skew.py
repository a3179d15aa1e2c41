"""Fault group F, skew: the ModelPool resource and what stands in it are of the next release, or of the one before."""

from __future__ import annotations

import asyncio
import copy
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.api_asked import APPLY
from tests.cluster.handle import ControlPlane
from tests.cluster.programs import ROOT
from tests.faults.cluster_fleet import PAIR, Fleet
from tests.faults.fleet_on_kubernetes import fleet_row
from tests.faults.gateway_process import POOL
from tests.faults.play import play
from tests.faults.world import eventually

pytestmark = [pytest.mark.faults, pytest.mark.cluster, pytest.mark.timeout(400)]

LIMIT_S = 300.0
QUIET_S = 10.0
PATIENCE_S = 150.0  # of the row itself, on a busy machine
SAID_S = 30.0
CRD = ROOT / "helm" / "ops" / "files" / "modelpool-crd.yaml"
MANAGER = "spillway-controller"
MEMORY = "spillway-controller-memory"
LACKING = ("saturationPercent", "coldStartSeconds")  # of a status, in the release before
Json = dict[str, Any]


def _of_the_next_release(crd: Json) -> None:
    """New fields with defaults, a new way to route, a new format of weights."""
    spec, status = _parts(crd)
    spec["later"] = {"type": "object", "default": {}, "properties": {"level": {"type": "integer", "default": 3}}}
    spec["autoscale"]["properties"]["laterSeconds"] = {"type": "integer", "default": 7}
    spec["engine"]["properties"]["weights"]["enum"].append("Fp4")
    status["later"] = {"type": "object", "properties": {"level": {"type": "integer"}}}
    status["replicas"]["properties"]["sleeping"] = {"type": "integer"}
    status["routing"]["properties"]["mode"]["enum"].append("Balanced")


def _of_the_release_before(crd: Json) -> None:
    """What was added last is not there yet."""
    spec, status = _parts(crd)
    del spec["autoscale"]["properties"]["homeUsePercent"]
    del status["lastDecision"]["properties"]["constraintsApplied"]
    for name in LACKING:
        del status[name]


def _parts(crd: Json) -> tuple[Json, Json]:
    parts = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
    return parts["spec"]["properties"], parts["status"]["properties"]


@asynccontextmanager
async def _resource(plane: ControlPlane, change: Callable[[Json], None]) -> AsyncIterator[None]:
    """The cluster's ModelPool resource is another one."""
    ours: Json = yaml.safe_load(CRD.read_text(encoding="utf-8"))
    theirs = copy.deepcopy(ours)
    change(theirs)
    await asyncio.to_thread(plane.apply, theirs)
    try:
        yield
    finally:
        await asyncio.to_thread(plane.apply, ours)


def _newer_status(said: Json) -> Json:
    """As a controller of the next release would have it."""
    added = {"type": "Balanced", "status": "True", "reason": "AsLater", "message": "later"}
    return {
        **said,
        "later": {"level": 5},
        "replicas": {**said["replicas"], "sleeping": 1},
        "routing": {**said["routing"], "mode": "Balanced"},
        "conditions": [*said["conditions"], {**added, "lastTransitionTime": "2026-11-01T00:00:00Z"}],
    }


async def _taken_up(fleet: Fleet) -> dict[str, Any]:
    """The status of a pool for which the controller of this release has spoken again."""

    async def is_so() -> bool:
        return (await fleet.status())["routing"]["mode"] == "Local"

    await eventually(is_so, within_s=PATIENCE_S, every_s=0.2)
    return await fleet.status()


def test_f2_resource_of_the_next_release(tmp_path: Path, fleet_plane: ControlPlane) -> None:
    """Gateway and controller of this release among objects of the next: nothing crashes, is lost, or is scaled."""

    async def scene() -> None:
        async with fleet_row(fleet_plane, tmp_path, PAIR, "F2", "objects of the next release") as (fleet, line):
            async with _resource(fleet_plane, _of_the_next_release):
                began_s, pool = time.monotonic(), fleet.path("modelpools", POOL)
                line.injected()
                fleet.controller.is_kept = False
                await asyncio.to_thread(fleet.controller.stop)
                await _said_by_the_next_release(fleet, pool)
                await fleet.ask_for(QUIET_S)
                line.detected()
                fleet.controller.start()
                fleet.controller.is_kept = True
                said = await _taken_up(fleet)
                await fleet.ask_for(3.0)
                assert "later" not in said
                assert "Balanced" not in {one["type"] for one in said["conditions"]}
                assert (await fleet.api.get(pool))["spec"]["later"] == {"level": 9}
                assert fleet.history.counts(POOL, began_s) == []
                await fleet.pin(3)
                line.within("back_s", await fleet.settles(3), SAID_S)
                await _weights_not_known(fleet, pool)
                await fleet.api.patch(pool, {"spec": {"later": None}})
            assert fleet.controller.lives == 2
            line.healed()
            fleet.all_answered()

    play(scene(), LIMIT_S)


async def _said_by_the_next_release(fleet: Fleet, pool: str) -> None:
    """Spec, status and memory are as its controller leaves them."""

    async def is_served() -> bool:
        await fleet.api.patch(pool, {"spec": {"later": {"level": 9}, "autoscale": {"laterSeconds": 8}}})
        return bool((await fleet.api.get(pool))["spec"].get("later") == {"level": 9})

    await eventually(is_served, within_s=PATIENCE_S, every_s=0.5)
    named = {"apiVersion": "spillway.dev/v1alpha1", "kind": "ModelPool", "metadata": {"name": POOL}}
    body = {**named, "status": _newer_status(await fleet.status())}
    query = {"fieldManager": MANAGER, "force": "true"}
    await fleet.api.call("PATCH", f"{pool}/status", body, query=query, content_type=APPLY)
    assert (await fleet.status())["routing"]["mode"] == "Balanced"
    path = f"/api/v1/namespaces/{fleet.namespace}/configmaps/{MEMORY}"
    await fleet.api.patch(path, {"binaryData": {"memory.z": "bGF0ZXI="}})


async def _weights_not_known(fleet: Fleet, pool: str) -> None:
    """What only the next release understands is said in the pool's conditions, and the pool goes on as it was."""
    before = (await fleet.api.get(pool))["spec"]["engine"]["weights"]
    await fleet.api.patch(pool, {"spec": {"engine": {"weights": "Fp4"}}})

    async def is_said() -> bool:
        said = await fleet.condition("Stalled")
        return said.get("status") == "True" and "weights" in said["message"]

    await eventually(is_said, within_s=PATIENCE_S, every_s=0.2)
    await fleet.ask_for(3.0)
    await fleet.api.patch(pool, {"spec": {"engine": {"weights": before}}})

    async def is_over() -> bool:
        return (await fleet.condition("Stalled")).get("status") == "False"

    await eventually(is_over, within_s=PATIENCE_S, every_s=0.2)


def test_f2_resource_of_the_release_before(tmp_path: Path, fleet_plane: ControlPlane) -> None:
    """A resource that lacks what this release says: all else is said, not more often than ever, and the fleet obeys."""

    async def scene() -> None:
        async with fleet_row(fleet_plane, tmp_path, PAIR, "F2", "resource of the release before") as (fleet, line):
            async with _resource(fleet_plane, _of_the_release_before):
                line.injected()
                asking = asyncio.create_task(fleet.ask_for(PATIENCE_S))
                await fleet.pin(3)
                line.within("said_s", await fleet.settles(3), SAID_S)
                line.detected()
                said = await fleet.status()
                assert not [name for name in LACKING if name in said], said
                began_s = time.monotonic()
                await asyncio.sleep(QUIET_S)
                writes = [
                    one
                    for one in fleet.controller.proxy.since(began_s)
                    if one.asked.is_write and one.asked.resource == "modelpools/status"
                ]
                line.figures["writes_per_s"] = round(len(writes) / QUIET_S, 1)
                assert len(writes) <= QUIET_S / 2, [json.loads(one.body).get("status") for one in writes]
                await fleet.pin(2)
                line.within("back_s", await fleet.settles(2), SAID_S)
                asking.cancel()
            assert fleet.controller.lives == 1
            line.healed()
            fleet.all_answered()

    play(scene(), LIMIT_S)
