"""One connection of `h1_server`: bytes into requests by llhttp, one after the other; answers of the app into bytes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol, cast

import httptools

from controller.web.h1_cycle import STATUS_LINES, Cycle, Headers

App = Callable[[Cycle], Awaitable[None]]
Refusal = Callable[[int, str], tuple[Headers, bytes]]

WRITE_HIGH_BYTES = 16 * 1024  # a slow reader stops its own stream above this
LINGER_S = 2.0  # after a refusal what still comes is read and thrown away, or a reset would overtake the answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Caps and deadlines of a connection."""

    header_bytes: int
    header_count: int
    discard_bytes: int  # of a body that nobody wants, so that its sender gets to read the answer
    pipelined: int
    header_s: float = 10.0  # from the first byte of a request to the end of its head
    keep_alive_s: float = 75.0
    discard_s: float = 30.0
    connections: int = 100_000  # open at a time; further ones wait in the kernel


class Host(Protocol):
    """The server as a connection sees it. `now_s`: loop time of the last sweep."""

    app: App
    refusal: Refusal
    limits: Limits
    leading_away: bool
    draining: bool
    now_s: float

    def opened(self, connection: Connection) -> None:
        """One more connection."""
        ...

    def closed(self, connection: Connection) -> None:
        """The connection is gone."""
        ...

    def started(self, task: asyncio.Task[None]) -> None:
        """A request's task, to be kept until it ends."""
        ...


