"""What our adapters rely on, of the fake API server in `make test` and of the real one in `make test-cluster`."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from controller.adapters.kubernetes_access import kubeconfig_access
from controller.adapters.kubernetes_client import KubernetesClient
from controller.adapters.kubernetes_events import Happening, KubernetesEvents
from controller.adapters.kubernetes_kinds import CONFIG_MAPS, DEPLOYMENTS, EVENTS, MODEL_POOLS, Json, Kind
from controller.adapters.kubernetes_lease import KubernetesLease
from controller.adapters.kubernetes_memory import KubernetesMemory
from controller.adapters.kubernetes_pools import slim_model_pool
from controller.adapters.kubernetes_scaling import Scaling, scaled_by, slim_deployment
from controller.adapters.kubernetes_watch import KubernetesWatch
from controller.core.errors import ClusterConflict, ClusterInvalid, ClusterNotFound, ClusterUnavailable
from controller.modelpool.pins import pin_word
from controller.modelpool.undeclared import Undeclared
from tests.adapters.cluster_world import model_pool
from tests.adapters.fake_apiserver import running_apiserver
from tests.adapters.kubernetes_world import until

CRD = Path(__file__).parents[2] / "helm/ops/files/modelpool-crd.yaml"


class Real:
    """A namespace of its own on the real one."""

    def __init__(self, plane: Any) -> None:
        self.plane = plane
        plane.kubectl("apply", "--server-side", "-f", str(CRD))
        plane.kubectl("wait", "--for=condition=Established", "crd/modelpools.spillway.dev", "--timeout=30s")

    def namespace(self) -> str:
        name = f"contract-{secrets.token_hex(4)}"
        self.plane.kubectl("create", "namespace", name)
        return name


REAL = pytest.param("real", marks=[pytest.mark.cluster, pytest.mark.timeout(300)])


@pytest.fixture(params=["fake", REAL])
def place(request: pytest.FixtureRequest) -> Real | None:
    """None: the fake."""
    return None if request.param == "fake" else Real(request.getfixturevalue("control_plane"))


@asynccontextmanager
async def client_of(place: Real | None) -> AsyncIterator[KubernetesClient]:
    async with running_apiserver() as api:
        if place is None:
            access = api.access()
        else:
            access = await kubeconfig_access(str(place.plane.kubeconfig), context=None, namespace=place.namespace())
        client = KubernetesClient(access)
        try:
            yield client
        finally:
            await client.close()
            await asyncio.sleep(0.25)  # for transports with TLS to close


def deployment(name: str, replicas: int = 1) -> Json:
    container = {"name": "c", "image": "none.invalid/none"}
    template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [container]}}
    spec = {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}


def config_map(name: str, **data: str) -> Json:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


@asynccontextmanager
async def watching(client: KubernetesClient, kind: Kind, **options: Any) -> AsyncIterator[KubernetesWatch]:
    watch = KubernetesWatch(client, kind, first_pause_s=0.05, **options)
    task = asyncio.create_task(watch.run(), name="watch")
    try:
        assert await watch.wait_synced(20.0)
        yield watch
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_objects_come_change_and_go(place: Real | None) -> None:
    """Making twice, writing over a younger version, deleting another one: all refused, each by its error."""
    async with client_of(place) as client:
        all_of_them, path = CONFIG_MAPS.path(client.namespace), CONFIG_MAPS.path(client.namespace, "m")
        with pytest.raises(ClusterNotFound):
            await client.get(path)
        made = await client.create(all_of_them, config_map("m", n="1"))
        with pytest.raises(ClusterConflict):
            await client.create(all_of_them, config_map("m", n="1"))
        patched = await client.patch(path, {"data": {"n": "2"}})
        assert patched["data"] == {"n": "2"}
        with pytest.raises(ClusterConflict):
            await client.replace(path, {**made, "data": {"n": "3"}})
        with pytest.raises(ClusterInvalid, match=r"metadata\.uid"):
            await client.patch(path, {"metadata": {"uid": "another"}, "data": {"n": "4"}})
        with pytest.raises(ClusterConflict):
            await client.delete(path, uid="another")
        assert (await client.get(path))["data"] == {"n": "2"}
        await client.delete(path, uid=made["metadata"]["uid"])
        with pytest.raises(ClusterNotFound):
            await client.get(path)


async def test_the_number_of_replicas_is_fenced(place: Real | None) -> None:
    """A write for an older version is refused; who wrote it is noted, and it is us."""
    async with client_of(place) as client:
        await client.create(DEPLOYMENTS.path(client.namespace), deployment("d"))
        path = DEPLOYMENTS.path(client.namespace, "d", "scale")
        old = await client.get(path)
        assert old["spec"]["replicas"] == 1
        written = await client.replace(path, {**old, "spec": {"replicas": 2}})
        assert written["spec"]["replicas"] == 2
        with pytest.raises(ClusterConflict):
            await client.replace(path, {**old, "spec": {"replicas": 3}})
        found = await client.get(DEPLOYMENTS.path(client.namespace, "d"))
        assert (found["spec"]["replicas"], scaled_by(found)) == (2, "spillway")
        assert found["metadata"]["resourceVersion"] == written["metadata"]["resourceVersion"]


async def test_a_number_that_somebody_else_has_set(place: Real | None) -> None:
    """The watch tells; what was decided for another number is not written; then it is said who it was."""
    async with client_of(place) as client:
        await client.create(DEPLOYMENTS.path(client.namespace), deployment("d"))
        async with watching(client, DEPLOYMENTS, slim=slim_deployment) as watch:
            scaling = Scaling(client, lambda: watch.objects, lambda: 1000.0)
            assert await scaling.change("d", +1) == 2
            path = DEPLOYMENTS.path(client.namespace, "d", "scale")
            await client.patch(path, {"spec": {"replicas": 7}}, params={"fieldManager": "greedy"})
            await until(lambda: scaling.replicas("d") == 7)
            assert "while this pool is scaled here" in scaling.fought_over("d")


async def test_status_by_server_side_apply(place: Real | None) -> None:
    """Fields that are said no more are gone, the spec stays, a write for an older version is refused."""
    async with client_of(place) as client:
        made = await client.create(MODEL_POOLS.path(client.namespace), model_pool("p"))
        path = MODEL_POOLS.path(client.namespace, "p", "status")

        def said(version: str, **status: Any) -> Json:
            metadata = {"name": "p", "resourceVersion": version}
            return {"apiVersion": "spillway.dev/v1alpha1", "kind": "ModelPool", "metadata": metadata, "status": status}

        version = made["metadata"]["resourceVersion"]
        full = said(version, saturationPercent=40, replicas={"ready": 1, "desired": 2})
        first = await client.apply(path, full, manager="spillway-controller")
        assert first["status"] == {"saturationPercent": 40, "replicas": {"ready": 1, "desired": 2}}
        with pytest.raises(ClusterConflict):
            await client.apply(path, said(version, saturationPercent=90), manager="spillway-controller")
        version = first["metadata"]["resourceVersion"]
        less = await client.apply(path, said(version, replicas={"ready": 2}), manager="spillway-controller")
        assert less["status"] == {"replicas": {"ready": 2}}
        assert less["spec"]["model"] == "llama-8b-self"
        assert less["metadata"]["generation"] == made["metadata"]["generation"]


async def test_a_field_that_the_schema_lacks(place: Real | None) -> None:
    """One such field in a status, and all of it is refused, in words that name the field; without it all is taken."""
    async with client_of(place) as client:
        await client.create(MODEL_POOLS.path(client.namespace), model_pool("p"))
        path = MODEL_POOLS.path(client.namespace, "p", "status")
        head = {"apiVersion": MODEL_POOLS.api_version, "kind": MODEL_POOLS.name, "metadata": {"name": "p"}}
        status = {"saturationPercent": 40, "notDeclared": {"level": 1}}
        known = Undeclared()
        with pytest.raises(ClusterUnavailable) as refused:
            await client.apply(path, {**head, "status": status}, manager="m")
        assert known.hear(str(refused.value), 0.0)
        assert known.paths in {("notDeclared",), ("notDeclared.level",)}
        written = await client.apply(path, {**head, "status": {"saturationPercent": 40}}, manager="m")
        assert written["status"] == {"saturationPercent": 40}


@pytest.mark.parametrize("place", [REAL], indirect=True)  # the fake notes owners of replica numbers alone
async def test_who_has_set_a_pin_is_kept(place: Real | None) -> None:
    """Of those who manage fields, the one of the pin, so that the pin says whose it is, and no others."""
    async with client_of(place) as client:
        await client.create(MODEL_POOLS.path(client.namespace), model_pool("p"))
        path = MODEL_POOLS.path(client.namespace, "p")
        pinned = await client.patch(path, {"spec": {"pin": {"replicas": 2}}}, params={"fieldManager": "kubectl-scale"})
        kept = slim_model_pool(pinned)
        fields = [one["fieldsV1"] for one in kept["metadata"]["managedFields"]]
        assert {(*one, *one["f:spec"]) for one in fields} == {("f:spec", "f:pin")}
        word = pin_word(kept, 0.0)
        assert word is not None
        assert word.pin.who == "kubectl-scale"


@pytest.mark.parametrize("place", [REAL], indirect=True)  # the fake knows no rules of kinds
async def test_what_makes_no_sense_is_invalid(place: Real | None) -> None:
    """An object that breaks a rule of its kind is refused as such."""
    async with client_of(place) as client:
        wrong = model_pool("p", replicas={"min": 3, "max": 2})
        with pytest.raises(ClusterInvalid, match="must be less than or equal to"):
            await client.create(MODEL_POOLS.path(client.namespace), wrong)
        with pytest.raises(ClusterNotFound):
            await client.get(Kind(group="/apis/nobody.dev/v1", plural="things", name="Thing").path(client.namespace))


async def test_a_watch_tells_all_changes(place: Real | None) -> None:
    """What is there, what comes, changes and goes, over the end of a window, with one list."""
    async with client_of(place) as client:
        many, one = CONFIG_MAPS.path(client.namespace), CONFIG_MAPS.path(client.namespace, "a")
        await client.create(many, config_map("a", n="1"))
        async with watching(client, CONFIG_MAPS, window_s=1) as watch:
            assert watch.objects["a"]["data"] == {"n": "1"}
            await client.patch(one, {"data": {"n": "2"}})
            await until(lambda: watch.objects["a"]["data"] == {"n": "2"})
            await client.create(many, config_map("b"))
            await until(lambda: "b" in watch.objects)
            await asyncio.sleep(1.5)
            await client.delete(one)
            await until(lambda: "a" not in watch.objects)
            assert watch.age_s() < 5.0
            lists = client.metrics._lists
            assert [count for (kind, why), count in lists.items() if kind == "configmaps"] == [1]


async def test_a_version_from_long_ago_means_a_list(place: Real | None) -> None:
    """A watch that asks for a version that the API never had, or has no more, lists anew and goes on."""
    async with client_of(place) as client:
        await client.create(CONFIG_MAPS.path(client.namespace), config_map("a"))
        async with watching(client, CONFIG_MAPS, window_s=1) as watch:
            await until(lambda: client.metrics._lists != {})
            watch._store.version = "1"
            await client.create(CONFIG_MAPS.path(client.namespace), config_map("b"))
            await until(lambda: "b" in watch.objects)


async def test_the_lease_changes_hands(place: Real | None) -> None:
    """Taken, held against others, given up, taken over with a later epoch; the loser notices."""
    async with client_of(place) as client:
        now = [1000.0]
        one, other = (
            KubernetesLease(client, identity=name, clock_s=lambda: now[0], pace=0.02) for name in ("one", "other")
        )
        await one.acquire()
        waiting = asyncio.create_task(other.acquire(), name="standby")
        await until(lambda: other.holder == one.identity)
        await one._renew()
        await until(lambda: other._lease == one._lease)
        assert not waiting.done()
        now[0] += 13.0
        await asyncio.wait_for(waiting, 10.0)
        first = one.epoch
        assert other.epoch == first + 1
        assert not one.holds()
        await other.release()
        await asyncio.wait_for(one.acquire(), 10.0)
        assert one.epoch == first + 2


async def test_memory_is_kept_and_fenced(place: Real | None) -> None:
    """A later epoch writes over an earlier one, and not the other way round."""
    async with client_of(place) as client:
        old, young = (KubernetesMemory(client, epoch=lambda epoch=epoch: epoch) for epoch in (1, 2))
        for memory, data in ((old, b"old"), (young, b"young"), (old, b"late")):
            memory.keep(data)
            await memory.flush()
        again = KubernetesMemory(client, epoch=lambda: 3)
        await again.load()
        assert again.last() == b"young"


async def test_events_are_taken_and_counted(place: Real | None) -> None:
    """One Event, its count when it comes again, and another one for other words: those of an Event never change."""
    async with client_of(place) as client:
        about = await client.create(MODEL_POOLS.path(client.namespace), model_pool("p"))
        events = KubernetesEvents(client, instance="controller-0")
        for note in ("full", "full", "fuller"):
            events.tell(Happening(about=about, kind="Warning", reason="SpillStarted", action="Route", note=note))
        task = asyncio.create_task(events.run(), name="events")
        counts: dict[str, int | None] = {}
        while counts != {"full": 2, "fuller": None}:
            await asyncio.sleep(0.05)
            found = (await client.get(EVENTS.path(client.namespace)))["items"]
            counts = {one["note"]: (one.get("series") or {}).get("count") for one in found}
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert {one["reason"] for one in found} == {"SpillStarted"}


def test_the_crd_names_what_we_ask_for() -> None:
    """Group, version and plural are those of the definition."""
    definition = yaml.safe_load(CRD.read_text(encoding="utf-8"))["spec"]
    group, version = MODEL_POOLS.api_version.split("/")
    assert (definition["group"], definition["names"]["plural"], definition["names"]["kind"]) == (
        group,
        MODEL_POOLS.plural,
        MODEL_POOLS.name,
    )
    assert version in [one["name"] for one in definition["versions"]]
