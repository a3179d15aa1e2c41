"""A real `H1Server` on a real socket, with an app made for the test, and raw bytes in and out."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

from controller.config.settings import CAPS
from controller.web.h1_connection import Limits
from controller.web.h1_cycle import Cycle, Headers
from controller.web.h1_server import H1Server
from controller.web.server import listen

LIMITS = {name: getattr(CAPS, name) for name in ("header_bytes", "header_count", "discard_bytes", "pipelined")}
QUIET_S = 0.12  # a server on this machine that says nothing for so long has said all
FIRST_S = 2.0  # until the first of them: the machine may be busy
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]


class Asgi:
    """An app of the tests in ASGI's words, on the server's own."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, line: Cycle) -> None:
        """One request."""
        gone = asyncio.Event()
        line.on_gone = gone.set
        ended = False

        async def receive() -> Message:
            nonlocal ended
            if ended:
                await gone.wait()
                return {"type": "http.disconnect"}
            data = line.whole_body()
            ended = data is not None
            if data is None:
                data = await line.more()
            if data is None:
                return {"type": "http.disconnect"}
            ended = ended or not data
            return {"type": "http.request", "body": data, "more_body": not ended}

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                line.begin(message["status"], message["headers"])
            elif not line.write(message.get("body", b""), more=message.get("more_body", False)):
                await line.writable()

        scope = {"method": line.method.decode(), "raw_path": line.path, "query_string": line.query}
        await self._app(scope, receive, send)


def refusal(status: int, why: str) -> tuple[Headers, bytes]:
    """Words a refusal as plain text."""
    return [(b"content-type", b"text/plain")], f"{status} {why}".encode()


async def body_of(receive: Receive) -> bytes:
    """The whole body of a request."""
    data, more = b"", True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            return data
        data += message["body"]
        more = message["more_body"]
    return data


async def answer(send: Send, body: bytes, status: int = 200, headers: Headers | None = None) -> None:
    """A whole answer of known length."""
    length = (b"content-length", b"%d" % len(body))
    await send({"type": "http.response.start", "status": status, "headers": [*(headers or []), length]})
    await send({"type": "http.response.body", "body": body, "more_body": False})


async def echo(scope: Message, receive: Receive, send: Send) -> None:
    """Answers with method, path, query and body."""
    body = await body_of(receive)
    await answer(send, b"%b %b %b %b" % (scope["method"].encode(), scope["raw_path"], scope["query_string"], body))


@dataclass
class World:
    """The server and where it listens."""

    server: H1Server
    port: int
    serving: asyncio.Task[None]

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """One more connection."""
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def talk(self, *parts: bytes, pause_s: float = 0.0, end: bool = False) -> bytes:
        """Everything the server says to these bytes until it closes, or says nothing for a while."""
        reader, writer = await self.connect()
        for part in parts:
            writer.write(part)
            await asyncio.sleep(pause_s)
        if end:
            writer.write_eof()
        said = b""
        with contextlib.suppress(TimeoutError, ConnectionResetError):
            while data := await asyncio.wait_for(reader.read(65536), QUIET_S if said else FIRST_S):
                said += data
        writer.close()
        return said


@contextlib.asynccontextmanager
async def running(app: App = echo, *, grace_s: float = 1.0, **limits: Any) -> AsyncIterator[World]:
    """A served app; afterwards the server has stopped."""
    server = H1Server(Asgi(app), refusal, Limits(**(LIMITS | limits)))
    listener = listen("127.0.0.1", 0)
    serving = asyncio.create_task(server.serve(listener, grace_s=lambda: grace_s))
    await asyncio.sleep(0)
    world = World(server, listener.getsockname()[1], serving)
    try:
        yield world
    finally:
        server.stop()
        await asyncio.wait_for(serving, 5.0)


def get(path: str = "/", *headers: str) -> bytes:
    """A GET."""
    return "\r\n".join([f"GET {path} HTTP/1.1", "host: x", *headers, "", ""]).encode()


def post(body: bytes, *headers: str) -> bytes:
    """A POST with a content length."""
    head = ["POST /p HTTP/1.1", "host: x", f"content-length: {len(body)}", *headers, "", ""]
    return "\r\n".join(head).encode() + body


def heads(said: bytes) -> list[bytes]:
    """The status lines in what a server said."""
    return re.findall(rb"HTTP/1\.1 \d{3} [^\r]*", said)
