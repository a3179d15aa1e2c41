"""An engine that is asked for nothing: its metrics page is the simulated engine's, of hundreds in one process.

`python -m tests.cluster.quiet_engine SERVER CERTIFICATES NAMESPACE NODES` runs the stand-in node with one in every pod,
for benches whose controller shall have the machine's other core.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from pathlib import Path

from controller.engine_sim.measures import EngineMeasures
from tests.cluster.admin_client import AdminClient
from tests.cluster.stand_in_node import StandInNode

PAGE = EngineMeasures("meta-llama/Llama-3.1-8B-Instruct").exposition(
    running=0, waiting=0, kv_used_ratio=0.0, prefix_queried=0, prefix_hit=0
)
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain; version=0.0.4\r\ncontent-length: %d\r\n\r\n" % len(PAGE) + PAGE


class QuietEngine:
    """Answers every request with its metrics."""

    def __init__(self, address: str, port: int) -> None:
        self._address, self._port = address, port
        self._server: asyncio.Server | None = None

    async def listen(self) -> None:
        """It serves from now on."""
        self._server = await asyncio.start_server(_answer, self._address, self._port)

    async def die(self) -> None:
        """It takes no connection any more."""
        if self._server is not None:
            self._server.close()
            self._server = None

    def is_idle(self) -> bool:
        """Always."""
        return True


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
        while True:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(ANSWER)
            await writer.drain()
    writer.close()


async def _main(server: str, certificates: Path, namespace: str, nodes: int) -> None:
    api = AdminClient(server, certificates)
    names = [f"gpu-{number}" for number in range(nodes)]
    try:
        await StandInNode(
            api, namespace, lambda _name, address, port: QuietEngine(address, port), cold_start_s=0.1, nodes=names
        ).run()
    finally:
        await api.close()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_main(sys.argv[1], Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])))
