"""The Lease and the memory are their controller's Deployment's, so that the cluster takes them away with it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from controller.adapters.kubernetes_client import KubernetesClient
from controller.adapters.kubernetes_kinds import Json
from controller.adapters.kubernetes_lease import KubernetesLease
from controller.adapters.kubernetes_memory import KubernetesMemory
from controller.adapters.kubernetes_owner import Nobody, owned
from tests.adapters.cluster_world import LEASES, Controller, behind, pool_with_pods
from tests.adapters.fake_api_objects import status_error
from tests.adapters.fake_apiserver import FakeApiServer, running_apiserver
from tests.adapters.fake_deployments import DEPLOYMENTS, PODS, deployment
from tests.adapters.kubernetes_world import until

CONFIG_MAPS = "/api/v1/configmaps"
LEASE, MEMORY = "spillway-controller", "spillway-controller-memory"
OURS = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "ops-controller", "uid": "u-1"}
ANOTHER = {**OURS, "uid": "u-2"}
THEIRS = {"apiVersion": "v1", "kind": "ConfigMap", "name": "theirs", "uid": "u-9"}


@dataclass
class Said:
    """An owner as a test says it."""

    reference_: Json | None = None
    known: bool = True

    def is_known(self) -> bool:
        return self.known

    def reference(self) -> Json | None:
        return self.reference_


@asynccontextmanager
async def both_of(api: FakeApiServer, owner: Said) -> AsyncIterator[tuple[KubernetesLease, KubernetesMemory]]:
    client = KubernetesClient(api.access(), timeout_s=3.0)
    lease = KubernetesLease(client, identity="a", owner=owner, pace=0.01)
    memory = KubernetesMemory(client, epoch=lambda: lease.epoch, owner=owner)
    try:
        await memory.load()
        yield lease, memory
    finally:
        await client.close()


async def kept(memory: KubernetesMemory, data: bytes) -> bool:
    memory.keep(data)
    await memory.flush()
    return await memory.settled()


def owners(api: FakeApiServer) -> list[Any]:
    found = (api.get(LEASES, LEASE), api.get(CONFIG_MAPS, MEMORY))
    return [one["metadata"].get("ownerReferences") for one in found]


async def test_what_is_made_has_its_owner() -> None:
    """Lease and memory are made with it, keep it over their writes, and a successor of the same owner adds none."""
    async with running_apiserver() as api:
        for data in (b"one", b"two"):
            async with both_of(api, Said(OURS)) as (lease, memory):
                await lease.acquire()
                assert await kept(memory, data)
                await lease._renew()
                assert await kept(memory, data + b"!")
                assert owners(api) == [[OURS], [OURS]]
                await lease.release()


async def test_what_an_older_controller_made_is_made_ours() -> None:
    """An owner is added beside those that are there; the memory is the one that was kept."""
    async with running_apiserver() as api:
        async with both_of(api, Said()) as (lease, memory):
            await lease.acquire()
            assert await kept(memory, b"learned")
            await lease.release()
        assert owners(api) == [None, None]
        item = api.get(CONFIG_MAPS, MEMORY)
        await api.put(CONFIG_MAPS, {**item, "metadata": {**item["metadata"], "ownerReferences": [THEIRS]}})
        async with both_of(api, Said(OURS)) as (lease, memory):
            await lease.acquire()
            assert memory.last() == b"learned"
            assert await kept(memory, b"more")
        assert owners(api) == [[OURS], [THEIRS, OURS]]


async def test_where_owners_may_not_be_changed_they_stay() -> None:
    """A cluster that lets only those set owners who may delete refuses once, and all else goes on."""
    async with running_apiserver() as api:
        async with both_of(api, Said()) as (lease, memory):
            await lease.acquire()
            assert await kept(memory, b"learned")
            await lease.release()
        refused: list[str] = []

        def no(call: web.Request) -> tuple[int, Json] | None:
            if call.method != "PUT" or call.path in refused:
                return None
            refused.append(call.path)
            return 403, status_error(403, "Forbidden", "cannot set an ownerRef on a resource you can't delete")

        api.faults.append(no)
        async with both_of(api, Said(OURS)) as (lease, memory):
            await lease.acquire()
            assert await kept(memory, b"one")
            await lease._renew()
            assert await kept(memory, b"two")
            assert lease.holds()
        assert (len(refused), owners(api)) == (2, [None, None])


async def test_a_lease_waits_for_its_owner_but_not_for_ever() -> None:
    """It is made once the owner is known; where nothing can be found out, after some seconds without one."""
    async with running_apiserver() as api:
        owner = Said(known=False)
        async with both_of(api, owner) as (lease, _):
            waiting = asyncio.create_task(lease.acquire(), name="lease")
            await until(lambda: len(api.calls) > 2)
            assert not api.has(LEASES, LEASE)
            owner.reference_, owner.known = OURS, True
            await asyncio.wait_for(waiting, 5.0)
            assert api.get(LEASES, LEASE)["metadata"]["ownerReferences"] == [OURS]
        await api.drop(LEASES, LEASE)
        now_s = [1000.0]
        client = KubernetesClient(api.access(), timeout_s=3.0)
        late = KubernetesLease(client, identity="b", owner=Said(known=False), clock_s=lambda: now_s[0], pace=0.01)
        waiting, calls = asyncio.create_task(late.acquire(), name="late"), len(api.calls)
        await until(lambda: len(api.calls) > calls + 2)
        assert not waiting.done()
        now_s[0] += 5.0
        await asyncio.wait_for(waiting, 5.0)
        await client.close()


async def test_a_lease_made_anew_is_above_the_one_before() -> None:
    """Somebody deleted it: its successor's memory is not taken for that of an older controller."""
    async with running_apiserver() as api:
        for made, hands in (("2026-11-01T00:00:00Z", 7), ("2026-11-01T00:00:01Z", 0)):
            await api.put(
                LEASES,
                {
                    "metadata": {"name": LEASE, "creationTimestamp": made},
                    "spec": {"holderIdentity": "", "leaseTransitions": hands, "leaseDurationSeconds": 1},
                },
            )
            async with both_of(api, Said()) as (lease, memory):
                await lease.acquire()
                assert await kept(memory, made.encode())
            await api.drop(LEASES, LEASE)
        async with both_of(api, Said()) as (_, memory):
            assert memory.last() == b"2026-11-01T00:00:01Z"