class Connection(asyncio.Protocol):
    """Reads requests one after the other; a pipelined one waits its turn."""

    def __init__(self, server: Host) -> None:
        self.server = server
        self._limits = server.limits
        self.loop = asyncio.get_running_loop()
        self.deadline_s = server.now_s + server.limits.header_s
        self.write_paused: asyncio.Future[None] | None = None
        self._parser = httptools.HttpRequestParser(self)
        self._cycle: Cycle | None = None  # whose answer is under way
        self._reading: Cycle | None = None  # whose body is being read
        self._waiting: list[Cycle] = []
        self._refused: tuple[int, str] | None = None
        self._read_paused = False
        self._discarded_bytes = 0
        self._clear()

    def _clear(self) -> None:
        self._url = b""
        self._headers: Headers = []
        self._header_bytes = 0
        self._expects_continue = False

    @property
    def closes(self) -> bool:
        """Whether an answer that begins now is the last one here."""
        return self.server.leading_away

    @property
    def is_idle(self) -> bool:
        """Nothing is asked or answered here."""
        return self._cycle is None and not self._header_bytes and self._refused is None

    # asyncio.Protocol
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=WRITE_HIGH_BYTES)
        self.server.opened(self)
        if self.server.draining:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        if self._refused is not None:
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._refuse(400, "no other protocol is spoken here")
        except httptools.HttpParserError as error:
            status, why = self._refused or (400, f"not HTTP/1.1: {type(error).__name__}")
            self._refuse(status, why)

    def eof_received(self) -> None:
        return None

    def connection_lost(self, exc: Exception | None) -> None:
        self.deadline_s = 0.0
        for cycle in (self._cycle, self._reading, *self._waiting):
            if cycle is not None and not cycle.gone:
                cycle.leave()
        self._waiting.clear()
        self.resume_writing()
        self.server.closed(self)

    def pause_writing(self) -> None:
        self.write_paused = self.loop.create_future()

    def resume_writing(self) -> None:
        paused, self.write_paused = self.write_paused, None
        if paused is not None and not paused.done():
            paused.set_result(None)

    # httptools
    def on_message_begin(self) -> None:
        if self._cycle is None:
            self.deadline_s = self.server.now_s + self.server.limits.header_s

    def on_url(self, url: bytes) -> None:
        self._url += url
        self._count(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        headers = self._headers
        headers.append((name, value))
        self._header_bytes += len(name) + len(value)
        if self._header_bytes > self._limits.header_bytes or len(headers) > self._limits.header_count:
            self._count(0)
        if name == b"expect":
            self._expects_continue = value.lower() == b"100-continue"

    def _count(self, size_bytes: int) -> None:
        self._header_bytes += size_bytes
        limits = self._limits
        if self._header_bytes > limits.header_bytes or len(self._headers) > limits.header_count:
            self._refused = (431, f"the head is over {limits.header_bytes} bytes or {limits.header_count} headers")
            raise ValueError("head too large")

    def on_headers_complete(self) -> None:
        parser = self._parser
        cycle = self._reading = Cycle(self, parser.get_method(), self._url, self._headers)
        cycle.http_version = parser.get_http_version()
        cycle.keep_alive = parser.should_keep_alive()
        cycle.expects_continue = self._expects_continue
        self._clear()
        if self._cycle is None:
            self._start(cycle)
        elif len(self._waiting) < self.server.limits.pipelined:
            self._waiting.append(cycle)
        else:
            self._refused = (400, f"more than {self.server.limits.pipelined} requests ahead of their answers")
            raise ValueError("too many requests")

    def on_body(self, body: bytes) -> None:
        cycle = self._reading
        if cycle is None:
            return
        if cycle.done:
            self._discarded_bytes += len(body)
            if self._discarded_bytes > self.server.limits.discard_bytes:
                self.cut()
        elif not cycle.feed(body):
            self._read_paused = True
            self._transport.pause_reading()

    def on_message_complete(self) -> None:
        cycle, self._reading = self._reading, None
        if cycle is None:
            return
        cycle.more_body = False
        if cycle.done:
            self._next(cycle)
        else:
            cycle.wake()

    # requests
    def _start(self, cycle: Cycle) -> None:
        self._cycle = cycle
        self.deadline_s = 0.0  # the app has deadlines of its own
        self.server.started(self.loop.create_task(self._run(cycle), name="request"))

    async def _run(self, cycle: Cycle) -> None:
        """The app's answer; one that ends without a whole answer takes the connection with it."""
        try:
            await self.server.app(cycle)
        finally:
            if not cycle.done and not cycle.gone:
                self.cut()

    def answered(self, cycle: Cycle) -> None:
        """The answer of a request is written; what is left of its body is read and thrown away."""
        if cycle.more_body and self._reading is cycle:
            self.deadline_s = self.server.now_s + self.server.limits.discard_s
            self.resume_reading()
        else:
            self._next(cycle)

    def _next(self, cycle: Cycle) -> None:
        self._cycle = None
        if not cycle.keep_alive or self.server.draining:
            self._transport.close()
        elif self._waiting:
            self._start(self._waiting.pop(0))
        else:
            self.deadline_s = self.server.now_s + self.server.limits.keep_alive_s

    def write(self, data: bytes) -> None:
        """Afterwards the bytes are on their way."""
        if data:
            self._transport.write(data)

    def resume_reading(self) -> None:
        """The sender may go on."""
        if self._read_paused:
            self._read_paused = False
            self._transport.resume_reading()

    # ends
    def _refuse(self, status: int, why: str) -> None:
        """Says why and closes; a request whose answer is under way is cut instead, for two answers would mix."""
        self._refused = (status, why)
        if self._cycle is not None and self._cycle.started:
            self.cut()
            return
        if self._cycle is not None:
            self._cycle.leave()
        headers, body = self.server.refusal(status, why)
        lines = [STATUS_LINES[status], *(b"%b: %b\r\n" % header for header in headers)]
        lines.append(b"content-length: %d\r\nconnection: close\r\n\r\n" % len(body))
        self._transport.write(b"".join(lines) + body)
        self.deadline_s = self.server.now_s + LINGER_S
        self._transport.write_eof()

    def expire(self) -> None:
        """A deadline has passed: a request that began is told, an idle connection is simply closed."""
        self.deadline_s = 0.0
        if self._refused is None and self._cycle is None and self._header_bytes:
            self._refuse(408, f"the head did not arrive within {self.server.limits.header_s:g} s")
        else:
            self._transport.close()

    def retire(self) -> None:
        """The server drains: idle connections close now, others after their answer."""
        if self._cycle is None:
            self._transport.close()

    def cut(self) -> None:
        """Afterwards the socket is closed at once."""
        self._transport.abort()
