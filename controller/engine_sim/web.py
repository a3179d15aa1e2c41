"""A minimum of HTTP on ASGI for the two simulated servers: bodies, answers, callers that leave, connections cut."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

import orjson

from controller.engine_sim.asks import Refusal

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = Iterable[tuple[bytes, bytes]]

BODY_BYTES = 64 * 1024 * 1024
JSON_TYPE = (b"content-type", b"application/json")
SSE_TYPE = (b"content-type", b"text/event-stream; charset=utf-8")


class CallerLeft(Exception):
    """The connection was closed from the other side."""


class Exchange:
    """One request and its answer."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, headers: Headers = ()) -> None:
        self.scope = scope
        self._receive = receive
        self._send = send
        self._headers = list(headers)
        self.started = False

    def header(self, name: bytes) -> str | None:
        """One request header."""
        for key, value in self.scope["headers"]:
            if key == name:
                return str(value.decode("latin-1"))
        return None

    async def body(self) -> bytes:
        """The whole request body."""
        parts: list[bytes] = []
        size = 0
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise CallerLeft
            part = message.get("body", b"")
            size += len(part)
            if size > BODY_BYTES:
                raise Refusal(413, f"body larger than {BODY_BYTES} bytes")
            parts.append(part)
            if not message.get("more_body"):
                return b"".join(parts)

    def on_leave(self, callback: Callable[[], None]) -> asyncio.Task[None]:
        """Call back as soon as the caller is gone; cancel the returned task when the answer is done."""

        async def watch() -> None:
            while (await self._receive())["type"] != "http.disconnect":
                pass
            callback()

        return asyncio.get_running_loop().create_task(watch(), name="watch-caller")

    async def start(self, status: int, headers: Headers) -> None:
        """Send the head."""
        self.started = True
        await self._send({"type": "http.response.start", "status": status, "headers": [*self._headers, *headers]})

    async def write(self, data: bytes) -> None:
        """Send a part of the body."""
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self, data: bytes = b"") -> None:
        """Send the last part."""
        await self._send({"type": "http.response.body", "body": data})

    async def answer(self, status: int, data: bytes, headers: Headers = (JSON_TYPE,)) -> None:
        """A whole answer."""
        await self.start(status, [*headers, (b"content-length", str(len(data)).encode())])
        await self.end(data)

    async def json(self, document: object, status: int = 200, headers: Headers = ()) -> None:
        """A whole JSON answer."""
        await self.answer(status, orjson.dumps(document), [JSON_TYPE, *headers])

    def cut(self) -> None:
        """Reset the connection, as a dying process does. uvicorn's `send` is bound to what holds the transport."""
        transport = getattr(getattr(self._send, "__self__", None), "transport", None)
        if transport is not None:
            transport.abort()


async def lifespan(receive: Receive, send: Send) -> None:
    """Answer the server's start and stop messages."""
    while True:
        message = await receive()
        await send({"type": message["type"] + ".complete"})
        if message["type"] == "lifespan.shutdown":
            return
