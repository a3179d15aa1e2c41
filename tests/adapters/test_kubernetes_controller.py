"""A controller on a cluster from its start to its end: status, pins, bad pools, takeover, and what it answers."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from controller.adapters.kubernetes_lease import LeaseLost
from tests.adapters.cluster_world import (
    LEASES,
    MODEL_POOLS,
    Controller,
    behind,
    condition,
    pool_with_pods,
    rights_listed,
    rights_used,
    status_of,
)
from tests.adapters.fake_api_objects import status_error
from tests.adapters.fake_apiserver import FakeApiServer, running_apiserver
from tests.adapters.fake_deployments import DEPLOYMENTS, PODS
from tests.adapters.kubernetes_world import until


async def test_a_controller_takes_over_a_cluster(tmp_path: Path) -> None:
    """It leads, says so, writes the status of each pool, follows a pin, and ends with the lease given up."""
    async with running_apiserver() as api, behind(api):
        await pool_with_pods(api, "p")
        one = Controller(api.access(), tmp_path, "one")
        one.start()
        await until(lambda: status_of(api, "p").get("replicas", {}).get("ready") == 1)
        assert await one.ask("/readyz") == (200, "leader\n")
        assert "spillway_controller_leader 1.0" in (await one.ask("/metrics"))[1]
        assert '"p"' in (await one.ask("/v1/status"))[1]
        assert status_of(api, "p")["selector"] == "app=p"
        assert condition(api, "p", "Ready")["status"] == "True"
        item = api.get(MODEL_POOLS, "p")
        pin = {"routing": "Auto", "replicas": 3, "scaling": "Auto", "who": "kim", "reason": "show"}
        await api.put(MODEL_POOLS, {**item, "spec": {**item["spec"], "pin": pin}})
        await until(lambda: status_of(api, "p")["replicas"]["ready"] == 3)
        assert api.get(DEPLOYMENTS, "p")["spec"]["replicas"] == 3
        assert status_of(api, "p")["pin"]["who"] == "kim"
        assert condition(api, "p", "Paused")["status"] == "True"
        os.kill(os.getpid(), signal.SIGTERM)
        assert one.task is not None
        await asyncio.wait_for(one.task, 10.0)
        assert api.get(LEASES, "spillway-controller")["spec"]["holderIdentity"] == ""
        assert api.has("/api/v1/configmaps", "spillway-controller-memory")
        assert [one["reason"] for one in api.named("/apis/events.k8s.io/v1/events")].count("Pinned") == 1


async def test_a_bad_pool_is_told_alone(tmp_path: Path) -> None:
    """An unknown model and a target that is not there: conditions on those pools, and the others go on."""
    async with running_apiserver() as api, behind(api):
        await pool_with_pods(api, "good")
        await pool_with_pods(api, "odd", model="llama-9b")
        await pool_with_pods(api, "lost", scaleTargetRef={"name": "nowhere"})
        one = Controller(api.access(), tmp_path, "one")
        one.start()
        await until(lambda: condition(api, "odd", "Stalled").get("status") == "True")
        await until(lambda: condition(api, "lost", "Stalled").get("status") == "True")
        await until(lambda: condition(api, "good", "Ready").get("status") == "True")
        assert "llama-9b" in condition(api, "odd", "Stalled")["message"]
        assert condition(api, "lost", "Stalled")["reason"] == "TargetNotFound"
        item = api.get(MODEL_POOLS, "odd")
        await api.put(MODEL_POOLS, {**item, "spec": {**item["spec"], "model": "mixtral-8x7b-self", **BIG}})
        await until(lambda: condition(api, "odd", "Ready").get("status") == "True")
        await one.kill()


BIG: dict[str, Any] = {
    "instanceType": "p4d.24xlarge",
    "engine": {"tensorParallel": 4, "maxModelLenTokens": 16384, "port": 8000},
}


async def test_a_standby_takes_over_and_goes_on(tmp_path: Path) -> None:
    """The leader dies without a word; the other one leads by what was published, and changes nothing."""
    async with running_apiserver() as api, behind(api):
        await pool_with_pods(api, "p", 2, replicas={"min": 2, "max": 4})
        one, other = (Controller(api.access(), tmp_path / name, name) for name in ("one", "other"))
        one.start()
        await until(lambda: status_of(api, "p").get("replicas", {}).get("ready") == 2)
        other.start()
        await until(lambda: other.cluster.lease.holder == one.cluster.lease.identity)
        status, words = await other.ask("/readyz")
        assert (status, words) == (200, f"standby; the leader is {one.cluster.lease.identity}\n")
        assert "spillway_controller_leader 0.0" in (await other.ask("/metrics"))[1]
        published = status_of(api, "p")
        await one.kill()
        other.cluster.lease._lease._changed_at_s -= 13.0
        await until(other.cluster.lease.holds, 40.0)  # a last renewal may have been seen since: then all of its time
        assert other.cluster.lease.epoch == one.cluster.lease.epoch + 1
        writes = len([path for _, path in api.writes() if "scale" in path])
        await until(
            lambda: (
                api.get("/api/v1/configmaps", "spillway-controller-memory")["metadata"]["annotations"][
                    "spillway.dev/lease-epoch"
                ]
                == str(other.cluster.lease.epoch)
            )
        )
        assert (await other.ask("/readyz"))[1] == "leader\n"
        assert len([path for _, path in api.writes() if "scale" in path]) == writes
        assert status_of(api, "p")["routing"] == published["routing"]
        assert len(api.named(PODS)) == 2
        await other.kill()


async def test_who_loses_the_lease_ends(tmp_path: Path) -> None:
    """Somebody else has it: the process ends with that error, and writes nothing after it."""
    async with running_apiserver() as api, behind(api):
        await pool_with_pods(api, "p")
        one = Controller(api.access(), tmp_path, "one")
        one.start()
        await until(lambda: bool(status_of(api, "p")))
        item = api.get(LEASES, "spillway-controller")
        await api.put(LEASES, {**item, "spec": {**item["spec"], "holderIdentity": "other", "leaseTransitions": 9}})
        assert one.task is not None
        with pytest.raises(ExceptionGroup) as ended:
            await asyncio.wait_for(one.task, 15.0)
        assert ended.group_contains(LeaseLost)
        written = len(api.writes())
        await asyncio.sleep(0.3)
        assert len(api.writes()) == written


async def test_a_stale_picture_is_told_and_nothing_decided(tmp_path: Path) -> None:
    """The API is gone: alive, not ready, no tick that could flip anything; all goes on once it is back."""
    async with running_apiserver() as api, behind(api):
        await pool_with_pods(api, "p")
        one = Controller(api.access(), tmp_path, "one")
        one.start()
        await until(lambda: bool(status_of(api, "p")))
        for watch in one.cluster._all():
            watch.age_s = lambda: 75.0  # type: ignore[method-assign]
        await until(lambda: "pods" in one.cluster.stale())
        status, words = await one.ask("/readyz")
        assert (status, "what is known of pods is 75 s old" in words) == (503, True)
        assert (await one.ask("/healthz"))[0] == 200
        revision = one.cluster._loop.view.revision if one.cluster._loop else 0
        await asyncio.sleep(0.5)
        assert one.cluster._loop is not None
        assert one.cluster._loop.view.revision - revision <= 1
        for watch in one.cluster._all():
            del watch.age_s
        before = one.cluster._loop.view.revision
        await until(lambda: one.cluster._loop is not None and one.cluster._loop.view.revision > before)
        await one.kill()


async def test_an_expired_pin_is_cleared(tmp_path: Path) -> None:
    """It counts no more, is taken out of the object, and an event says so."""
    async with running_apiserver() as api, behind(api):
        pin = {
            "routing": "External",
            "replicas": 0,
            "scaling": "Auto",
            "until": "2026-01-01T00:00:00Z",
            "reason": "old",
        }
        await pool_with_pods(api, "p", pin=pin)
        one = Controller(api.access(), tmp_path, "one")
        one.start()
        await until(lambda: "pin" not in api.get(MODEL_POOLS, "p")["spec"])
        assert status_of(api, "p")["routing"]["mode"] == "Local"
        await one.kill()


async def test_a_refused_status_holds_up_nobody(tmp_path: Path) -> None:
    """The status of one pool may not be written: the others' are, and it is tried ever less often."""
    async with running_apiserver() as api, behind(api):
        await pool_with_pods(api, "p")
        await pool_with_pods(api, "q", model="llama-8b-self")
        refused: list[str] = []

        def forbid(request: Any) -> tuple[int, dict[str, Any]] | None:
            if request.path.endswith("modelpools/p/status"):
                refused.append(request.path)
                return 403, status_error(403, "Forbidden", "modelpools.spillway.dev is forbidden")
            return None

        api.faults.append(forbid)
        one = Controller(api.access(), tmp_path, "one")
        one.start()
        await until(lambda: bool(status_of(api, "q")))
        await asyncio.sleep(1.5)
        assert 1 <= len(refused) <= 3
        assert not status_of(api, "p")
        await one.kill()


