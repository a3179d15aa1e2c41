"""HTTP/1.1 for the data plane: an asyncio.Protocol on llhttp that calls an app, with its own caps and deadlines.

Why ours: under load a general server took a third of the CPU of a request, and it has no deadline for slow headers.
TLS, HTTP/2 and WebSockets end in front of it, on purpose. Measured in `make bench`.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import cast

import structlog

from controller.web.h1_accept import Acceptor
from controller.web.h1_connection import App, Connection, Limits, Refusal

log = structlog.get_logger()

SWEEP_S = 1.0
EXPIRED_AT_ONCE = 20
ROOM_SHARE = 4  # one in so many idle connections makes room, per sweep, while callers wait


class H1Server:
    """One listener on one event loop. `refusal` words what is refused before the app is asked: (status, why)."""

    def __init__(self, app: App, refusal: Refusal, limits: Limits) -> None:
        self.app = app
        self.refusal = refusal
        self.limits = limits
        self.connections: set[Connection] = set()
        self.tasks: set[asyncio.Task[None]] = set()
        self.leading_away = False
        self.draining = False
        self.now_s = 0.0  # of the last sweep: exact enough for deadlines of seconds, and free to read
        self._stopping = asyncio.Event()
        self._emptied = asyncio.Event()
        self._acceptor: Acceptor | None = None

    def lead_away(self) -> None:
        """Every answer from now on is the last of its connection, so that callers come back elsewhere."""
        self.leading_away = True

    def stop(self) -> None:
        """No new connection and no further request from now on; what is under way goes on."""
        self.leading_away = self.draining = True
        self._stopping.set()

    async def serve(self, listener: socket.socket, *, grace_s: Callable[[], float]) -> None:
        """Answers until `stop`, then until no request is open or `grace_s`, which is asked then, has passed."""
        loop = asyncio.get_running_loop()
        self.now_s = loop.time()
        acceptor = self._acceptor = Acceptor(listener, lambda: Connection(self), self.limits.connections)
        acceptor.start()
        try:
            while not self._stopping.is_set():
                await _until(self._stopping, SWEEP_S)
                self._sweep(loop.time())
                self._make_room(acceptor)
            acceptor.stop()
            await self._drain(loop.time() + grace_s())
        finally:
            acceptor.stop()
            for connection in list(self.connections):
                connection.cut()

    def _sweep(self, now_s: float) -> None:
        self.now_s = now_s
        self._expire([one for one in self.connections if 0.0 < one.deadline_s < now_s])

    def _expire(self, late: list[Connection]) -> None:
        """A few per turn of the loop: a crowd that comes to its end together must not hold up the others."""
        for connection in late[:EXPIRED_AT_ONCE]:
            if 0.0 < connection.deadline_s < self.now_s:
                connection.expire()
        if len(late) > EXPIRED_AT_ONCE:
            asyncio.get_running_loop().call_soon(self._expire, late[EXPIRED_AT_ONCE:])

    def _make_room(self, acceptor: Acceptor) -> None:
        """While callers wait, those that have been idle for longest go, and what paused accepting is tried again."""
        if acceptor.is_full:
            idle = sorted((one for one in self.connections if one.is_idle), key=lambda one: one.deadline_s)
            for connection in idle[: -(-len(idle) // ROOM_SHARE)]:
                connection.retire()
            acceptor.start()

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
        if self._acceptor is not None:
            self._acceptor.release()
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
