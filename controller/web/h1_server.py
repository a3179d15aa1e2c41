"""HTTP/1.1 for the data plane: an asyncio.Protocol on llhttp that calls an app, with its own caps and deadlines.

Why ours: under load a general server took a third of the CPU of a request, and it has no deadline for slow headers.
TLS, HTTP/2 and WebSockets end in front of it, on purpose. Measured in `make bench`.
"""

from __future__ import annotations

import asyncio
import socket
from typing import cast

import structlog

from controller.web.h1_connection import App, Connection, Limits, Refusal

log = structlog.get_logger()

SWEEP_S = 1.0


class H1Server:
    """One listener on one event loop. `refusal` words what is refused before the app is asked: (status, why)."""

    def __init__(self, app: App, refusal: Refusal, limits: Limits | None = None) -> None:
        self.app = app
        self.refusal = refusal
        self.limits = limits or Limits()
        self.connections: set[Connection] = set()
        self.tasks: set[asyncio.Task[None]] = set()
        self.draining = False
        self.now_s = 0.0  # of the last sweep: exact enough for deadlines of seconds, and free to read
        self._stopping = asyncio.Event()
        self._emptied = asyncio.Event()

    def stop(self) -> None:
        """No new connection and no further request from now on; what is under way goes on."""
        self.draining = True
        self._stopping.set()

    async def serve(self, listener: socket.socket, *, grace_s: float) -> None:
        """Answers until `stop`, then until no request is open or `grace_s` has passed."""
        loop = asyncio.get_running_loop()
        self.now_s = loop.time()
        server = await loop.create_server(lambda: Connection(self), sock=listener)
        try:
            while not self._stopping.is_set():
                await _until(self._stopping, SWEEP_S)
                self._sweep(loop.time())
            server.close()
            await self._drain(loop.time() + grace_s)
        finally:
            server.close()
            for connection in list(self.connections):
                connection.cut()

    def _sweep(self, now_s: float) -> None:
        self.now_s = now_s
        for connection in list(self.connections):
            if 0.0 < connection.deadline_s < now_s:
                connection.expire()

    async def _drain(self, deadline_s: float) -> None:
        loop = asyncio.get_running_loop()
        for connection in list(self.connections):
            connection.retire()
        while self.connections and (left_s := deadline_s - loop.time()) > 0:
            self._emptied.clear()
            await _until(self._emptied, min(SWEEP_S, left_s))
            self._sweep(loop.time())
        if self.tasks:
            await asyncio.wait(self.tasks, timeout=max(0.0, deadline_s - loop.time()))

    def opened(self, connection: Connection) -> None:
        """One more connection."""
        self.connections.add(connection)

    def closed(self, connection: Connection) -> None:
        """The connection is gone."""
        self.connections.discard(connection)
        if not self.connections:
            self._emptied.set()

    def started(self, task: asyncio.Task[None]) -> None:
        """A request's task: kept until it ends."""
        self.tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self.tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("request_task_failed", error=type(error).__name__, exc_info=cast("Exception", error))


async def _until(event: asyncio.Event, seconds: float) -> None:
    """Returns when the event is set or the time has passed."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
