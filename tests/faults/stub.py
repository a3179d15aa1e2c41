"""A stub engine and provider that speaks the wire of vLLM, OpenAI and Anthropic and does what a script says.

It counts, per request id, the tokens that it really made, so that the ledger can be held against an outside count.
Scripts are in `stub_scripts`; `stub_process` is one that can be killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

INPUT_TOKENS = 11
UNSENT_BYTES = 16 * 1024
RST_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER: on, 0 seconds


@dataclass(kw_only=True)
class Served:
    """One call as the stub saw it. Times are those of `time.monotonic`."""

    stub: str
    request_id: str
    path: str
    headers: dict[str, str]
    body: dict[str, object]
    raw: bytes
    began_s: float
    connection: int
    made_tokens: int = 0  # what the upstream would bill
    input_tokens: int = INPUT_TOKENS
    told: bool = False  # the usage left the stub in whole
    left_s: float | None = None  # when the caller was seen to leave
    ended_s: float | None = None

    @property
    def stream(self) -> bool:
        """Whether events were asked for."""
        return bool(self.body.get("stream"))

    @property
    def is_anthropic(self) -> bool:
        """Whether it came in Anthropic's dialect."""
        return self.path.endswith("/messages")


@dataclass
class Exchange:
    """A call and the means to answer it."""

    call: Served
    stub: Stub
    writer: asyncio.StreamWriter
    keep: bool = True

    async def write(self, data: bytes) -> None:
        """Afterwards the bytes are on their way."""
        self.writer.write(data)
        await self.writer.drain()

    async def chunk(self, data: bytes) -> None:
        """The same as one HTTP chunk."""
        await self.write(b"%x\r\n%b\r\n" % (len(data), data))

    def reset(self) -> None:
        """Ends the connection with a reset."""
        self.keep = False
        reset(self.writer)

    def close(self) -> None:
        """Ends the connection in order."""
        self.keep = False
        self.writer.close()


Script = Callable[[Exchange], Awaitable[None]]
Pages = dict[str, Callable[[], tuple[int, bytes]]]


@dataclass
class Stub:
    """A running stub. `script` serves every call that `queue` has no script for."""

    name: str
    script: Script
    queue: list[Script] = field(default_factory=list)
    calls: list[Served] = field(default_factory=list)
    marker: str = ""  # a canary in front of every answer
    port: int = 0
    name_at: str = "127.0.0.1"  # under which callers find it
    address: str = "127.0.0.1"  # at which it listens
    drains: bool = False  # goes on making tokens for a caller who left, as providers do
    refuses: bool = False  # takes no connection any more
    pages: Pages = field(default_factory=dict)
    connections: set[asyncio.StreamWriter] = field(default_factory=set)
    _idle: set[asyncio.StreamWriter] = field(default_factory=set)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _server: asyncio.Server | None = None
    _count: int = 0

    @property
    def url(self) -> str:
        """Its address, without a path."""
        return f"http://{self.name_at}:{self.port}"

    @property
    def open_calls(self) -> list[Served]:
        """Those that have not ended."""
        return [call for call in self.calls if call.ended_s is None]

    def word(self, number: int) -> str:
        """The text of a token: says who made it and which one it is."""
        return f"{self.marker}{self.name}:{number} "

    def page(self, path: str) -> tuple[int, bytes]:
        """What a GET hears: the engine's own pages."""
        running = len(self.open_calls)
        made = sum(call.made_tokens for call in self.calls)
        if path in self.pages:
            return self.pages[path]()
        if path == "/metrics":
            labels = f'{{engine="0",model_name="{self.name}"}}'
            lines = [
                f"vllm:num_requests_running{labels} {running}.0",
                f"vllm:num_requests_waiting{labels} 0.0",
                f"vllm:kv_cache_usage_perc{labels} 0.0",
                f"vllm:generation_tokens_total{labels} {made}.0",
                f"vllm:prompt_tokens_total{labels} {len(self.calls) * INPUT_TOKENS}.0",
            ]
            return 200, ("\n".join(lines) + "\n").encode()
        if path.endswith("/models"):
            return 200, json.dumps({"object": "list", "data": [{"id": self.name, "object": "model"}]}).encode()
        return (200, b"") if path in ("/health", "/ping", "/version") else (404, b"")

    async def listen(self) -> None:
        """Takes connections from now on, on the same port as before if there was one."""
        listener = socket.socket(proto=socket.IPPROTO_TCP)  # named, or asyncio lets small pieces wait for each other
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)  # `made_tokens` is what left
        listener.bind((self.address, self.port))
        self._server = await asyncio.start_server(self._connection, sock=listener, limit=2**24, backlog=2048)
        self.port = self._server.sockets[0].getsockname()[1]

    async def die(self) -> None:
        """As a killed process: the port refuses, every connection is reset."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in list(self.connections):
            reset(writer)
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0.01)  # for the transports to close, also of what the port had taken and nobody yet served

    def drop_idle(self) -> None:
        """Closes kept-alive connections, as an engine may at any time: what the gateway then holds is its own."""
        for writer in list(self._idle):
            writer.close()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._server is None:
            reset(writer)
            return
        self._count += 1
        number = self._count
        self.connections.add(writer)
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            while await self._next(number, reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.connections.discard(writer)
            self._idle.discard(writer)
            self._tasks.discard(task)
            writer.close()

    async def _next(self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        self._idle.add(writer)
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        self._idle.discard(writer)
        line, *fields = head.strip().split("\r\n")
        headers = {name.lower(): value.strip() for name, value in (field.split(":", 1) for field in fields)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        method, path, _ = line.split(" ", 2)
        if method == "GET":
            status, page = self.page(path)
            writer.write(b"HTTP/1.1 %d X\r\ncontent-length: %d\r\n\r\n" % (status, len(page)) + page)
            await writer.drain()
            return True
        call = Served(
            stub=self.name,
            request_id=headers.get("x-request-id", ""),
            path=path,
            headers=headers,
            body=json.loads(body) if body else {},
            raw=body,
            began_s=time.monotonic(),
            connection=number,
        )
        self.calls.append(call)
        exchange = Exchange(call, self, writer)
        try:
            await self._run(exchange, reader)
        finally:
            call.ended_s = time.monotonic()
        return exchange.keep

    async def _run(self, exchange: Exchange, reader: asyncio.StreamReader) -> None:
        """The script, until it ends or the caller leaves; a stub that drains only notes the departure."""
        script = self.queue.pop(0) if self.queue else self.script
        answering = asyncio.ensure_future(script(exchange))
        leaving = asyncio.ensure_future(reader.read(1))
        try:
            await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if not answering.done():
                self._gone(exchange)
                if self.drains:
                    await answering
            if answering.done():
                answering.result()
        except (ConnectionError, RuntimeError):  # uvloop's word for a transport that is closed
            self._gone(exchange)
        finally:
            for task in (answering, leaving):
                task.cancel()
            await asyncio.gather(answering, leaving, return_exceptions=True)

    @staticmethod
    def _gone(exchange: Exchange) -> None:
        exchange.call.left_s = exchange.call.left_s or time.monotonic()
        exchange.keep = False


def reset(writer: asyncio.StreamWriter) -> None:
    """Afterwards the peer has got a reset."""
    sock = writer.get_extra_info("socket")
    if sock is not None:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RST_ON_CLOSE)
    writer.transport.abort()


@contextlib.asynccontextmanager
async def running(*stubs: Stub) -> AsyncIterator[None]:
    """Afterwards none of them has a connection."""
    for stub in stubs:
        await stub.listen()
    try:
        yield
    finally:
        for stub in stubs:
            await stub.die()
