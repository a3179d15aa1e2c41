"""`python -m tests.bench.kubernetes_scale`: what one controller costs on a large Kubernetes fleet; prints a table.

A real API and the real controller manager; 200 nodes, 200 ModelPools and 500 replicas, each with an engine's metrics
page at its own address, all run by the stand-in node in a process of its own. The controller's calls are counted by
the proxy before the API.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.cluster.admin_client import AdminClient
from tests.cluster.component import MEMBER_VARIABLE
from tests.cluster.deploying_plane import start_deploying_plane
from tests.cluster.handle import ControlPlane
from tests.cluster.programs import ROOT
from tests.e2e.stack import free_ports
from tests.faults import fleet_objects, gateway_process
from tests.faults.cluster_controller import ClusterController, cluster_controller
from tests.faults.world import eventually

CRD = ROOT / "helm" / "ops" / "files" / "modelpool-crd.yaml"
LEASE = "spillway-controller"
SETTLED_S, STEP_S = 600.0, 240.0
AT_ONCE = 16
AUTOSCALE = {"coldStartSeconds": 60, "scaleDownCooldownSeconds": 3600}
TICK = "spillway_controller_tick_duration_seconds"


@dataclass
class Figure:
    """One line of the table."""

    name: str
    value: float
    limit: float
    unit: str

    @property
    def holds(self) -> bool:
        """Whether it keeps to its limit."""
        return self.value <= self.limit


@dataclass
class Bench:
    """A fleet whose Deployments are all ready."""

    plane: ControlPlane
    api: AdminClient
    namespace: str
    pools: int
    replicas: int
    figures: list[Figure] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def path(self, kind: str, name: str = "") -> str:
        """Where objects of the fleet are."""
        groups = {"pods": "/api/v1", "deployments": "/apis/apps/v1", "modelpools": "/apis/spillway.dev/v1alpha1"}
        groups["leases"] = "/apis/coordination.k8s.io/v1"
        return "/".join(filter(None, (f"{groups[kind]}/namespaces/{self.namespace}/{kind}", name)))

    def note(self, name: str, value: float, limit: float, unit: str) -> None:
        """A figure for the table."""
        self.figures.append(Figure(name, round(value, 2), limit, unit))

    async def reconciled(self, generation: int) -> bool:
        """Whether every ModelPool says that it was seen as it now is, and knows its replicas."""
        found = (await self.api.get(self.path("modelpools")))["items"]
        seen = [one.get("status") or {} for one in found if one["metadata"]["generation"] >= generation]
        known = [one for one in seen if (one.get("observedGeneration") or 0) >= generation]
        return len(known) == self.pools and all(one["replicas"].get("ready") for one in known)

    async def leader(self) -> str:
        """Which controller holds the lease."""
        lease = await self.api.call("GET", self.path("leases", LEASE), allowed=(404,))
        return str((lease.get("spec") or {}).get("holderIdentity") or "").rpartition("-")[0]


async def _many(works: list[object]) -> None:
    slots = asyncio.Semaphore(AT_ONCE)

    async def one(work: object) -> None:
        async with slots:
            await work  # type: ignore[misc]  # a coroutine

    await asyncio.gather(*(one(work) for work in works))


async def _make(bench: Bench, port: int, nodes: int, machine: subprocess.Popen[bytes]) -> None:
    """All objects are there, and all pods ready."""
    api, namespace = bench.api, bench.namespace
    await api.call("POST", "/api/v1/namespaces", fleet_objects.space(namespace))
    for document in fleet_objects.rights(namespace):
        kind = "roles" if document["kind"] == "Role" else "rolebindings"
        await api.call("POST", f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/{kind}", document)
    node = {"apiVersion": "v1", "kind": "Node"}
    works: list[object] = [
        api.call("POST", "/api/v1/nodes", {**node, "metadata": {"name": f"gpu-{number}"}}) for number in range(nodes)
    ]
    names = [f"pool-{number:03}" for number in range(bench.pools)]
    base, more = divmod(bench.replicas, bench.pools)
    for number, name in enumerate(names):
        count = base + (number < more)
        works.append(api.call("POST", bench.path("deployments"), fleet_objects.deployment(name, port, count)))
        pool = fleet_objects.model_pool(name, port, minimum=count, maximum=count + 2, to=(), autoscale=AUTOSCALE)
        works.append(api.call("POST", bench.path("modelpools"), pool))
    await _many(works)

    async def all_ready() -> bool:
        assert machine.poll() is None, "the stand-in node has ended"
        found = (await api.get(bench.path("deployments")))["items"]
        return sum((one.get("status") or {}).get("readyReplicas") or 0 for one in found) == bench.replicas

    await eventually(all_ready, within_s=SETTLED_S, every_s=1.0)


async def _touch(bench: Bench, seconds: int) -> int:
    """Every ModelPool has a new generation, which is returned."""
    change = {"spec": {"autoscale": {"coldStartSeconds": seconds}}}
    found = (await bench.api.get(bench.path("modelpools")))["items"]
    await _many([bench.api.patch(bench.path("modelpools", one["metadata"]["name"]), change) for one in found])
    return int(found[0]["metadata"]["generation"]) + 1


async def _measure(bench: Bench, first: ClusterController, second: ClusterController, idle_s: float) -> None:
    first.start()
    bench.note("first start: all pools reconciled", await _until_reconciled(bench, 1), 60.0, "s")
    await asyncio.sleep(20.0)  # statuses of the start
    began_s, cpu_s, before = time.monotonic(), first.cpu_s(), await first.metrics()
    await asyncio.sleep(idle_s)
    after, counts = await first.metrics(), first.proxy.counts(began_s)
    bench.notes.append(f"calls in {idle_s:.0f} s at rest: {counts}")
    ticks = after[f"{TICK}_count"] - before[f"{TICK}_count"]
    bench.note("API calls at rest, leader", sum(counts.values()) / idle_s, 1.0, "1/s")
    bench.note("tick, mean", (after[f"{TICK}_sum"] - before[f"{TICK}_sum"]) / max(1.0, ticks), 1.0, "s")
    bench.note("CPU per tick", (first.cpu_s() - cpu_s) / max(1.0, ticks), 1.0, "s")
    bench.note("resident memory, leader", first.rss_bytes() / 2**20, 200.0, "MiB")
    first.kill()
    await bench.api.patch(bench.path("leases", LEASE), {"spec": {"holderIdentity": "", "leaseDurationSeconds": 1}})
    generation = await _touch(bench, 61)
    first.start()
    bench.note("restart: all pools reconciled", await _until_reconciled(bench, generation), 10.0, "s")
    second.start()
    await asyncio.sleep(20.0)
    began_s = time.monotonic()
    await asyncio.sleep(idle_s / 2)
    counts = second.proxy.counts(began_s)
    bench.notes.append(f"calls of the standby in {idle_s / 2:.0f} s: {counts}")
    bench.note("API calls at rest, standby", sum(counts.values()) / (idle_s / 2), 1.0, "1/s")
    bench.note("resident memory, standby", second.rss_bytes() / 2**20, 200.0, "MiB")
    began_s = time.monotonic()
    first.kill()

    async def is_taken() -> bool:
        return await bench.leader() == second.name

    await eventually(is_taken, within_s=STEP_S, every_s=0.1)
    bench.note("takeover: the lease is taken", time.monotonic() - began_s, 20.0, "s")
    generation = await _touch(bench, 62)
    await _until_reconciled(bench, generation)
    bench.note("takeover: all pools reconciled", time.monotonic() - began_s, 30.0, "s")


async def _until_reconciled(bench: Bench, generation: int) -> float:
    async def is_so() -> bool:
        return await bench.reconciled(generation)

    return await eventually(is_so, within_s=STEP_S, every_s=0.5)


@contextlib.asynccontextmanager
async def _bench(plane: ControlPlane, pools: int, replicas: int, nodes: int) -> AsyncIterator[Bench]:
    namespace = f"scale-{secrets.token_hex(3)}"
    api = AdminClient(plane.server, plane.certificates)
    command = [sys.executable, "-m", "tests.cluster.quiet_engine", plane.server, str(plane.certificates), namespace]
    environ = {**os.environ, MEMBER_VARIABLE: str(plane.folder)}
    node = subprocess.Popen([*command, str(nodes)], env=environ)
    try:
        bench = Bench(plane, api, namespace, pools, replicas)
        (port,) = free_ports(1)
        await _make(bench, port, nodes, node)
        yield bench
    finally:
        node.terminate()
        node.wait(30)
        await api.close()


async def _run(given: argparse.Namespace, plane: ControlPlane, folder: Path) -> Bench:
    plane.kubectl("apply", "--server-side", "-f", str(CRD))
    plane.kubectl("wait", "--for=condition=Established", "crd/modelpools.spillway.dev", "--timeout=30s")
    async with _bench(plane, given.pools, given.replicas, given.nodes) as bench:
        document = gateway_process.configuration(gateway_process.Setup(), free_ports(2))
        with (
            cluster_controller(plane, bench.namespace, folder / "0", document, name="controller-0") as first,
            cluster_controller(plane, bench.namespace, folder / "1", document, name="controller-1") as second,
        ):
            try:
                await _measure(bench, first, second, given.idle_s)
            except BaseException:
                sys.stderr.write(first.tail())
                raise
        return bench


def main() -> int:
    """0 when every figure keeps to its limit."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.kubernetes_scale", description=__doc__)
    parser.add_argument("--pools", type=int, default=200)
    parser.add_argument("--replicas", type=int, default=500)
    parser.add_argument("--nodes", type=int, default=200)
    parser.add_argument("--idle-s", type=float, default=120.0, help="for so long the controller is left at rest")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    given = parser.parse_args()
    plane = start_deploying_plane()
    try:
        with tempfile.TemporaryDirectory() as folder:
            bench = asyncio.run(_run(given, plane, Path(folder)))
    finally:
        plane.remove()
    what = f"{given.nodes} nodes, {given.pools} ModelPools, {given.replicas} replicas"
    table = Table("figure", "measured", "allowed", "unit", "verdict", title=f"{what}; load {os.getloadavg()[0]:.1f}")
    for one in bench.figures:
        table.add_row(one.name, f"{one.value:g}", f"{one.limit:g}", one.unit, "ok" if one.holds else "FAILED")
    console = Console()
    console.print(table)
    for note in bench.notes:
        console.print(note)
    if given.json is not None:
        given.json.write_text(json.dumps([vars(one) for one in bench.figures], indent=1))
    return 0 if all(one.holds for one in bench.figures) else 1


if __name__ == "__main__":
    sys.exit(main())
