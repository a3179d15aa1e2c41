"""Accepts connections for `h1_server`, and leaves them waiting in the kernel while there is no room.

Why not the event loop's own server: that one takes whatever comes until no file descriptor is left, and then closes
callers unheard. What may be open at a time is a limit here, so that the descriptors towards upstreams stay ours.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

import structlog

log = structlog.get_logger()

BATCH = 64  # connections per turn: others on the loop want theirs


class Acceptor:
    """One listener. `most` connections are open at a time; the owner says by `release` when one has closed."""

    def __init__(self, listener: socket.socket, factory: Callable[[], asyncio.Protocol], most: int) -> None:
        self._listener = listener
        self._factory = factory
        self._most = most
        self._loop = asyncio.get_running_loop()
        self._open = 0
        self._listening = False
        self._stopped = False
        self._opening: set[asyncio.Task[None]] = set()

    @property
    def is_full(self) -> bool:
        """Callers wait in the kernel."""
        return not self._listening and not self._stopped

    def start(self) -> None:
        """Connections are taken from now on, or again."""
        if not self._listening and not self._stopped and self._open < self._most:
            self._listening = True
            self._loop.add_reader(self._listener.fileno(), self._accept)

    def stop(self) -> None:
        """None is taken any more, and the port is free."""
        self._stopped = True
        self._pause()
        self._listener.close()

    def release(self) -> None:
        """A connection has closed: there is room for one more."""
        self._open -= 1
        self.start()

    def _pause(self) -> None:
        if self._listening:
            self._listening = False
            self._loop.remove_reader(self._listener.fileno())

    def _accept(self) -> None:
        for _ in range(BATCH):
            if self._open >= self._most:
                log.warning("connections_full", limit=self._most)
                self._pause()
                return
            try:
                connection, _ = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:  # no file descriptor or memory: the sweep of the server starts again
                log.warning("accept_failed", error=error.strerror)
                self._pause()
                return
            connection.setblocking(False)
            self._open += 1
            task = self._loop.create_task(self._adopt(connection), name="accept")
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    async def _adopt(self, connection: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._factory, connection)
        except OSError:  # gone before it was ours
            connection.close()
            self.release()
