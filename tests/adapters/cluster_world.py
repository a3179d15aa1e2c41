"""A whole controller on a fake API server: its process in all but name, with real sockets and a fleet of nothing."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from controller.adapters.kubernetes_access import Access
from controller.cli.wiring_kubernetes import ControllerOnKubernetes, base_from
from controller.loop.elected import run
from controller.web.server import listen
from tests.adapters.fake_apiserver import FakeApiServer
from tests.adapters.fake_deployments import DEPLOYMENTS, FakeDeployments, deployment

README = Path(__file__).parents[2] / "controller/adapters/README.md"
MODEL_POOLS = "/apis/spillway.dev/v1alpha1/modelpools"
LEASES = "/apis/coordination.k8s.io/v1/leases"
YAML = """
controller: {tick_s: 0.2, scrape_timeout_s: 0.1}
gateway: {admin_port: 1}
"""


def model_pool(name: str, *, target: str | None = None, **spec: Any) -> dict[str, Any]:
    """A ModelPool with what the API server fills in."""
    whole = {
        "model": "llama-8b-self",
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": target or name},
        "instanceType": "g5.2xlarge",
        "engine": {"port": 8000},
        "replicas": {"min": 1, "max": 4},
        "spill": {"to": ["gpt-4o-mini"]},
        "pin": {"routing": "Auto", "replicas": 0, "scaling": "Auto"},
    }
    return {
        "apiVersion": "spillway.dev/v1alpha1",
        "kind": "ModelPool",
        "metadata": {"name": name},
        "spec": {**whole, **spec},
    }


class Controller:
    """One that runs as a task. `ended`: its exit, as an error or None."""

    def __init__(self, access: Access, folder: Path, name: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.file = folder / "spillway.yaml"
        self.file.write_text(YAML, encoding="utf-8")
        self.environ = {"SPILLWAY_POD_NAME": name, "OPENAI_API_KEY": "k"}
        self.cluster = ControllerOnKubernetes(access, self._base(), self.environ)
        self._listener: socket.socket = listen("127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.task: asyncio.Task[None] | None = None

    def _base(self) -> Any:
        return base_from(self.file, self.file.parent, self.environ)

    def start(self) -> None:
        """Afterwards it stands by, or leads."""
        self.task = asyncio.create_task(self._run(), name="controller")

    async def _run(self) -> None:
        with self._listener:
            await run(self.cluster, self.cluster.lease, self._listener, self.cluster.reload(self._base))

    async def ask(self, path: str) -> tuple[int, str]:
        """What it answers."""
        async with httpx.AsyncClient(trust_env=False) as client:
            answer = await client.get(f"{self.url}{path}")
            return answer.status_code, answer.text

    async def kill(self) -> None:
        """Afterwards it is gone, without a word."""
        assert self.task is not None
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


VERBS = {"WATCH": "watch", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
Right = tuple[str, str, str]  # group, resource, verb


def rights_used(api: FakeApiServer) -> set[Right]:
    """What a Role must grant for the calls that were made."""
    used = set()
    for method, path in api.calls:
        group, _, rest = path.partition("/namespaces/")
        _, plural, *more = rest.split("/")
        resource = "/".join((plural, *more[1:2]))
        verb = VERBS.get(method) or ("get" if more else "list")
        used.add(("" if group == "/api/v1" else group.split("/")[2], resource, verb))
    return used


def rights_listed() -> set[Right]:
    """What the README says that it needs."""
    lines = README.read_text(encoding="utf-8").split("| group | resource |")[1].splitlines()[2:]
    rows = [[cell.strip() for cell in line.split("|")[1:4]] for line in lines if line.startswith("|")]
    return {(group, resource, verb) for group, resource, verbs in rows for verb in verbs.split(", ")}


@asynccontextmanager
async def behind(api: FakeApiServer) -> AsyncIterator[FakeDeployments]:
    """The controllers of the cluster, at work all the while; pods are ready at once."""
    fleet = FakeDeployments(api)

    async def work() -> None:
        while True:
            await fleet.settle()
            await fleet.ready()
            await asyncio.sleep(0.05)

    task = asyncio.create_task(work(), name="deployments")
    try:
        yield fleet
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert rights_used(api) <= rights_listed()


async def pool_with_pods(api: FakeApiServer, name: str, count: int = 1, **spec: Any) -> None:
    """A ModelPool and its Deployment."""
    await api.put(DEPLOYMENTS, deployment(name, count))
    await api.put(MODEL_POOLS, model_pool(name, **spec))


def status_of(api: FakeApiServer, name: str) -> dict[str, Any]:
    """The status of a ModelPool; empty where it has none."""
    found = api.get(MODEL_POOLS, name).get("status") or {}
    return dict(json.loads(json.dumps(found)))


def condition(api: FakeApiServer, name: str, kind: str) -> dict[str, Any]:
    """A condition of a ModelPool; empty where it has not been said."""
    conditions = status_of(api, name).get("conditions") or []
    return next((one for one in conditions if one["type"] == kind), {})
