"""Called by the gateway, the control loop and the simulators, which may not know each other."""

from __future__ import annotations

import socket
from contextlib import AbstractContextManager, nullcontext

import uvicorn

BACKLOG = 65_535  # the kernel takes as many of them as it is set to; a crowd that comes at once waits there
# What a slow reader's kernel buffer holds unsent; without it that grows to megabytes each. Accepted sockets inherit it.
UNSENT_BYTES = 16 * 1024


class Server(uvicorn.Server):
    """uvicorn without its signal handling: when to stop, and how to drain, is the process's own business."""

    def capture_signals(self) -> AbstractContextManager[None]:  # type: ignore[override]  # it is used as one
        return nullcontext()


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; OSError when the port cannot be had."""
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "TCP_NOTSENT_LOWAT"):
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)
        listener.bind((host, port))
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener
