"""What a unary request costs between its sockets: `python -m tests.bench.in_process`.

The gateway as `spillway gateway` builds it, its own server and its own client of engines, on pipes that hand bytes over
at once. What is left is our own code and the libraries it calls: thread time, so that a busy machine changes little.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import uvloop

from controller.cli.wiring import settings_from
from controller.cli.wiring_processes import build_gateway
from controller.config.settings import GatewaySettings
from controller.gateway.server import GC_THRESHOLDS, limits_of
from controller.web.h1_connection import Connection
from controller.web.h1_server import H1Server
from tests.bench.load import request_bytes
from tests.bench.mock import UNARY
from tests.bench.targets import POOL, prepare

CALLERS = 64
REQUESTS = 2_000
ROUNDS = 30
DEADLINE_S = 60.0


class Pipe(asyncio.Transport):
    """A transport whose other end is a function."""

    def __init__(self, sink: Callable[[bytes], None]) -> None:
        super().__init__()
        self._sink = sink

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Nothing is ever buffered."""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """The other end has it at once."""
        self._sink(bytes(data))

    def is_closing(self) -> bool:
        """Never."""
        return False

    def close(self) -> None:
        """Nothing is open."""


class EngineLoop(uvloop.Loop):
    """Where every connection leads to an engine that answers in the next turn of the loop."""

    async def create_connection(self, protocol_factory: Any, *_: object, **__: object) -> Any:  # type: ignore[override]
        """The two ends."""
        protocol = protocol_factory()
        transport = Pipe(lambda _: self.call_soon(protocol.data_received, UNARY) and None)
        protocol.connection_made(transport)
        return transport, protocol


class Crowd:
    """Callers that ask again as soon as they were answered."""

    def __init__(self, server: H1Server, request: bytes) -> None:
        self._loop = asyncio.get_running_loop()
        self._request = request
        self._left = 0
        self._done = self._loop.create_future()
        self._connections = [self._connected(server) for _ in range(CALLERS)]

    def _connected(self, server: H1Server) -> Connection:
        connection = Connection(server)
        connection.connection_made(Pipe(lambda data: self._answered(connection, data)))
        return connection

    def _answered(self, connection: Connection, data: bytes) -> None:
        if not data.startswith(b"HTTP/1.1 200"):
            self._done.set_exception(RuntimeError(f"refused: {data[:300]!r}"))
        self._left -= 1
        if self._left >= CALLERS:
            self._loop.call_soon(connection.data_received, self._request)
        elif not self._left:
            self._done.set_result(None)

    async def ask(self, requests: int) -> None:
        """Afterwards so many were answered."""
        self._left, self._done = requests, self._loop.create_future()
        for connection in self._connections:
            self._loop.call_soon(connection.data_received, self._request)
        async with asyncio.timeout(DEADLINE_S):
            await self._done


async def _calls(crowd: Crowd) -> float:
    """Python functions entered or resumed per request."""
    count = 0

    def seen(_: object, event: str, __: object) -> None:
        nonlocal count
        count += event == "call"

    sys.setprofile(seen)
    await crowd.ask(CALLERS * 10)
    sys.setprofile(None)
    return count / (CALLERS * 10)


async def _rounds(crowd: Crowd) -> tuple[list[float], list[float]]:
    """Microseconds per request in each round: of this thread, and of all others."""
    here, elsewhere = [], []
    for _ in range(ROUNDS):
        thread_s, process_s = time.thread_time(), time.process_time()
        await crowd.ask(REQUESTS)
        thread_s, process_s = time.thread_time() - thread_s, time.process_time() - process_s
        here.append(thread_s / REQUESTS * 1e6)
        elsewhere.append((process_s - thread_s) / REQUESTS * 1e6)
    return here, elsewhere


async def _main(folder: Path) -> None:
    config, state_dir = folder / "spillway.yaml", folder / "state"
    key = prepare(folder, upstream_port=1, port=1, admin_port=2)
    service = build_gateway(settings_from(config, state_dir))
    watch = asyncio.create_task(service.watch(), name="fleet-watch")
    server = H1Server(service.gateway, lambda *_: ([], b""), limits_of(GatewaySettings(), 100_000))
    body = {"model": POOL, "messages": [{"role": "user", "content": "What is the capital of France?"}]}
    crowd = Crowd(server, request_bytes(1, body, {"authorization": f"Bearer {key}"}))
    try:
        await crowd.ask(REQUESTS)
        gc.collect()
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLDS)
        here, elsewhere = await _rounds(crowd)
        calls = await _calls(crowd)
    finally:
        watch.cancel()
        await asyncio.wait([watch])
        await service.gateway.aclose()
        service.close()
    print(
        f"event loop   {statistics.median(here):6.1f} us per request, at best {min(here):.1f}, {calls:.0f} Python calls"
    )
    print(f"other threads{statistics.median(elsewhere):6.1f} us per request, at best {min(elsewhere):.1f}: the ledger")


if __name__ == "__main__":
    argparse.ArgumentParser(prog="python -m tests.bench.in_process", description=__doc__).parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="spillway-bench-") as place,
        asyncio.Runner(loop_factory=EngineLoop) as runner,
    ):
        runner.run(_main(Path(place)))
