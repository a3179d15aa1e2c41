"""A TCP server that reads HTTP requests and then does to its caller exactly what a test says, byte by byte."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field

RST_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER: on, 0 seconds


@dataclass(frozen=True, kw_only=True)
class Request:
    """One request as it came."""

    line: str
    headers: dict[str, str]
    body: bytes
    connection: int  # which one it came on, from 1


@dataclass(kw_only=True)
class Peer:
    """One connection as the script sees it."""

    number: int
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    requests: list[Request]

    async def request(self) -> Request:
        """The next request, whole."""
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        line, *fields = head.strip().split("\r\n")
        headers = {name.lower(): value for name, value in (field.split(": ", 1) for field in fields)}
        body = await self.reader.readexactly(int(headers.get("content-length", "0")))
        made = Request(line=line, headers=headers, body=body, connection=self.number)
        self.requests.append(made)
        return made

    async def send(self, data: bytes) -> None:
        """Afterwards the bytes are on their way."""
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self, data: bytes) -> None:
        """Reads a request and sends the bytes."""
        await self.request()
        await self.send(data)

    def close(self) -> None:
        """Ends the connection in order."""
        self.writer.close()

    def reset(self) -> None:
        """Ends it with a reset."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RST_ON_CLOSE)
        self.writer.transport.abort()

    async def gone(self) -> None:
        """Returns when the caller has closed its end, however it did that."""
        with contextlib.suppress(ConnectionError):
            while await self.reader.read(65536):
                pass


Script = Callable[[Peer], Awaitable[None]]


def chunk(data: bytes) -> bytes:
    """Data as one HTTP chunk."""
    return b"%x\r\n%s\r\n" % (len(data), data)


def always(data: bytes) -> Script:
    """A script that answers every request alike."""

    async def script(peer: Peer) -> None:
        while True:
            await peer.answer(data)

    return script


def once(data: bytes, end: Callable[[Peer], None]) -> Script:
    """A script that answers one request and then ends the connection."""

    async def script(peer: Peer) -> None:
        await peer.answer(data)
        end(peer)
        await peer.gone()

    return script


@dataclass
class Scripted:
    """A running server."""

    port: int
    peers: list[Peer] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Its address with a path prefix, as providers have one."""
        return f"http://127.0.0.1:{self.port}/v1"


@contextlib.asynccontextmanager
async def scripted(*scripts: Script) -> AsyncIterator[Scripted]:
    """Runs a script per connection, the last one for all further ones; afterwards every connection is closed."""
    server = Scripted(0)
    failures: list[BaseException] = []

    async def on_connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = len(server.peers) + 1
        peer = Peer(number=number, reader=reader, writer=writer, requests=server.requests)
        server.peers.append(peer)
        try:
            await scripts[min(number, len(scripts)) - 1](peer)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass  # the caller left: scripts that care look for it
        except AssertionError as error:
            failures.append(error)
        finally:
            writer.close()

    listener = await asyncio.start_server(on_connection, "127.0.0.1", 0, limit=2**22)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()
        for peer in server.peers:
            if not peer.writer.is_closing():
                peer.writer.transport.abort()
        await asyncio.sleep(0.01)  # for the transports to close
    if failures:
        raise failures[0]


@contextlib.contextmanager
def deaf_port() -> Iterator[int]:
    """A port whose backlog is full: connections to it are never answered."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                waiting.connect(listener.getsockname())
        yield listener.getsockname()[1]


def refusing_port() -> int:
    """A port where nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])
