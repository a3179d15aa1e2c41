"""Starts a fleet on a real API: gateway and controllers as processes, Deployments, a stand-in node, stubs in the pods.

Each process has a proxy of its own before the API, and the rights that the chart gives it.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cluster.admin_client import AdminClient
from tests.cluster.apiserver_proxy import ApiserverProxy, apiserver_proxy
from tests.cluster.handle import ControlPlane
from tests.cluster.stand_in_node import StandInNode
from tests.e2e.stack import free_ports
from tests.faults import fleet_objects, gateway_process
from tests.faults.cluster_controller import ClusterController, cluster_controller
from tests.faults.cluster_fleet import OUTSIDE, READY_S, Fleet, Shape, cluster_row
from tests.faults.fleet_history import History
from tests.faults.gateway_process import GatewayProcess, Setup
from tests.faults.name_server import NameServer
from tests.faults.rows import Row
from tests.faults.stub import Stub, running
from tests.faults.stub_scripts import answer
from tests.faults.watcher import watch
from tests.faults.world import Canaries, World, warm_up

# None of these is what these rows are about, and an API server and its neighbours are on the same two cores.
TIMEOUTS = {"connect_s": 2.0, "ttft_s": 20.0, "idle_s": 20.0, "total_s": 60.0, "ledger_s": 5.0}


@dataclass
class PodStub(Stub):
    """A stub engine in a pod."""

    def is_idle(self) -> bool:
        """Whether it answers nobody."""
        return not self.open_calls


async def _make(api: AdminClient, namespace: str, shape: Shape, port: int) -> None:
    """The objects of the fleet are there."""
    await api.call("POST", "/api/v1/namespaces", fleet_objects.space(namespace))
    for document in fleet_objects.rights(namespace):
        kind = "roles" if document["kind"] == "Role" else "rolebindings"
        await api.call("POST", f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/{kind}", document)
    pods = f"/api/v1/namespaces/{namespace}/pods"
    await api.call("POST", pods, fleet_objects.gateway_pod())
    await api.patch(f"{pods}/gateway-0/status", fleet_objects.gateway_status())
    for name in shape.pools:
        made = fleet_objects.deployment(name, port, shape.replicas)
        await api.call("POST", f"/apis/apps/v1/namespaces/{namespace}/deployments", made)
        pool = fleet_objects.model_pool(
            name,
            port,
            minimum=shape.minimum,
            maximum=shape.maximum,
            to=tuple(OUTSIDE) if shape.spills else (),
            autoscale=shape.autoscale,
            engine=shape.engine,
        )
        await api.call("POST", f"/apis/spillway.dev/v1alpha1/namespaces/{namespace}/modelpools", pool)


def _provider(name: str, canaries: Canaries, names: NameServer | None) -> Stub:
    made = Stub(name, answer(), marker=canaries.completion, drains=True)
    if names is not None:
        made.name_at = f"{name}.test"
        names.addresses[made.name_at] = made.address
    return made


@contextlib.asynccontextmanager
async def _admin(plane: ControlPlane) -> AsyncIterator[AdminClient]:
    api = AdminClient(plane.server, plane.certificates)
    try:
        yield api
    finally:
        await api.close()
        await asyncio.sleep(0.05)  # for the transports to close


@contextlib.asynccontextmanager
async def running_task(name: str, work: Any) -> AsyncIterator[None]:
    """It runs beside the block, and is cancelled with its end."""
    task = asyncio.create_task(work, name=name)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _setup(outside: Sequence[Stub], shape: Shape, kubeconfig: Path, namespace: str) -> Setup:
    private = {} if shape.names is None else {name: {"private_address": True} for name in OUTSIDE}
    return Setup(
        wrapper=() if shape.names is None else shape.names.wrapper(kubeconfig.parent),
        providers=gateway_process.of_stubs(outside, OUTSIDE),
        changes={"controller": {"tick_s": shape.tick_s}, "gateway": {"timeouts": TIMEOUTS}, "providers": private},
        environ={"KUBECONFIG": str(kubeconfig)},
        words=("--platform", "kubernetes", "-n", namespace),
    )


def _controllers(
    stack: contextlib.AsyncExitStack,
    plane: ControlPlane,
    folder: Path,
    *,
    namespace: str,
    gateway: GatewayProcess,
    setup: Setup,
    shape: Shape,
    provider_key: str,
) -> list[ClusterController]:
    document = gateway_process.configuration(setup, (gateway.port, gateway.admin_port))
    environ = {gateway_process.key_variable(one): provider_key for one in OUTSIDE}
    return [
        stack.enter_context(
            cluster_controller(
                plane,
                namespace,
                folder / name,
                document,
                name=name,
                environ=environ,
                wrapper=setup.wrapper or shape.wrapper,
            )
        )
        for name in (f"controller-{number}" for number in range(shape.controllers))
    ]


async def _begin(fleet: Fleet) -> None:
    """All of it runs, and has answered every kind of request."""
    shape = fleet.shape
    there = shape.replicas if shape.room is None else min(shape.room, shape.replicas)
    for name in shape.pools:
        await fleet.settles(there, name)
    for controller in fleet.controllers[1:]:
        controller.start()
    try:
        await warm_up(fleet.world)
    except AssertionError as error:
        known = await fleet.world.gateway.page("/v1/loads")
        raise AssertionError(f"{error}; the gateway knows {known}") from error


@contextlib.asynccontextmanager
async def fleet_on_kubernetes(plane: ControlPlane, folder: Path, shape: Shape | None = None) -> AsyncIterator[Fleet]:
    """A warm fleet whose controllers run, each replica ready; afterwards nothing of it runs."""
    shape, canaries, namespace = shape or Shape(), Canaries.fresh(), f"fleet-{secrets.token_hex(3)}"
    folder.mkdir(parents=True, exist_ok=True)
    engines: list[Stub] = []

    def make_engine(name: str, address: str, port: int) -> PodStub:
        engines.append(PodStub(name, answer(), marker=canaries.completion, address=address, name_at=address, port=port))
        return engines[-1]  # type: ignore[return-value]  # just made

    outside = [_provider(name, canaries, shape.names) for name in OUTSIDE]
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(running(*outside))
        api = await stack.enter_async_context(_admin(plane))
        await _make(api, namespace, shape, free_ports(1)[0])
        node = StandInNode(api, namespace, make_engine, cold_start_s=shape.cold_start_s, room=shape.room)
        history = History(api, namespace)
        await stack.enter_async_context(running_task("stand-in-node", node.run()))
        await stack.enter_async_context(running_task("history", history.follow()))
        proxy: ApiserverProxy = stack.enter_context(
            apiserver_proxy(plane, account=f"{namespace}:{fleet_objects.GATEWAY}")
        )
        setup = _setup(outside, shape, proxy.kubeconfig(folder / "gateway.kubeconfig", namespace), namespace)
        gateway = gateway_process.start(folder / "gateway", setup, canaries.provider_key)
        stack.callback(gateway.stop)
        controllers = _controllers(
            stack,
            plane,
            folder,
            namespace=namespace,
            gateway=gateway,
            setup=setup,
            shape=shape,
            provider_key=canaries.provider_key,
        )
        controllers[0].start()
        await gateway.ready(READY_S)
        watcher = await watch(gateway.admin_port)
        stack.push_async_callback(watcher.stop)
        scene = World(gateway, engines, outside, canaries, watcher, setup)
        fleet = Fleet(plane, namespace, api, node, proxy, controllers, history, shape, scene)
        await stack.enter_async_context(running_task("kubelet", fleet.keep_controllers()))
        await _begin(fleet)
        yield fleet
        for controller in controllers:
            controller.is_kept = False
        for task in list(scene.tasks):
            task.cancel()


@contextlib.asynccontextmanager
async def fleet_row(
    plane: ControlPlane,
    folder: Path,
    shape: Shape,
    case: str,
    what: str,
    *,
    takeovers: int = 0,
    excused: Sequence[str] = (),
) -> AsyncIterator[tuple[Fleet, Row]]:
    """A row with a warm fleet of its own; what it is judged by is said at `cluster_row`."""
    async with (
        fleet_on_kubernetes(plane, folder, shape) as fleet,
        cluster_row(fleet, case, what, takeovers=takeovers, excused=excused) as line,
    ):
        yield fleet, line
