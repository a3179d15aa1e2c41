"""A TCP proxy in user space that spoils a connection: for machines whose kernel has no traffic control."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from tests.faults.stub import reset

PIECE_BYTES = 65536


@dataclass(kw_only=True)
class Toxics:
    """What is wrong with the line. All may be changed while connections are open."""

    latency_s: float = 0.0  # each piece from the server arrives so much later
    bandwidth_bytes_per_s: float | None = None
    down: bool = False  # new connections are reset at once
    silent: bool = False  # bytes are taken and go nowhere, connections stay
    slow_close_s: float = 0.0  # the end arrives so much later
    reset_after_bytes: int | None = None  # of the answer, per connection
    slice_bytes: int | None = None  # pieces of the answer are at most so long


@dataclass
class Proxy:
    """A running proxy in front of one port."""

    upstream_port: int
    toxics: Toxics = field(default_factory=Toxics)
    port: int = 0
    accepted: int = 0
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)
    _server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        """Its address, without a path."""
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Takes connections from now on."""
        self._server = await asyncio.start_server(self._connection, "127.0.0.1", self.port, backlog=2048)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """The port refuses, and every connection is reset."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self.cut()
        await asyncio.sleep(0.01)

    def cut(self) -> None:
        """Resets every connection."""
        for writer in list(self._writers):
            reset(writer)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        if self.toxics.down:
            reset(writer)
            return
        try:
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self.upstream_port)
        except OSError:
            reset(writer)
            return
        self._writers |= {writer, up_writer}
        pumps = [
            asyncio.create_task(self._pump(reader, up_writer, answer=False)),
            asyncio.create_task(self._pump(up_reader, writer, answer=True)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.sleep(self.toxics.slow_close_s)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            for one in (writer, up_writer):
                self._writers.discard(one)
                one.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, answer: bool) -> None:
        toxics, passed = self.toxics, 0
        with contextlib.suppress(ConnectionError):
            while data := await reader.read((answer and toxics.slice_bytes) or PIECE_BYTES):
                if toxics.silent:
                    continue
                if answer:
                    await asyncio.sleep(toxics.latency_s)
                    if toxics.bandwidth_bytes_per_s:
                        await asyncio.sleep(len(data) / toxics.bandwidth_bytes_per_s)
                    limit = toxics.reset_after_bytes
                    if limit is not None and passed + len(data) >= limit:
                        writer.write(data[: limit - passed])
                        await writer.drain()
                        await asyncio.sleep(0.02)  # for the bytes to arrive before the reset throws them away
                        reset(writer)
                        return
                passed += len(data)
                writer.write(data)
                await writer.drain()


@contextlib.asynccontextmanager
async def proxied(*ports: int) -> AsyncIterator[tuple[Proxy, ...]]:
    """One proxy per port; afterwards none has a connection."""
    proxies = tuple(Proxy(port) for port in ports)
    for proxy in proxies:
        await proxy.start()
    try:
        yield proxies
    finally:
        for proxy in proxies:
            await proxy.stop()
