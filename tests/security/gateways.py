"""Gateway processes on one database, with one stub engine behind them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from controller.adapters.key_store import KeyTable
from controller.cli.wiring import open_keys, settings_from
from tests.faults import caller, gateway_process
from tests.faults.caller import Told
from tests.faults.gateway_process import POOL, GatewayProcess, Setup
from tests.faults.stub import Script, Stub, running


@dataclass
class Scene:
    """What a test works with."""

    gateways: list[GatewayProcess]
    stub: Stub
    keys: KeyTable

    def new_key(self, tenant: str) -> tuple[str, str]:
        """(text, public id)."""
        text, record = self.keys.create(tenant, "test", now_s=time.time())
        return text, record.public_id

    def asking(self, number: int, key: str, *, stream: bool) -> asyncio.Task[Told]:
        """One request under way at one of the gateways."""
        document = {"model": POOL, "messages": [{"role": "user", "content": "Hi"}], "stream": stream, "max_tokens": 9}
        request = caller.request_bytes(key, document)
        return asyncio.create_task(caller.ask(self.gateways[number].port, request, stream=stream))

    async def ask(self, number: int, key: str) -> Told:
        """The same, whole, to its end."""
        return await self.asking(number, key, stream=False)


@asynccontextmanager
async def shared_gateways(
    folder: Path, count: int, script: Script, changes: Mapping[str, object] | None = None
) -> AsyncIterator[Scene]:
    """So many, ready; afterwards they are gone."""
    state_dir = folder / "state"
    state_dir.mkdir()
    stub = Stub("engine", script)
    gateways = []
    async with running(stub), AsyncExitStack() as stack:
        for number in range(count):
            home = folder / f"gateway-{number}"
            home.mkdir()
            (home / "state").symlink_to(state_dir)
            setup = Setup(engines=[stub.url], changes=changes or {})
            gateway = gateway_process.start(home, setup, "no-provider")
            stack.callback(gateway.stop)
            gateways.append(gateway)
        for gateway in gateways:
            await gateway.ready()
        keys = open_keys(settings_from(gateways[0].folder / "spillway.yaml", state_dir, environ={}))
        stack.callback(keys.close)
        yield Scene(gateways, stub, keys)


async def accepted(scene: Scene, key: str) -> None:
    """Returns once every gateway knows the key."""
    async with asyncio.timeout(10):
        for number in range(len(scene.gateways)):
            while (await scene.ask(number, key)).status == 401:
                await asyncio.sleep(0.1)
