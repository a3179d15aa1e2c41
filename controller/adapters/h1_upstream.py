"""HTTP/1.1 client for own engines on a private network: an asyncio.Protocol, llhttp and a keep-alive pool.

Why ours: a library client costs a hop between its threads and the event loop per chunk. TLS, proxies and HTTP/2 are not
here on purpose; external providers go through `reqwest_upstream`. Satisfies `gateway.ports.Upstream`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Protocol
from urllib.parse import urlsplit

import httptools

from controller.core.errors import EngineUnavailable, UpstreamTimeout

HIGH_WATER_BYTES = 64 * 1024  # a slow caller pauses the engine's socket above this
MAX_UNARY_BYTES = 64 * 1024 * 1024
MAX_HEADER_BYTES = 64 * 1024
IDLE_PER_HOST = 512
FINISH_S = 0.5  # how long an answer that was read to its end marker may take to end on the wire


class Call(Protocol):
    """The fields of `gateway.ports.UpstreamCall` that are used here."""

    base_url: str
    path: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    stream: bool
    connect_timeout_s: float


class _Connection(asyncio.Protocol):
    """One socket. At any time it carries at most one exchange."""

    def __init__(self, idle: list[_Connection]) -> None:
        self._idle = idle
        self.transport: asyncio.Transport | None = None
        self._loop = asyncio.get_running_loop()
        self.lost = False
        self._cleanup: asyncio.TimerHandle | None = None
        self._reset(whole=True)
        self.complete = True
        self._parser = httptools.HttpResponseParser(self)

    def _reset(self, *, whole: bool) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self._header_bytes = 0
        self.chunks: list[bytes] = []
        self.buffered_bytes = 0
        self.complete = False
        self.whole = whole
        self.abandoned = False
        self.failure = ""
        self.keep_alive = True
        self.answered = False
        self._paused = False
        self._waiter: asyncio.Future[None] | None = None

    # asyncio.Protocol
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]  # TCP transports are asyncio.Transport

    def data_received(self, data: bytes) -> None:
        if self.complete:
            self.drop("bytes outside of an exchange")
            return
        self.answered = True
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self.drop(f"not HTTP/1.1: {type(error).__name__}")

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        if self._cleanup is not None:
            self._cleanup.cancel()
        if self in self._idle:
            self._idle.remove(self)
        if not self.complete:
            framed = "content-length" in self.headers or "transfer-encoding" in self.headers
            if exc is None and self.status and not framed and not self.failure:
                self.complete = True  # HTTP/1.0 style: the end of the connection is the end of the body
            else:
                self.failure = self.failure or (type(exc).__name__ if exc is not None else "connection closed")
        self._wake()

    # httptools
    def on_message_begin(self) -> None:
        if self.complete:  # raised, or the parser would mix it into the answer
            raise httptools.HttpParserError("a second answer")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._header_bytes += len(name) + len(value)
        if self._header_bytes > MAX_HEADER_BYTES:
            self.drop("header too large")
            return
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200:
            self.headers = {}
            return
        self.status = status
        self.keep_alive = self._parser.should_keep_alive()
        if not self.whole:
            self._wake()

    def on_body(self, body: bytes) -> None:
        if self.abandoned:
            return
        self.chunks.append(body)
        self.buffered_bytes += len(body)
        if self.whole:
            if self.buffered_bytes > MAX_UNARY_BYTES:
                self.drop("answer too large")
            return
        if self.buffered_bytes > HIGH_WATER_BYTES and not self._paused and self.transport is not None:
            self._paused = True
            self.transport.pause_reading()
        self._wake()

    def on_message_complete(self) -> None:
        if not self.status:
            return
        self.complete = True
        if self.abandoned:
            self.recycle()
        self._wake()

    # exchange
    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    async def wait(self) -> None:
        """Return when something has happened since."""
        waiter = self._waiter = self._loop.create_future()
        await waiter

    def start(self, head: bytes, body: bytes, *, whole: bool) -> None:
        """Afterwards the request is on its way."""
        self._reset(whole=whole)
        transport = self.transport
        if transport is None:
            self.failure = "no connection was made"
        elif len(body) < HIGH_WATER_BYTES:
            transport.write(head + body)
        else:
            transport.writelines((head, body))

    def take(self) -> bytes:
        """What has been buffered so far."""
        chunks = self.chunks
        if not chunks:
            return b""
        data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        self.chunks, self.buffered_bytes = [], 0
        if self._paused and self.transport is not None:
            self._paused = False
            self.transport.resume_reading()
        return data

    def drop(self, reason: str) -> None:
        """Afterwards the socket is closed at once."""
        self.failure = self.failure or reason
        if self.transport is not None and not self.lost:
            self.transport.abort()

    def finish(self) -> None:
        """The caller has what it wanted: keep the socket if the answer ends now or very soon, else close it."""
        if self.complete:
            self.recycle()
            return
        self.abandoned = True
        self.take()
        self._cleanup = self._loop.call_later(FINISH_S, self.drop, "answer did not end")

    def recycle(self) -> None:
        """Afterwards the socket waits for the next call, or is closed if it cannot be used again."""
        if self._cleanup is not None:
            self._cleanup.cancel()
            self._cleanup = None
        if self.lost or self.transport is None or self.transport.is_closing():
            return
        if not self.keep_alive or len(self._idle) >= IDLE_PER_HOST:
            self.transport.close()
            return
        self.take()
        self._idle.append(self)


class H1Response:
    """An answer of `H1Upstream`."""

    __slots__ = ("_closed", "_connection", "headers", "status")

    def __init__(self, connection: _Connection) -> None:
        self._connection = connection
        self._closed = False
        self.status = connection.status
        self.headers: Mapping[str, str] = connection.headers

    async def read(self) -> bytes:
        """The next bytes, empty at the end."""
        connection = self._connection
        while True:
            data = connection.take()
            if data or connection.complete:
                return data
            if connection.lost or connection.failure:
                raise EngineUnavailable(f"connection broke: {connection.failure}")
            await connection.wait()

    async def close(self, *, finished: bool = False) -> None:
        """Keep the socket when the answer is whole (or `finished`: its end marker was read), else cut it."""
        if self._closed:
            return
        self._closed = True
        if finished or self._connection.complete:
            self._connection.finish()
        else:
            self._connection.drop("caller left")


class H1Upstream:
    """Calls over plain HTTP/1.1 with keep-alive."""

    def __init__(self) -> None:
        self._idle: dict[str, list[_Connection]] = {}
        self._targets: dict[str, tuple[str, int, str, bytes]] = {}

    def _target(self, base_url: str) -> tuple[str, int, str, bytes]:
        found = self._targets.get(base_url)
        if found is None:
            parts = urlsplit(base_url)
            if parts.scheme != "http" or not parts.hostname:
                raise EngineUnavailable(f"not a plain http:// address: {base_url}")
            found = (parts.hostname, parts.port or 80, parts.path.rstrip("/"), parts.netloc.encode("ascii"))
            self._targets[base_url] = found
        return found

    async def _connect(self, base_url: str, idle: list[_Connection], timeout_s: float) -> _Connection:
        host, port, _, _ = self._target(base_url)
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(timeout_s):
                _, connection = await loop.create_connection(lambda: _Connection(idle), host, port)
        except TimeoutError as error:
            raise UpstreamTimeout("connect", timeout_s) from error
        except OSError as error:
            raise EngineUnavailable(f"no connection to {host}:{port}: {error.strerror or error}") from error
        return connection

    async def open(self, call: Call) -> H1Response:
        """The response once its head is here (streams) or it is whole (unary)."""
        _, _, prefix, netloc = self._target(call.base_url)
        lines = [f"POST {prefix}{call.path} HTTP/1.1\r\nhost: ".encode("latin-1"), netloc]
        lines.extend(f"\r\n{name}: {value}".encode("latin-1") for name, value in call.headers)
        lines.append(b"\r\ncontent-length: %d\r\n\r\n" % len(call.body))
        head = b"".join(lines)
        idle = self._idle.setdefault(call.base_url, [])
        while True:
            reused = bool(idle)
            connection = idle.pop() if idle else await self._connect(call.base_url, idle, call.connect_timeout_s)
            if connection.lost or connection.transport is None or connection.transport.is_closing():
                continue
            connection.start(head, call.body, whole=not call.stream)
            if await self._answered(connection):
                return H1Response(connection)
            if reused and not connection.answered:
                continue  # the engine had closed this idle connection: it never saw the request
            raise EngineUnavailable(f"connection broke before the answer: {connection.failure}")

    @staticmethod
    async def _answered(connection: _Connection) -> bool:
        try:
            while not (connection.complete or (connection.status and not connection.whole)):
                if connection.lost or connection.failure:
                    return False
                await connection.wait()
        except BaseException:
            connection.drop("caller left")
            raise
        return True

    async def aclose(self) -> None:
        """Afterwards no idle connection is left."""
        for idle in self._idle.values():
            for connection in list(idle):
                if connection.transport is not None:
                    connection.transport.close()
            idle.clear()
