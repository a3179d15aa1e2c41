"""Fault group F, helm: killed at its writes, while the product that is there goes on; then tried again as one would."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.cluster.apiserver_proxy import apiserver_proxy
from tests.cluster.handle import ControlPlane
from tests.faults.caller import ANSWERED
from tests.faults.cluster_fleet import PAIR, Fleet
from tests.faults.fleet_on_kubernetes import fleet_row
from tests.faults.helm_process import Helm
from tests.faults.play import play
from tests.faults.rows import Row
from tests.faults.world import eventually

pytestmark = [pytest.mark.faults, pytest.mark.cluster, pytest.mark.timeout(900)]

LIMIT_S = 840.0
SERVED_S = 60.0
PATIENCE_S = 150.0  # of the row itself, on a busy machine
NEW, OPS = "second", "product"
POOL_VALUES = (
    *("--set", "engine.kind=Sim", "--set", "image.repository=spillway/engine-sim"),
    *("--set", "modelPool.spill.to={stub-openai}", "--set", "modelPool.autoscale.coldStartSeconds=1"),
    *("--set", "drain.seconds=5"),
)
OPS_VALUES = (
    *("--set", "crds.install=false", "--set", "database.type=Sqlite", "--set", "database.sqlite.persistent=false"),
    *("--set", "gateway.replicas=1", "--set", "gateway.autoscaling.enabled=false"),
)
CHANGED = ("--set", "modelPool.replicas.max=3", "--set", "image.tag=0.1.1")
PENDING = "another operation (install/upgrade/rollback) is in progress"


@asynccontextmanager
async def _release(
    fleet: Fleet, folder: Path, chart: str, release: str, values: tuple[str, ...]
) -> AsyncIterator[Helm]:
    with apiserver_proxy(fleet.plane) as proxy:
        yield Helm(
            plane=fleet.plane,
            proxy=proxy,
            kubeconfig=proxy.kubeconfig(folder / "helm.kubeconfig", fleet.namespace),
            namespace=fleet.namespace,
            release=release,
            chart=chart,
            values=values,
        )


@asynccontextmanager
async def _asked_all_the_while(fleet: Fleet) -> AsyncIterator[None]:
    asking = asyncio.create_task(fleet.ask_for(LIMIT_S, per_s=2.0))
    try:
        yield
    finally:
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
    fleet.all_answered()


async def _killed_install(helm: Helm, number: int) -> bool:
    """Whether it came to that write. Afterwards nothing of the release is left but what a retry takes away."""
    if not await asyncio.to_thread(helm.killed_at, number, "install"):
        return False
    if (await asyncio.to_thread(helm.status)).startswith("pending"):  # what helm itself says of it, and wants then
        code, said = await asyncio.to_thread(helm.upgrade)
        assert code, "a release that is under way was upgraded"
        assert PENDING in said or "has no deployed releases" in said, said
        await asyncio.to_thread(helm.does, "uninstall", helm.release)
    return True


async def _converges(helm: Helm, expected: object) -> None:
    """A retry makes the release what it was to be: nothing missing, twice, or left over."""
    code, said = await asyncio.to_thread(helm.upgrade)
    assert code == 0, said
    assert await asyncio.to_thread(helm.status) == "deployed"
    assert await asyncio.to_thread(helm.objects) == expected


async def _installs_killed(helm: Helm, line: Row, every: int) -> None:
    """An install is killed at each of so many writes, and done again; in the end the release is there."""
    code, said = await asyncio.to_thread(helm.install)
    assert code == 0, said
    expected = await asyncio.to_thread(helm.objects)
    line.injected()
    number, kills = 0, 0
    while True:
        await asyncio.to_thread(helm.does, "uninstall", helm.release)
        assert await asyncio.to_thread(helm.objects) == {}
        if not await _killed_install(helm, number):
            break
        kills += 1
        line.detected()
        await _converges(helm, expected)
        number += every
    line.figures |= {"kills": kills, "objects": len(expected)}
    assert kills > 1, "it was never killed"


async def _serves_and_goes(fleet: Fleet, helm: Helm, line: Row) -> None:
    """The new pool answers; uninstalled, nothing of it is left, its pods neither."""
    assert (await fleet.world.ask(model=NEW, stream=False)).end == ANSWERED
    line.healed()
    await asyncio.to_thread(helm.does, "uninstall", NEW)

    async def are_gone() -> bool:
        labels = {"labelSelector": f"app.kubernetes.io/instance={NEW}"}
        return not (await fleet.api.get(fleet.path("pods"), labels))["items"]

    await eventually(are_gone, within_s=PATIENCE_S, every_s=0.2)


def test_f4_install_of_a_pool_killed(tmp_path: Path, fleet_plane: ControlPlane) -> None:
    """At each write of an install helm is killed: after a retry the pool is there once and serves; others go on."""

    async def scene() -> None:
        async with (
            fleet_row(fleet_plane, tmp_path, PAIR, "F4", "install of a pool killed at each write") as (fleet, line),
            _release(fleet, tmp_path, "serving", NEW, POOL_VALUES) as helm,
        ):
            async with _asked_all_the_while(fleet):
                await _installs_killed(helm, line, every=1)

                async def is_served() -> bool:
                    return (await fleet.condition("Ready", NEW)).get("status") == "True"

                line.within("served_s", await eventually(is_served, within_s=PATIENCE_S, every_s=0.2), SERVED_S)
            await _serves_and_goes(fleet, helm, line)

    play(scene(), LIMIT_S)


def test_f4_upgrade_of_a_pool_killed(tmp_path: Path, fleet_plane: ControlPlane) -> None:
    """At each write of an upgrade helm is killed: a rollback leads back, a retry leads on; replicas are left alone."""

    async def scene() -> None:
        async with (
            fleet_row(fleet_plane, tmp_path, PAIR, "F4", "upgrade of a pool killed at each write") as (fleet, line),
            _release(fleet, tmp_path, "serving", NEW, POOL_VALUES) as helm,
        ):
            code, said = await asyncio.to_thread(helm.install)
            assert code == 0, said
            before = await asyncio.to_thread(helm.objects)
            code, said = await asyncio.to_thread(helm.upgrade, *CHANGED)
            assert code == 0, said
            after = await asyncio.to_thread(helm.objects)
            assert after != before
            await asyncio.to_thread(helm.does, "rollback", NEW)
            line.injected()
            number = 0
            async with _asked_all_the_while(fleet):
                while await asyncio.to_thread(helm.killed_at, number, "upgrade", *CHANGED):
                    line.detected()
                    await asyncio.to_thread(helm.does, "rollback", NEW)
                    assert await asyncio.to_thread(helm.status) == "deployed"
                    assert await asyncio.to_thread(helm.objects) == before
                    number += 1
                assert await asyncio.to_thread(helm.objects) == after
            line.figures["kills"] = number
            assert number > 1, "it was never killed"
            assert set(fleet.history.counts(NEW)) == {1}
            await _serves_and_goes(fleet, helm, line)

    play(scene(), LIMIT_S)


def test_f4_install_of_the_product_killed(tmp_path: Path, fleet_plane: ControlPlane) -> None:
    """The same with gateway, controller, their rights and settings, at every fourth write; the resource outlives it."""

    async def scene() -> None:
        async with (
            fleet_row(fleet_plane, tmp_path, PAIR, "F4", "install of the product killed") as (
                fleet,
                line,
            ),
            _release(fleet, tmp_path, "ops", OPS, OPS_VALUES) as helm,
        ):
            async with _asked_all_the_while(fleet):
                await _installs_killed(helm, line, every=4)
            await asyncio.to_thread(helm.does, "uninstall", OPS)
            assert await asyncio.to_thread(helm.objects) == {}
            assert (await fleet.status())["replicas"]["ready"] == 2
            line.healed()

    play(scene(), LIMIT_S)
