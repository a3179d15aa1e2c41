"""Ports on loopback that nobody listens on, below those the kernel lends to outgoing connections."""

from __future__ import annotations

import random
import socket

LOWEST, HIGHEST = 20_000, 32_000
_claims: list[socket.socket] = []


def free_ports(count: int) -> list[int]:
    """Different ports, which no other process is given as long as this one lives: between the draw and the first
    `listen` of who asked, another cluster that starts could draw the same one.
    """
    drawn: list[int] = []
    for port in random.SystemRandom().sample(range(LOWEST, HIGHEST), HIGHEST - LOWEST):
        with socket.socket() as line:
            line.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if line.connect_ex(("127.0.0.1", port)) != 0 and _claimed(port):
                drawn.append(port)
        if len(drawn) == count:
            return drawn
    raise OSError(f"fewer than {count} ports are free on 127.0.0.1 between {LOWEST} and {HIGHEST}")


def _claimed(port: int) -> bool:
    """By a name in the kernel, which goes with the process."""
    claim = socket.socket(socket.AF_UNIX)
    try:
        claim.bind(f"\0spillway-test-port-{port}")
    except OSError:
        claim.close()
        return False
    _claims.append(claim)
    return True
