"""One request and its answer on a connection of `h1_server`: what an app is handed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import Protocol

Headers = list[tuple[bytes, bytes]]

READ_HIGH_BYTES = 512 * 1024  # a fast sender waits above this until the app has taken the body so far
STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}
LAST_CHUNK = b"0\r\n\r\n"


class Link(Protocol):
    """The connection as a cycle sees it."""

    loop: asyncio.AbstractEventLoop
    write_paused: asyncio.Future[None] | None

    @property
    def closes(self) -> bool:
        """Whether this answer is the last one here."""
        ...

    def write(self, data: bytes) -> None:
        """Afterwards the bytes are on their way."""
        ...

    def resume_reading(self) -> None:
        """The sender may go on."""
        ...

    def answered(self, cycle: Cycle) -> None:
        """The whole answer is written."""
        ...


class Cycle:
    """One request and its answer. No ASGI: its messages and coroutines cost a twentieth of a request."""

    __slots__ = (
        "_body",
        "_body_bytes",
        "_chunked",
        "_connection",
        "_head",
        "_waiter",
        "done",
        "expects_continue",
        "gone",
        "headers",
        "http_version",
        "keep_alive",
        "method",
        "more_body",
        "on_gone",
        "path",
        "query",
        "started",
    )

    def __init__(self, connection: Link, method: bytes, url: bytes, headers: Headers) -> None:
        self._connection = connection
        self.method = method
        self.path, _, self.query = url.partition(b"?")
        self.headers = headers
        self.http_version = "1.1"
        self.keep_alive = True
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._head = b""
        self._chunked = False
        self._waiter: asyncio.Future[None] | None = None
        self.on_gone: Callable[[], None] | None = None
        self.expects_continue = False
        self.more_body = True
        self.started = False
        self.done = False
        self.gone = False

    # from the connection
    def feed(self, body: bytes) -> bool:
        """One more piece of the body; False when the sender should wait."""
        self._body.append(body)
        self._body_bytes += len(body)
        if self._waiter is not None:
            self.wake()
        return self._body_bytes < READ_HIGH_BYTES

    def wake(self) -> None:
        """There is news for whoever waits in `more`."""
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def leave(self) -> None:
        """The caller has gone; what is still written is dropped."""
        self.gone = True
        self.wake()
        if self.on_gone is not None:
            self.on_gone()

    # for the app
    def whole_body(self) -> bytes | None:
        """The body when all of it is here, else None."""
        return None if self.more_body or self.gone else self._taken()

    async def more(self) -> bytes | None:
        """The next part of the body, empty at its end; None when the caller has left."""
        if self.expects_continue and not self.started and self.more_body:
            self.expects_continue = False
            self._connection.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        while not self.gone and self.more_body and not self._body:
            self._waiter = self._connection.loop.create_future()
            await self._waiter
        if self.gone:
            return None
        data = self._taken()
        if self.more_body:
            self._connection.resume_reading()
        return data

    def _taken(self) -> bytes:
        body = self._body
        data = b"" if not body else body[0] if len(body) == 1 else b"".join(body)
        self._body = []
        self._body_bytes = 0
        return data

    def begin(self, status: int, headers: Headers) -> None:
        """The head of the answer; it leaves with the first bytes of the body."""
        if self.gone or self.done:
            return
        self.started = True
        lines = [STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status]
        framed = False
        for name, value in headers:
            lines.append(b"%b: %b\r\n" % (name, value))
            if name == b"content-length":
                framed = True
            elif name == b"connection" and value == b"close":
                self.keep_alive = False
        if not framed and self.method != b"HEAD":
            self._chunked = self.http_version == "1.1"
            self.keep_alive = self.keep_alive and self._chunked  # an older caller reads to the end of the connection
            if self._chunked:
                lines.append(b"transfer-encoding: chunked\r\n")
        if not self.keep_alive or self.expects_continue or self._connection.closes:
            self.keep_alive = False
            lines.append(b"connection: close\r\n")
        lines.append(b"\r\n")
        self._head = b"".join(lines)

    def write(self, body: bytes, *, more: bool) -> bool:
        """Afterwards the bytes are on their way; False when the caller is slow: wait in `writable` before the next."""
        connection = self._connection
        if self.gone or self.done:
            return True
        connection.write(self._framed(body, more=more))
        if self.done:
            connection.answered(self)
        return connection.write_paused is None

    async def writable(self) -> None:
        """Returns when the caller has taken enough of what was written, or has left."""
        paused = self._connection.write_paused
        if paused is not None:
            await asyncio.shield(paused)  # a cancelled wait leaves it to the next one

    def _framed(self, body: bytes, *, more: bool) -> bytes:
        head, self._head = self._head, b""
        self.done = not more
        if self.method == b"HEAD":
            return head
        if not self._chunked:
            return head + body if head else body
        if not more:
            return b"%b%x\r\n%b\r\n%b" % (head, len(body), body, LAST_CHUNK) if body else head + LAST_CHUNK
        return b"%b%x\r\n%b\r\n" % (head, len(body), body) if body else head
