"""`spillway gateway --platform kubernetes` as a process: pods that come and go, an API that is away, another file."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.adapters.fake_apiserver import FakeApiServer, running_apiserver
from tests.adapters.fleet_objects import NAME, PODS_AT, POOLS_AT, model_pool, pod, routing
from tests.cli.gateway_in_cluster import PATIENCE_S, InCluster, until
from tests.faults.caller import ANSWERED
from tests.faults.stub import Stub, running
from tests.faults.stub_scripts import answer

KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: test
contexts: [{name: test, context: {cluster: test, user: test, namespace: models}}]
clusters: [{name: test, cluster: {server: "SERVER"}}]
users: [{name: test, user: {token: t}}]
"""
pytestmark = pytest.mark.timeout(480)


class Scene(InCluster):
    """A gateway process, an engine that a pod stands for, and the API."""

    def __init__(self, api: FakeApiServer, engine: Stub, folder: Path) -> None:
        self.api = api
        folder.mkdir()
        kubeconfig = folder / "kubeconfig"
        kubeconfig.write_text(KUBECONFIG.replace("SERVER", api.url))
        super().__init__(engine, folder, kubeconfig)

    async def furnish(self) -> None:
        """A pool with a ready pod."""
        await self.api.put(POOLS_AT, model_pool(status=routing(), engine={"port": self.engine_port}))
        await self.api.put(PODS_AT, pod("a", ip="127.0.0.1"))


@asynccontextmanager
async def scene(folder: Path) -> AsyncIterator[Scene]:
    """All of it but the gateway."""
    engine = Stub("engine-1", answer(), marker="word-")
    async with running_apiserver() as api, running(engine):
        made = Scene(api, engine, folder / "cluster")
        await made.furnish()
        yield made


async def test_pods_of_a_pool_serve_and_drain(tmp_path: Path) -> None:
    """A ready pod is called; one that drains is called no more, with the controller nowhere to be seen."""
    async with scene(tmp_path) as here, here.gateway() as gateway:
        await here.ready(gateway)
        told = await here.ask()
        assert (told.end, told.headers["x-spillway-target"]) == (ANSWERED, NAME)
        await here.api.put(PODS_AT, pod("a", ip="127.0.0.1", draining=True))

        async def has_drained() -> bool:
            return '"ready":0' in await gateway.page("/v1/loads")

        await until(has_drained)
        calls = len(here.engine.calls)
        asked = asyncio.create_task(here.ask())
        await asyncio.sleep(0.3)
        assert len(here.engine.calls) == calls, "a draining pod was called"
        await here.api.put(PODS_AT, pod("b", ip="127.0.0.1"))
        assert (await asked).end == ANSWERED, "who waited is served by the pod that came"
        books = json.loads(await gateway.page("/v1/books"))
        assert books["spend_today"]["requests"] in {1, 2}, "what was answered is in the ledger, which the page reads"
        metrics = await gateway.metrics()
        assert metrics["spillway_fleet_revision"] >= 3
        assert metrics['spillway_kubernetes_watch_age_seconds{resource="pods"}'] < PATIENCE_S


async def test_it_serves_without_the_api_and_also_starts_without_it(tmp_path: Path) -> None:
    """From the last picture, which it has kept."""
    async with scene(tmp_path) as here:
        async with here.gateway() as gateway:
            await here.ready(gateway)

            async def has_kept() -> bool:
                return (here.folder / "run" / "cluster.json").exists()

            await until(has_kept)
            here.api.faults.append(lambda _: (503, {"kind": "Status", "code": 503}))
            assert (await here.ask()).end == ANSWERED
        async with here.gateway() as again:
            await here.ready(again)
            assert (await again.metrics())["spillway_fleet_from_disk"] == 1.0
            assert (await here.ask()).end == ANSWERED
            here.api.faults.clear()

            async def sees_the_cluster() -> bool:
                return (await again.metrics())["spillway_fleet_from_disk"] == 0.0

            await until(sees_the_cluster)
            assert (await here.ask()).end == ANSWERED


async def test_another_spillway_yaml_is_taken_over_and_pools_stay(tmp_path: Path) -> None:
    """A mounted ConfigMap changes: the tenant has a limit now; a bad one changes nothing."""
    async with scene(tmp_path) as here, here.gateway() as gateway:
        await here.ready(gateway)
        assert "x-ratelimit-limit-requests" not in (await here.ask()).headers
        here.write({"tenants": {"acme": {"requests_per_min": 500}}})

        async def is_limited() -> bool:
            return (await here.ask()).headers.get("x-ratelimit-limit-requests") == "500"

        await until(is_limited)
        here.write({"pools": [], "tenant": {}})

        async def is_refused() -> bool:
            return (await gateway.metrics())["spillway_config_valid"] == 0.0

        await until(is_refused)
        told = await here.ask()
        assert (told.end, told.headers["x-ratelimit-limit-requests"]) == (ANSWERED, "500")
