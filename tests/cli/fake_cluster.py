"""A cluster on a socket of this machine for commands: the fake API, pages of pods through it, and exec in pods."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import orjson
import yaml
from aiohttp import WSCloseCode, web

from tests.adapters.fake_apiserver import FakeApiServer
from tests.cluster.installed import deployment, labels, lease, model_pool, pod, ready, spilling

T = TypeVar("T")
POOLS, PODS = "/apis/spillway.dev/v1alpha1/modelpools", "/api/v1/pods"
CONFIG_MAPS = "/api/v1/configmaps"
DEPLOYMENTS, LEASES = "/apis/apps/v1/deployments", "/apis/coordination.k8s.io/v1/leases"
MODELS = "models"


@dataclass(frozen=True, kw_only=True)
class Ran:
    """What a command in a pod does."""

    stdout: bytes = b""
    stderr: bytes = b""
    code: int = 0


@dataclass
class FakeCluster:
    """`pages`: by pod, port and path. `ran`: what the next commands in pods do; `commands`: what they were."""

    api: FakeApiServer
    loop: asyncio.AbstractEventLoop
    kubeconfig: Path
    pages: dict[tuple[str, str], bytes] = field(default_factory=dict)
    ran: list[Ran] = field(default_factory=list)
    commands: list[list[str]] = field(default_factory=list)
    protocols: tuple[str, ...] = ("v5.channel.k8s.io", "v4.channel.k8s.io")

    def do(self, job: Coroutine[Any, Any, T]) -> T:
        """What the job brings, done where the server runs."""
        return asyncio.run_coroutine_threadsafe(job, self.loop).result(10.0)

    def put(self, resource: str, item: Mapping[str, Any]) -> None:
        """An object as somebody else makes or changes it."""
        self.do(self.api.put(resource, dict(item), MODELS))

    def pool(self, name: str = "llama-8b") -> Mapping[str, Any]:
        """A ModelPool as it is."""
        return self.api.get(POOLS, name, MODELS)

    def pod(self, name: str) -> Mapping[str, Any]:
        """A pod as it is."""
        return self.api.get(PODS, name, MODELS)

    def fleet(self, *gateways: str) -> None:
        """A pool of one ready replica that spills, a leader and its pod, and gateways."""
        self.put(POOLS, {**model_pool("llama-8b"), "status": spilling()})
        self.put(DEPLOYMENTS, deployment("llama-8b", 1))
        self.put(PODS, {**pod("llama-8b-aaa", labels("engine", pool="llama-8b")), "status": ready()})
        self.put(LEASES, lease("demo-controller-0-ab12cd"))
        self.put(PODS, {**pod("demo-controller-0", labels("controller")), "status": ready()})
        for name in gateways:
            self.put(PODS, {**pod(name, labels("gateway")), "status": ready()})

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """One call: a page or a command of a pod, else the API's own."""
        rest = request.path.partition("/pods/")[2]
        name, _, part = rest.partition("/")
        if part.startswith("proxy/"):
            body = self.pages.get((name, part.removeprefix("proxy")))
            return web.Response(status=503) if body is None else web.Response(body=body)
        if part == "exec" and request.headers.get("Upgrade", "").lower() == "websocket" and self.ran:
            return await self._exec(request)
        return await self.api.handle(request)

    async def _exec(self, request: web.Request) -> web.StreamResponse:
        self.commands.append(request.query.getall("command"))
        ran = self.ran.pop(0)
        socket = web.WebSocketResponse(protocols=self.protocols)
        await socket.prepare(request)
        for channel, data in ((1, b""), (2, b""), (1, ran.stdout), (2, ran.stderr)):
            for at in range(0, max(1, len(data)), 7):  # a line comes in any number of frames
                await socket.send_bytes(bytes([channel]) + data[at : at + 7])
        await socket.send_bytes(b"\x03" + orjson.dumps(_outcome(ran.code)))
        await socket.close(code=WSCloseCode.OK)
        return socket


def _outcome(code: int) -> dict[str, object]:
    if not code:
        return {"metadata": {}, "status": "Success"}
    details = {"causes": [{"reason": "ExitCode", "message": str(code)}]}
    words = f"command terminated with non-zero exit code: exit status {code}"
    return {"status": "Failure", "message": words, "reason": "NonZeroExitCode", "details": details}


def kubeconfig(server: str, **context: str) -> str:
    """A file with one context, `demo`."""
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "here", "cluster": {"server": server}}],
        "users": [{"name": "me", "user": {"token": "t"}}],
        "contexts": [{"name": "demo", "context": {"cluster": "here", "user": "me", **context}}],
        "current-context": "demo",
    }
    return yaml.safe_dump(document)


@contextmanager
def running_cluster(folder: Path) -> Iterator[FakeCluster]:
    """A cluster that answers until the end of the block; its kubeconfig lies in `folder`."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="fake-cluster", daemon=True)
    thread.start()
    cluster = FakeCluster(api=FakeApiServer(), loop=loop, kubeconfig=folder / "kubeconfig")

    async def start() -> web.AppRunner:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", cluster.answer)
        runner = web.AppRunner(app, shutdown_timeout=0.5)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return runner

    runner = cluster.do(start())
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    cluster.kubeconfig.write_text(kubeconfig(url, namespace=MODELS), encoding="utf-8")
    try:
        yield cluster
    finally:
        cluster.do(cluster.api.close())
        cluster.do(runner.cleanup())
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10.0)
        loop.close()
