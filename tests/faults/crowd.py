"""Many sockets at once: callers that hold connections open, send byte by byte, or read next to nothing."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

FEW_BYTES = 4096
AT_ONCE = 50


@dataclass
class Held:
    """One raw connection and what came back on it."""

    sock: socket.socket
    heard: bytearray = field(default_factory=bytearray)
    closed_s: float | None = None

    @property
    def status(self) -> int:
        """Of the answer, if a head came."""
        line = bytes(self.heard[:64]).split(b"\r\n", 1)[0].split(b" ")
        return int(line[1]) if len(line) > 1 and line[1].isdigit() else 0


async def hold(port: int, first: bytes, *, receive_buffer_bytes: int | None = None) -> Held:
    """A connection on which some bytes were sent."""
    sock = socket.socket()
    if receive_buffer_bytes is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
    sock.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(sock, ("127.0.0.1", port))
    if first:
        await loop.sock_sendall(sock, first)
    return Held(sock)


@contextlib.asynccontextmanager
async def crowd(port: int, count: int, first: bytes, **options: int) -> AsyncIterator[list[Held]]:
    """So many of them; afterwards all are closed."""
    held: list[Held] = []
    try:
        while len(held) < count:
            more = min(AT_ONCE, count - len(held))
            held += await asyncio.gather(*(hold(port, first, **options) for _ in range(more)))
        yield held
    finally:
        for one in held:
            one.sock.close()


def read_some(one: Held, size_bytes: int) -> int:
    """Takes at most so many bytes if there are any; notes the end."""
    if one.closed_s is not None:
        return 0
    try:
        data = one.sock.recv(size_bytes)
    except BlockingIOError:
        return 0
    except OSError:
        data = b""
    if not data:
        one.closed_s = time.monotonic()
    one.heard += data
    return len(data)


def send_some(one: Held, data: bytes) -> None:
    """Sends if that is possible."""
    if one.closed_s is None:
        with contextlib.suppress(OSError):
            one.sock.send(data)