async def test_orders_on_pods_are_followed(tmp_path: Path) -> None:
    """A pod that an operator wants to go is drained, replaced and removed."""
    async with running_apiserver() as api, behind(api):
        await pool_with_pods(api, "p", autoscale={"drainDeadlineSeconds": 2, "coldStartSeconds": 1})
        one = Controller(api.access(), tmp_path, "one")
        one.start()
        await until(lambda: status_of(api, "p").get("replicas", {}).get("ready") == 1)
        pod = api.named(PODS)[0]
        name = pod["metadata"]["name"]
        metadata = {**pod["metadata"], "annotations": {"spillway.dev/drain": "true"}}
        await api.put(PODS, {**pod, "metadata": metadata})
        await until(lambda: not api.has(PODS, name), 15.0)
        await until(lambda: len(api.named(PODS)) == 1 and api.get(DEPLOYMENTS, "p")["spec"]["replicas"] == 1)
        await one.kill()


async def pin(api: FakeApiServer, **said: object) -> None:
    """An operator's word about the pool `p`."""
    item = api.get(MODEL_POOLS, "p")
    whole = {"routing": "Auto", "replicas": 0, "scaling": "Auto", **said}
    await api.put(MODEL_POOLS, {**item, "spec": {**item["spec"], "pin": whole}})


