"""A gateway process in a cluster, real or not, with an engine on this machine that its pods stand for."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from controller.adapters.key_store import KeyTable
from tests.adapters.fleet_objects import NAME
from tests.e2e.stack import free_ports
from tests.faults.caller import Told, ask, request_bytes
from tests.faults.gateway_process import GatewayProcess
from tests.faults.stub import Stub

PATIENCE_S = 120.0


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    """Returns once it does."""
    deadline_s = time.monotonic() + PATIENCE_S
    while not await holds():
        assert time.monotonic() < deadline_s, "it never came true"
        await asyncio.sleep(0.02)


class InCluster:
    """Where a gateway process runs, and what it is asked. `namespace` None: the one in kubeconfig."""

    def __init__(self, engine: Stub, folder: Path, kubeconfig: Path, namespace: str | None = None) -> None:
        self.engine, self.folder, self.kubeconfig, self.namespace = engine, folder, kubeconfig, namespace
        self.ports = free_ports(2)
        folder.mkdir(exist_ok=True)
        self.write({})
        keys = KeyTable(folder / "spillway.db", folder / "pepper")
        self.key, _ = keys.create("acme", "test", now_s=time.time())
        keys.close()

    def write(self, more: dict[str, object]) -> None:
        """Another spillway.yaml, in place of the old one."""
        draft = self.folder / "draft"
        draft.write_text(json.dumps({"gateway": {"port": self.ports[0], "admin_port": self.ports[1]}, **more}))
        draft.replace(self.folder / "spillway.yaml")

    @property
    def engine_port(self) -> int:
        """Where the engine listens."""
        return int(self.engine.url.rpartition(":")[2])

    @asynccontextmanager
    async def gateway(self) -> AsyncIterator[GatewayProcess]:
        """One that runs until the end of the block."""
        log = self.folder / "gateway.log"
        environ = {**os.environ, "KUBECONFIG": str(self.kubeconfig), "SPILLWAY_PLATFORM": "kubernetes"}
        if self.namespace is not None:
            environ["SPILLWAY_NAMESPACE"] = self.namespace
        command = [sys.executable, "-m", "controller.cli.main", "gateway", "-c", str(self.folder / "spillway.yaml")]
        with log.open("ab") as sink:
            process = subprocess.Popen(
                [*command, "--state-dir", str(self.folder)],
                stdout=sink,
                stderr=sink,
                stdin=subprocess.DEVNULL,
                env=environ,
            )
        gateway = GatewayProcess(process, self.folder, self.ports[0], self.ports[1], self.key, log, environ)
        try:
            yield gateway
        finally:
            await asyncio.to_thread(gateway.stop)

    async def ask(self) -> Told:
        """One request to the pool."""
        document = {"model": NAME, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 20}
        headers = {"x_spillway_spill": "never"}
        return await ask(self.ports[0], request_bytes(self.key, document, **headers), stream=False)

    async def ready(self, gateway: GatewayProcess) -> None:
        """Returns once it says so."""

        async def says_so() -> bool:
            assert gateway.process.poll() is None, gateway.log.read_text()[-3000:]
            try:
                return (await gateway.page("/readyz")).startswith("ready")
            except OSError:
                return False

        await until(says_so)
