"""Fault group D, refusals: the API says no for one pool of two; somebody else scales it too."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.cluster.handle import ControlPlane
from tests.faults import fleet_objects
from tests.faults.cluster_fleet import Fleet, Shape
from tests.faults.fleet_on_kubernetes import fleet_row, running_task
from tests.faults.gateway_process import POOL
from tests.faults.play import play
from tests.faults.rows import Row
from tests.faults.world import eventually

pytestmark = [pytest.mark.faults, pytest.mark.cluster, pytest.mark.timeout(400)]

LIMIT_S = 300.0
OTHER = "other"
TWO = Shape(pools=(POOL, OTHER))
SAID_S, HEALED_S = 30.0, 90.0  # the longest pause between two tries is 60 s
PATIENCE_S = 150.0  # of the row itself, on a busy machine
TRIES_MOST = 8  # in 30 s, of 1, 2, 4, 8 and 16 s apart; each may ask for the number first
WRITES_PER_MINUTE = 4
TELLING = ("Stalled", "Ready", "CapacityUnavailable")  # conditions that say so for five minutes


@asynccontextmanager
async def _rights_taken(fleet: Fleet) -> AsyncIterator[None]:
    """The controller may scale the other pool only."""
    path = fleet.path("roles", fleet_objects.CONTROLLER)
    role = await fleet.api.get(path)
    rules = [
        {**rule, "resourceNames": [OTHER]} if rule["resources"] == ["deployments/scale"] else rule
        for rule in role["rules"]
    ]
    await fleet.api.patch(path, {"rules": rules})
    try:
        yield
    finally:
        await fleet.api.patch(path, {"rules": role["rules"]})


@asynccontextmanager
async def _quota(fleet: Fleet) -> AsyncIterator[None]:
    """One pod more is allowed, and the other pool takes it."""
    path, counted = fleet.path("resourcequotas"), 4  # the gateway's, one of each pool, one more
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "pods"}}
    await fleet.api.call("POST", path, {**quota, "spec": {"hard": {"count/pods": str(counted)}}})

    async def is_counted() -> bool:
        status = (await fleet.api.get(f"{path}/pods")).get("status") or {}
        return "count/pods" in (status.get("used") or {})

    await eventually(is_counted, within_s=PATIENCE_S, every_s=0.1)
    await fleet.pin(2, OTHER)
    await fleet.settles(2, OTHER)
    try:
        yield
    finally:
        await fleet.api.call("DELETE", f"{path}/pods")


@asynccontextmanager
async def _admission(fleet: Fleet) -> AsyncIterator[None]:
    """A policy of the cluster's owner forbids to scale this pool."""
    group, name = "/apis/admissionregistration.k8s.io/v1", f"no-scaling-{fleet.namespace}"
    kinds = {"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["UPDATE"], "resources": ["deployments/scale"]}
    spec = {
        "matchConstraints": {"resourceRules": [kinds]},
        "validations": [{"expression": f"object.metadata.name != '{POOL}'", "message": "change freeze until Monday"}],
    }
    here = {"matchLabels": {"kubernetes.io/metadata.name": fleet.namespace}}
    policy = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy"}
    binding = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding"}
    bound = {"policyName": name, "validationActions": ["Deny"], "matchResources": {"namespaceSelector": here}}
    plural = "validatingadmissionpolicies"
    await fleet.api.call("POST", f"{group}/{plural}", {**policy, "metadata": {"name": name}, "spec": spec})
    bindings = f"{group}/validatingadmissionpolicybindings"
    await fleet.api.call("POST", bindings, {**binding, "metadata": {"name": name}, "spec": bound})
    await asyncio.sleep(3.0)  # for the API to compile it
    try:
        yield
    finally:
        await fleet.api.call("DELETE", f"{bindings}/{name}")
        await fleet.api.call("DELETE", f"{group}/{plural}/{name}")


def _answered(
    status: int, reason: str, message: str
) -> Callable[[Fleet], contextlib.AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def befalling(fleet: Fleet) -> AsyncIterator[None]:
        fault = fleet.controller.proxy.fail(
            status, verb="update", resource="deployments/scale", name=POOL, reason=reason, message=message
        )
        try:
            yield
        finally:
            fault.lift()

    return befalling


REFUSALS: dict[str, tuple[Callable[[Fleet], contextlib.AbstractAsyncContextManager[None]], str, str]] = {
    "rights taken away": (_rights_taken, "Stalled", "Forbidden"),
    "quota": (_quota, "", "QuotaExceeded"),
    "admission": (_admission, "Stalled", "Refused"),
    "409 storm": (_answered(409, "Conflict", "the object has been modified"), "", ""),
    "422": (_answered(422, "Invalid", "spec.replicas: Invalid value"), "Stalled", "Refused"),
    "429": (_answered(429, "TooManyRequests", "please try again later"), "", ""),
    "500": (_answered(500, "InternalError", "etcdserver: request timed out"), "", ""),
}


async def _is_said(fleet: Fleet, kind: str, reason: str) -> bool:
    """Whether a condition of the pool says so."""
    conditions = (await fleet.status()).get("conditions") or []
    return any(one["status"] == "True" and kind in ("", one["type"]) and one["reason"] == reason for one in conditions)


@pytest.mark.parametrize("what", REFUSALS)
def test_d8_refused_for_one_pool(tmp_path: Path, fleet_plane: ControlPlane, what: str) -> None:
    """A condition says so within 30 s, tries get rare, the other pool goes on; once allowed, it is done."""
    fault, kind, reason = REFUSALS[what]

    async def scene() -> None:
        async with fleet_row(fleet_plane, tmp_path, TWO, "D8", f"refused: {what}") as (fleet, line):
            async with fault(fleet):
                line.injected()
                began_s = time.monotonic()
                await fleet.pin(2)
                if reason:
                    line.within(
                        "said_s",
                        await eventually(lambda: _is_said(fleet, kind, reason), within_s=PATIENCE_S, every_s=0.2),
                        SAID_S,
                    )
                line.detected()
                await fleet.ask_for(max(5.0, began_s + SAID_S - time.monotonic()))
                tries = [
                    one
                    for one in fleet.controller.proxy.since(began_s)
                    if one.asked.name == POOL and one.asked.is_write and one.asked.resource == "deployments/scale"
                ]
                assert len(tries) <= TRIES_MOST, len(tries)
                line.figures["tries"] = len(tries)
                if what != "quota":
                    await fleet.pin(2, OTHER)
                    line.within("other_s", await fleet.settles(2, OTHER), SAID_S)
            line.within("back_s", await fleet.settles(2), HEALED_S)
            line.healed()
            fleet.all_answered()

            async def is_over() -> bool:
                return not await _is_said(fleet, kind, reason)

            await eventually(is_over, within_s=PATIENCE_S, every_s=0.2)

    play(scene(), LIMIT_S)


async def _repeat(work: Callable[[], Awaitable[object]], every_s: float) -> None:
    while True:
        await work()
        await asyncio.sleep(every_s)


@asynccontextmanager
async def _script(fleet: Fleet) -> AsyncIterator[None]:
    """Sets one replica three times a second, as the API knows this process: Python."""
    path = fleet.path("deployments", POOL, "scale")

    async def set_back() -> None:
        await fleet.api.patch(path, {"spec": {"replicas": 1}})

    async with running_task("hostile", _repeat(set_back, 0.3)):
        yield


@asynccontextmanager
async def _autoscaler(fleet: Fleet) -> AsyncIterator[None]:
    """A HorizontalPodAutoscaler that lets the Deployment have one replica at the most, kept by the real controller."""
    path = fleet.path("horizontalpodautoscalers")
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": POOL}
    spec = {"scaleTargetRef": target, "minReplicas": 1, "maxReplicas": 1}
    scaler = {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": POOL}}
    await fleet.api.call("POST", path, {**scaler, "spec": spec})
    try:
        yield
    finally:
        await fleet.api.call("DELETE", f"{path}/{POOL}")


OTHERS = {
    "a script": (_script, "Python"),
    "a HorizontalPodAutoscaler": (_autoscaler, "kube-controller-manager"),
}


async def _is_told(fleet: Fleet, line: Row, manager: str) -> None:
    """While the other goes on: who it is, in a condition and an Event, and no fight."""
    line.injected()
    began_s = time.monotonic()
    await fleet.pin(3)
    line.within(
        "said_s",
        await eventually(lambda: _is_said(fleet, "Stalled", "FoughtOver"), within_s=PATIENCE_S, every_s=0.2),
        SAID_S * 2,
    )
    line.detected()
    await fleet.ask_for(max(10.0, began_s + 60.0 - time.monotonic()))
    writes = [one for one in fleet.controller.proxy.writes(began_s) if one.asked.resource == "deployments/scale"]
    minutes = (time.monotonic() - began_s) / 60.0
    line.figures["writes_per_min"] = round(len(writes) / minutes, 1)
    assert len(writes) <= WRITES_PER_MINUTE * max(1.0, minutes)
    assert "FoughtOver" in await fleet.events()
    said = (await fleet.condition("Stalled"))["message"]
    assert f"'{manager}' has set `spec.replicas`" in said, said


@pytest.mark.parametrize("who", OTHERS)
def test_d10_somebody_else_scales(tmp_path: Path, fleet_plane: ControlPlane, who: str) -> None:
    """At most four writes a minute, a condition and an Event that say who; when they stop, ours is what holds."""
    other, manager = OTHERS[who]

    async def scene() -> None:
        async with fleet_row(fleet_plane, tmp_path, Shape(), "D10", f"scaled by {who}, too", excused=TELLING) as (
            fleet,
            line,
        ):
            async with other(fleet):
                await _is_told(fleet, line, manager)
            line.within("back_s", await fleet.settles(3), HEALED_S * 2)
            line.healed()

    play(scene(), 380.0)