async def test_the_rights_that_are_listed_are_those_that_are_used(tmp_path: Path) -> None:
    """In a life with everything in it, each of them, and no other."""
    async with running_apiserver() as api, behind(api) as fleet:
        await pool_with_pods(api, "p", autoscale={"drainDeadlineSeconds": 1, "coldStartSeconds": 1})
        one = Controller(api.access(), tmp_path, "one")
        one.start()
        await until(lambda: status_of(api, "p").get("replicas", {}).get("ready") == 1)
        for count in (2, 3):
            await pin(api, replicas=count)
            await until(lambda count=count: status_of(api, "p")["replicas"]["ready"] == count)
        pod = fleet.pods("p")[0]
        await api.put(PODS, {**pod, "status": {"phase": "Failed"}})
        await until(lambda: not api.has(PODS, pod["metadata"]["name"]))
        await pin(api, replicas=1, until="2026-01-01T00:00:00Z")
        await until(lambda: "pin" not in api.get(MODEL_POOLS, "p")["spec"])
        await pin(api, replicas=1)
        await until(lambda: len(api.named(PODS)) == 1, 15.0)
        await pin(api, replicas=2)  # told before, in the same words: the Event there is counts it
        await until(lambda: rights_used(api) >= rights_listed() - {("coordination.k8s.io", "leases", "update")})
        os.kill(os.getpid(), signal.SIGTERM)
        assert one.task is not None
        await asyncio.wait_for(one.task, 10.0)
        assert rights_used(api) == rights_listed()
