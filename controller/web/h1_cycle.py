"""One request and its answer on a connection of `h1_server`: what an ASGI app is handed as scope, receive and send."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from http import HTTPStatus
from typing import Any, Protocol

Message = MutableMapping[str, Any]  # Any: the ASGI specification's own type
Headers = list[tuple[bytes, bytes]]

READ_HIGH_BYTES = 512 * 1024  # a fast sender waits above this until the app has taken the body so far
STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}
LAST_CHUNK = b"0\r\n\r\n"


class Line(Protocol):
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
    """One request and its answer; `receive` and `send` are the app's."""

    __slots__ = (
        "_body",
        "_body_bytes",
        "_chunked",
        "_connection",
        "_delivered",
        "_head",
        "_is_head",
        "_waiter",
        "done",
        "expects_continue",
        "gone",
        "keep_alive",
        "more_body",
        "scope",
        "started",
    )

    def __init__(self, connection: Line, scope: Message, *, keep_alive: bool) -> None:
        self._connection = connection
        self.scope = scope
        self.keep_alive = keep_alive
        self._is_head = scope["method"] == "HEAD"
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._head = b""
        self._chunked = False
        self._delivered = False
        self._waiter: asyncio.Future[None] | None = None
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
        self.wake()
        return self._body_bytes < READ_HIGH_BYTES

    def wake(self) -> None:
        """There is news for whoever waits in `receive`."""
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    # for the app
    async def receive(self) -> Message:
        """The next part of the body; once all of it was taken, returns only when the caller has left."""
        if self.expects_continue and not self.started and self.more_body:
            self.expects_continue = False
            self._connection.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        while not self.gone and (self._delivered or (self.more_body and not self._body)):
            self._waiter = self._connection.loop.create_future()
            await self._waiter
        if self.gone:
            return {"type": "http.disconnect"}
        body = self._body
        data = b"" if not body else body[0] if len(body) == 1 else b"".join(body)
        self._body = []
        self._body_bytes = 0
        self._delivered = not self.more_body
        if self.more_body:
            self._connection.resume_reading()
        return {"type": "http.request", "body": data, "more_body": self.more_body}

    async def send(self, message: Message) -> None:
        """Head and body as ASGI has them; what goes to a caller who left is dropped."""
        connection = self._connection
        if self.gone or self.done:
            return
        if message["type"] == "http.response.start":
            self._begin(message["status"], message["headers"])
            return
        connection.write(self._framed(message.get("body", b""), more=message.get("more_body", False)))
        if self.done:
            connection.answered(self)
        if connection.write_paused is not None:
            await asyncio.shield(connection.write_paused)  # a cancelled sender leaves it to the next one

    def _begin(self, status: int, headers: Headers) -> None:
        self.started = True
        lines = [STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status]
        framed = False
        for name, value in headers:
            lines.append(b"%b: %b\r\n" % (name, value))
            if name == b"content-length":
                framed = True
            elif name == b"connection" and value == b"close":
                self.keep_alive = False
        if not framed and not self._is_head:
            self._chunked = self.scope["http_version"] == "1.1"
            self.keep_alive = self.keep_alive and self._chunked  # an older caller reads to the end of the connection
            if self._chunked:
                lines.append(b"transfer-encoding: chunked\r\n")
        if not self.keep_alive or self.expects_continue or self._connection.closes:
            self.keep_alive = False
            lines.append(b"connection: close\r\n")
        lines.append(b"\r\n")
        self._head = b"".join(lines)

    def _framed(self, body: bytes, *, more: bool) -> bytes:
        head, self._head = self._head, b""
        self.done = not more
        if self._is_head:
            return head
        if not self._chunked:
            return head + body
        chunk = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
        return head + chunk if more else head + chunk + LAST_CHUNK
