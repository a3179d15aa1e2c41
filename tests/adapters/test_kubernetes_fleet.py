"""A gateway's picture of a cluster, on an API server that answers, is away, and comes back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from structlog.testing import capture_logs

from controller.adapters.cluster_copy import ClusterCopy
from controller.adapters.kubernetes_client import KubernetesClient
from controller.adapters.kubernetes_fleet import KubernetesFleet
from controller.adapters.kubernetes_kinds import Json
from controller.config.settings import Settings
from controller.core.fleet import PoolView, ReplicaState, RoutingMode
from tests.adapters.fake_api_objects import status_error
from tests.adapters.fake_apiserver import FakeApiServer, running_apiserver
from tests.adapters.fleet_objects import NAME, OTHER_BASE, PODS_AT, POOLS_AT, base, model_pool, pod, routing
from tests.adapters.kubernetes_world import until

READY, DRAINING = ReplicaState.READY, ReplicaState.DRAINING
AWAY = (503, status_error(503, "ServiceUnavailable", "etcd is away"))


class Gateway:
    """What a gateway has of it: the feed, and the settings that it was handed."""

    def __init__(self, api: FakeApiServer, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.taken: list[Settings] = []
        client = KubernetesClient(api.access())
        self.fleet = KubernetesFleet(client, base(folder), ClusterCopy(folder), disk_after_s=0.2)
        self.fleet.on_pools(self.taken.append)

    @property
    def pool(self) -> PoolView | None:
        """The one pool."""
        return self.fleet.view().pools.get(NAME)

    def states(self) -> dict[str, ReplicaState]:
        """Of its replicas."""
        return {} if self.pool is None else {one.replica_id: one.state for one in self.pool.replicas}


@asynccontextmanager
async def running(api: FakeApiServer, folder: Path) -> AsyncIterator[Gateway]:
    """A gateway that watches."""
    gateway = Gateway(api, folder)
    task = asyncio.create_task(gateway.fleet.watch())
    try:
        yield gateway
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await gateway.fleet.close()


async def furnished(api: FakeApiServer) -> None:
    """A pool with a ready pod."""
    await api.put(POOLS_AT, model_pool(status=routing()))
    await api.put(PODS_AT, pod("a"))


async def test_pools_and_pods_become_settings_and_a_view(tmp_path: Path) -> None:
    """Known once both were listed."""
    async with running_apiserver() as api:
        await furnished(api)
        async with running(api, tmp_path) as gateway:
            assert not gateway.fleet.is_known
            await until(lambda: gateway.fleet.is_known)
            assert list(gateway.taken[-1].pools) == [NAME]
            assert gateway.states() == {f"{NAME}-a": READY}
            assert not gateway.fleet.from_disk


async def test_an_empty_cluster_is_known_too(tmp_path: Path) -> None:
    """It has no pools; external models are served."""
    async with running_apiserver() as api, running(api, tmp_path) as gateway:
        await until(lambda: gateway.fleet.is_known)
        assert gateway.taken[-1].pools == {}


async def test_draining_and_ready_pods_are_known_at_once(tmp_path: Path) -> None:
    """By their own events: the controller may take as long as it likes to say it in a status."""
    async with running_apiserver() as api:
        await furnished(api)
        async with running(api, tmp_path) as gateway:
            await until(lambda: gateway.fleet.is_known)
            began_s = time.monotonic()
            await api.put(PODS_AT, pod("a", draining=True))
            await until(lambda: gateway.states()[f"{NAME}-a"] is DRAINING)
            await api.put(PODS_AT, pod("b", ip="10.0.0.2"))
            await until(lambda: gateway.states().get(f"{NAME}-b") is READY)
            await api.drop(PODS_AT, f"{NAME}-a")
            await until(lambda: f"{NAME}-a" not in gateway.states())
            assert time.monotonic() - began_s < 5.0
            assert len(gateway.taken) == 1, "no spec has changed"


async def test_the_mode_of_a_pool_follows_its_status(tmp_path: Path) -> None:
    """A share that the controller changes holds for the next request."""
    async with running_apiserver() as api:
        await furnished(api)
        async with running(api, tmp_path) as gateway:
            await until(lambda: gateway.fleet.is_known)
            await api.put(POOLS_AT, model_pool(status=routing("Spilling", 40)))
            await until(lambda: gateway.pool is not None and gateway.pool.spill_ratio == 0.4)
            assert gateway.pool is not None
            assert gateway.pool.mode is RoutingMode.SPILLING


async def test_pools_come_go_and_change(tmp_path: Path) -> None:
    """Each time the settings are handed on, and the view has no pool that they have not."""
    async with running_apiserver() as api:
        await furnished(api)
        async with running(api, tmp_path) as gateway:
            await until(lambda: gateway.fleet.is_known)
            changed = model_pool(slo={"ttftP95Milliseconds": 700})
            changed["metadata"]["generation"] = 2
            await api.put(POOLS_AT, changed)
            await until(lambda: gateway.taken[-1].pools[NAME].slo.ttft_p95_s == 0.7)
            await api.drop(POOLS_AT, NAME)
            await until(lambda: gateway.taken[-1].pools == {})
            assert gateway.fleet.view().pools == {}


async def test_a_pool_whose_new_spec_is_bad_goes_on_as_it_was(tmp_path: Path) -> None:
    """Callers do not lose it by a typing error; the log names what is wrong."""
    async with running_apiserver() as api:
        await furnished(api)
        async with running(api, tmp_path) as gateway:
            await until(lambda: gateway.fleet.is_known)
            with capture_logs() as logs:
                broken = model_pool(model="no-such-model")
                broken["metadata"]["generation"] = 2
                await api.put(POOLS_AT, broken)
                await until(lambda: any(entry["event"] == "pool_refused" for entry in logs))
            assert gateway.taken[-1].pools[NAME].model == "llama-8b-self"
            assert gateway.states() == {f"{NAME}-a": READY}


async def test_the_last_picture_stands_while_the_api_is_away(tmp_path: Path) -> None:
    """And what changed meanwhile is there once it is back."""
    async with running_apiserver() as api:
        await furnished(api)
        async with running(api, tmp_path) as gateway:
            await until(lambda: gateway.fleet.is_known)
            api.faults.append(lambda _: AWAY)
            api.watches.frozen = True
            await api.put(PODS_AT, pod("b", ip="10.0.0.2"))
            await asyncio.sleep(0.5)
            assert gateway.states() == {f"{NAME}-a": READY}
            api.faults.clear()
            api.watches.frozen = False
            await api.put(PODS_AT, pod("c", ip="10.0.0.3"))
            await until(lambda: f"{NAME}-c" in gateway.states())


async def test_a_gateway_that_starts_while_the_api_is_away_goes_on_from_what_was_kept(tmp_path: Path) -> None:
    """Pools, routing and pods; once the API is back, from the cluster."""
    async with running_apiserver() as api:
        await furnished(api)
        await api.put(POOLS_AT, model_pool(status=routing("Spilling", 40)))
        async with running(api, tmp_path) as gateway:
            await until(lambda: ClusterCopy(tmp_path).last("models") is not None)
        api.faults.append(lambda _: AWAY)
        with capture_logs() as logs:
            async with running(api, tmp_path) as gateway:
                await until(lambda: gateway.fleet.is_known)
                assert gateway.fleet.from_disk
                assert list(gateway.taken[-1].pools) == [NAME]
                assert gateway.states() == {f"{NAME}-a": READY}
                assert gateway.pool is not None
                assert gateway.pool.spill_ratio == 0.4
                api.faults.clear()
                await until(lambda: not gateway.fleet.from_disk)
                assert gateway.states() == {f"{NAME}-a": READY}
    assert [entry["event"] for entry in logs if entry["event"].startswith("fleet_from")] == [
        "fleet_from_disk",
        "fleet_from_cluster",
    ]


async def test_what_was_known_at_the_end_is_kept(tmp_path: Path) -> None:
    """Also what came in the last moment before the gateway was told to stop."""
    async with running_apiserver() as api:
        await furnished(api)
        async with running(api, tmp_path) as gateway:
            await until(lambda: ClusterCopy(tmp_path).last("models") is not None)
            await api.put(PODS_AT, pod("b", ip="10.0.0.2"))
            await until(lambda: f"{NAME}-b" in gateway.states())
        kept = ClusterCopy(tmp_path).last("models")
        assert kept is not None
        assert [item["metadata"]["name"] for item in kept.pods] == [f"{NAME}-a", f"{NAME}-b"]


async def test_without_a_cluster_and_without_a_copy_it_is_not_ready(tmp_path: Path) -> None:
    """It knows no pool, and says so rather than refuse what others could serve."""
    async with running_apiserver() as api:
        api.faults.append(lambda _: AWAY)
        async with running(api, tmp_path) as gateway:
            await asyncio.sleep(0.6)
            assert not gateway.fleet.is_known
            api.faults.clear()
            await until(lambda: gateway.fleet.is_known)


async def test_another_spillway_yaml_is_taken_with_the_pools_there_are(tmp_path: Path) -> None:
    """And from then on pools are checked against it."""
    async with running_apiserver() as api:
        await furnished(api)
        async with running(api, tmp_path) as gateway:
            await until(lambda: gateway.fleet.is_known)
            found = await asyncio.to_thread(gateway.fleet.worked_out, base(tmp_path, OTHER_BASE))
            settings = gateway.fleet.rebase(found)
            assert list(settings.pools) == [NAME]
            assert settings.tenants["acme"].requests_per_min == 60
            await until(lambda: len(gateway.taken) == 2)
            assert gateway.taken[-1].tenants["acme"].requests_per_min == 60


def of_generation(number: int, **spec: Any) -> Json:
    """The pool as it was changed for the so-manieth time."""
    made = model_pool(**spec)
    made["metadata"]["generation"] = number
    return made


async def test_the_last_good_spec_outlives_a_restart(tmp_path: Path) -> None:
    """A pool with a typing error is served as it was accepted last, by the next process too, the API there or not."""
    async with running_apiserver() as api:
        await furnished(api)
        async with running(api, tmp_path) as gateway:
            await until(lambda: gateway.fleet.is_known)
            await api.put(POOLS_AT, of_generation(2, slo={"ttftP95Milliseconds": 700}))
            await until(lambda: gateway.taken[-1].pools[NAME].slo.ttft_p95_s == 0.7)
            await api.put(POOLS_AT, of_generation(3, model="no-such-model"))
            await until(lambda: NAME in gateway.fleet._known.kept)
        for faults in ([], [lambda _: AWAY], []):
            api.faults[:] = faults
            async with running(api, tmp_path) as gateway:
                await until(lambda: gateway.fleet.is_known)
                assert gateway.fleet.from_disk == bool(faults)
                assert gateway.taken[-1].pools[NAME].slo.ttft_p95_s == 0.7
                assert gateway.states() == {f"{NAME}-a": READY}
        async with running(api, tmp_path) as gateway:
            await until(lambda: gateway.fleet.is_known)
            await api.put(POOLS_AT, of_generation(4, slo={"ttftP95Milliseconds": 800}))
            await until(lambda: gateway.taken[-1].pools[NAME].slo.ttft_p95_s == 0.8)


async def test_a_pool_of_the_same_name_is_another_one(tmp_path: Path) -> None:
    """What was deleted and made anew while no gateway ran has no earlier spec to go by."""
    async with running_apiserver() as api:
        await furnished(api)
        async with running(api, tmp_path) as gateway:
            await until(lambda: gateway.fleet.is_known)
        anew = model_pool(model="no-such-model")
        anew["metadata"]["uid"] = "another"
        await api.drop(POOLS_AT, NAME)
        await api.put(POOLS_AT, anew)
        async with running(api, tmp_path) as gateway:
            await until(lambda: gateway.fleet.is_known)
            assert gateway.taken[-1].pools == {}


async def test_a_pool_that_comes_while_a_file_is_read_stays(tmp_path: Path) -> None:
    """Another spillway.yaml, worked out before the pool was known, does not take it away: nobody gets a 404 for it."""
    async with running_apiserver() as api, running(api, tmp_path) as gateway:
        await until(lambda: gateway.fleet.is_known)
        found = gateway.fleet.worked_out(base(tmp_path, OTHER_BASE))
        await furnished(api)
        await until(lambda: NAME in gateway.taken[-1].pools)
        settings = gateway.fleet.rebase(found)
        assert list(settings.pools) == [NAME]
        assert list(settings.tenants) == ["acme"]


async def test_one_list_may_come_long_before_the_other(tmp_path: Path) -> None:
    """Pools are there and pods are not: the process waits and goes on with all else, and is not ready."""
    async with running_apiserver() as api:
        await furnished(api)
        api.faults.append(lambda request: AWAY if request.path.endswith("/pods") else None)
        async with running(api, tmp_path) as gateway:
            await until(lambda: gateway.fleet._pools_watch.is_synced)
            for _ in range(20):
                await asyncio.sleep(0.01)
            assert not gateway.fleet.is_known
            api.faults.clear()
            await until(lambda: gateway.fleet.is_known)
            assert gateway.states() == {f"{NAME}-a": READY}
