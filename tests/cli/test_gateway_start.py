"""A gateway that starts before its PostgreSQL: it waits and says so, and serves once that answers."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from controller.adapters.key_store import KeyTable
from controller.config.schema import DATABASE_VARIABLE
from tests.adapters.postgres_server import running_postgres
from tests.e2e.stack import eventually, free_ports
from tests.faults.caller import ANSWERED, ask, request_bytes
from tests.faults.gateway_process import POOL, GatewayProcess, Setup, configuration
from tests.faults.stub import Stub, running
from tests.faults.stub_scripts import answer


def _gateway(folder: Path, url: str, engine: str, key: str) -> GatewayProcess:
    ports = free_ports(2)
    file, log = folder / "spillway.yaml", folder / "gateway.log"
    file.write_text(json.dumps(configuration(Setup(engines=[engine]), ports)))
    environ = {**os.environ, DATABASE_VARIABLE: url}
    command = [sys.executable, "-m", "controller.cli.main", "gateway", "-c", str(file), "--state-dir", str(folder)]
    with log.open("wb") as sink:
        process = subprocess.Popen(command, stdout=sink, stderr=sink, stdin=subprocess.DEVNULL, env=environ)
    return GatewayProcess(process, folder, ports[0], ports[1], key, log, environ)


@pytest.mark.timeout(120)
def test_a_gateway_waits_for_postgresql(tmp_path: Path) -> None:
    """No port is open and the log says why; once the database is there requests are answered."""

    async def served(gateway: GatewayProcess, request: bytes) -> str:
        await gateway.ready()
        return (await ask(gateway.port, request, stream=False)).end

    async def scene() -> None:
        stub = Stub("engine-1", answer(), marker="word-")
        async with running(stub):
            with running_postgres() as server:
                url = server.database()
                keys = KeyTable(url, tmp_path / "pepper")
                key, _ = keys.create("stubs", "early", now_s=time.time())
                keys.close()
                await asyncio.to_thread(server.stop)
                gateway = _gateway(tmp_path, url, stub.url, key)
                try:
                    said = b"waiting_for_database"
                    await asyncio.to_thread(eventually, lambda: said in gateway.log.read_bytes(), within_s=20)
                    with pytest.raises(ConnectionRefusedError):
                        await gateway.page("/readyz")
                    await asyncio.to_thread(server.start)
                    document = {"model": POOL, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 20}
                    assert await served(gateway, request_bytes(key, document)) == ANSWERED
                finally:
                    gateway.stop()
                assert gateway.log.read_bytes().count(said) == 1

    asyncio.run(scene())
