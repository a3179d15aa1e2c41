"""Ports on loopback that nobody listens on, below those the kernel lends to outgoing connections."""

from __future__ import annotations

import random
import socket

LOWEST, HIGHEST = 20_000, 32_000


def free_ports(count: int) -> list[int]:
    """Different ports; drawn by chance, so that clusters that start at once do not draw the same ones."""
    drawn: list[int] = []
    for port in random.SystemRandom().sample(range(LOWEST, HIGHEST), HIGHEST - LOWEST):
        with socket.socket() as line:
            line.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if line.connect_ex(("127.0.0.1", port)) != 0:
                drawn.append(port)
        if len(drawn) == count:
            return drawn
    raise OSError(f"fewer than {count} ports are free on 127.0.0.1 between {LOWEST} and {HIGHEST}")