@pytest.mark.parametrize(
    ("there", "owner", "after"),
    [
        ([], OURS, [OURS]),
        ([THEIRS], OURS, [THEIRS, OURS]),
        ([OURS], ANOTHER, [OURS, ANOTHER]),
        ([OURS, THEIRS], OURS, [OURS, THEIRS]),
        ([THEIRS], None, [THEIRS]),
    ],
)
def test_owners_are_added_by_uid(there: list[Json], owner: Json | None, after: list[Json]) -> None:
    """One of another uid is another one, whatever its name; nobody adds nothing."""
    assert owned({"name": "x", "ownerReferences": there}, owner)["ownerReferences"] == after
    assert owned({"name": "x"}, Nobody().reference()) == {"name": "x"}


async def test_a_controller_finds_its_deployment_by_its_pod(tmp_path: Path) -> None:
    """Pod, ReplicaSet, Deployment: the owner is known, also once the Deployment is being deleted."""
    async with running_apiserver() as api, behind(api):
        await pool_with_pods(api, "p")
        owner = {"kind": "ReplicaSet", "name": "ops-controller-abc", "uid": "r", "controller": True}
        labels = {"app": "ops-controller", "pod-template-hash": "abc"}
        metadata = {"name": "ops-controller-abc-1", "labels": labels, "ownerReferences": [owner]}
        await api.put(PODS, {"metadata": metadata, "spec": {}, "status": {}})
        await api.put(DEPLOYMENTS, deployment("ops-controller", 1))
        one = Controller(api.access(), tmp_path, "ops-controller-abc-1")
        one.start()
        await until(lambda: api.has(CONFIG_MAPS, MEMORY))
        uid = api.get(DEPLOYMENTS, "ops-controller")["metadata"]["uid"]
        assert owners(api) == [[{**OURS, "uid": uid}], [{**OURS, "uid": uid}]]
        await api.drop(DEPLOYMENTS, "ops-controller")
        await api.drop(CONFIG_MAPS, MEMORY)
        one.cluster._memory.keep(b"late")
        await until(lambda: api.has(CONFIG_MAPS, MEMORY))
        assert owners(api)[1] == [{**OURS, "uid": uid}]
        await one.kill()
