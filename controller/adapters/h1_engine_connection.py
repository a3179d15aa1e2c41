"""One socket of `h1_upstream` to an engine: bytes out as they are given, answers in by llhttp."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import NoReturn

import httptools

from controller.config.settings import CAPS

HIGH_WATER_BYTES = 8 * 1024  # a slow caller pauses the engine's socket above this
RECEIVE_BYTES = 16 * 1024  # of the kernel, per socket: else one that is paused may hold megabytes
JOINED_BYTES = 64 * 1024  # a shorter request is written in one piece
MAX_UNARY_BYTES = CAPS.answer_bytes
MAX_HEADER_BYTES = CAPS.answer_header_bytes
IDLE_PER_HOST = 512
FINISH_S = 0.5  # how long an answer that was read to its end marker may take to end on the wire


class EngineConnection(asyncio.Protocol):
    """One socket. At any time it carries at most one exchange. It stands in `open_` while it is connected.

    `way`: the host and the address by which it goes there.
    """

    def __init__(self, idle: list[EngineConnection], open_: set[EngineConnection], way: tuple[str, str]) -> None:
        self.way = way
        self._idle = idle
        self._open = open_
        self.transport: asyncio.Transport | None = None
        self._loop = asyncio.get_running_loop()
        self.lost = False
        self._cleanup: asyncio.TimerHandle | None = None
        self._reset(whole=True)
        self.complete = True
        self._parser = httptools.HttpResponseParser(self)

    def _reset(self, *, whole: bool) -> None:
        self.status = 0
        self._raw_headers: list[tuple[bytes, bytes]] = []
        self._header_bytes = 0
        self.chunks: list[bytes] = []
        self.buffered_bytes = 0
        self.complete = False
        self.whole = whole
        self.abandoned = False
        self.failure = ""
        self.keep_alive = True
        self.answered = False
        self.swept = False  # found idle by a sweep, and not used since
        self._paused = False
        self._waiter: asyncio.Future[None] | None = None
        self.sink: Callable[[bytes], bool] | None = None  # takes pieces as they come, until it says False

    # asyncio.Protocol
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]  # TCP transports are asyncio.Transport
        self._open.add(self)
        sock = transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)

    def data_received(self, data: bytes) -> None:
        if self.complete:
            self.drop("bytes outside of an exchange")
            return
        self.answered = True
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self.drop(f"not HTTP/1.1: {type(error).__name__}")
        if self.sink is not None and self.chunks and not self.sink(self.take()):
            self.sink = None
            self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        self._open.discard(self)
        if self._cleanup is not None:
            self._cleanup.cancel()
        if self in self._idle:
            self._idle.remove(self)
        if not self.complete:
            headers = self.headers
            framed = "content-length" in headers or "transfer-encoding" in headers
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
            self._refuse("header too large")
        self._raw_headers.append((name, value))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200:
            self._raw_headers = []
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
                self._refuse("answer too large")
            return
        if self.sink is not None:
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

    def _refuse(self, why: str) -> NoReturn:
        """Ends the answer here: its end in the same read would make it a whole one."""
        self.drop(why)
        raise httptools.HttpParserError(why)

    # exchange
    @property
    def headers(self) -> dict[str, str]:
        """Values by lower-case name; made when asked for, as most answers are relayed without a look at them."""
        return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in self._raw_headers}

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
        elif len(body) < JOINED_BYTES:
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

    def hang_up(self) -> None:
        """Afterwards the engine reads the end of the connection, whatever else the loop has to do before it is cut."""
        transport = self.transport
        if transport is not None and not (self.complete or self.lost or transport.is_closing()):
            self.keep_alive = False
            transport.write_eof()

    def drop(self, reason: str) -> None:
        """Afterwards the socket is closed at once."""
        self.failure = self.failure or reason
        if self.transport is not None and not self.lost:
            self.transport.abort()

    def close(self) -> None:
        """Afterwards the idle socket is on its way out."""
        if self.transport is not None:
            self.transport.close()

    def leave(self) -> None:
        """Afterwards it takes no further call: closed if it is idle, else at the end of its answer."""
        self.keep_alive = False
        if self in self._idle:
            self._idle.remove(self)
            self.close()

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
