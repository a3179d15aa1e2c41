"""A network namespace beside the machine's own, as a tenant's pod is: its own loopback, one cable to the host."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass

ANSWER_S = 5
HOST, TENANT = "198.51.100.1", "198.51.100.2"  # TEST-NET-2: nobody's
_CALL = """
import socket, sys
host, port, request = sys.argv[1], int(sys.argv[2]), bytes.fromhex(sys.argv[3])
try:
    with socket.create_connection((host, port), timeout=3) as line:
        line.sendall(request)
        print(line.recv(65536).decode("latin-1").split("\\r\\n")[0])
except OSError as error:
    print(type(error).__name__)
"""


@dataclass(frozen=True, kw_only=True)
class TenantNetwork:
    """A namespace that is there."""

    name: str

    def call(self, port: int, request: str, *, host: str = HOST) -> str:
        """The first line of the answer to bytes sent from there, or the name of the error."""
        command = ["ip", "netns", "exec", self.name, sys.executable, "-I", "-c", _CALL, host, str(port)]
        done = subprocess.run(
            [*command, request.encode().hex()], capture_output=True, text=True, timeout=ANSWER_S, check=True
        )
        return done.stdout.strip()


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, timeout=10, capture_output=True)


@contextlib.contextmanager
def tenant_network(name: str) -> Iterator[TenantNetwork]:
    """Afterwards the namespace and its cable are gone. `name`: at most eight letters."""
    _ip("netns", "add", name)
    try:
        _ip("link", "add", f"{name}-host", "type", "veth", "peer", "name", f"{name}-in", "netns", name)
        try:
            _ip("addr", "add", f"{HOST}/30", "dev", f"{name}-host")
            _ip("link", "set", f"{name}-host", "up")
            _ip("-n", name, "addr", "add", f"{TENANT}/30", "dev", f"{name}-in")
            _ip("-n", name, "link", "set", f"{name}-in", "up")
            _ip("-n", name, "link", "set", "lo", "up")
            yield TenantNetwork(name=name)
        finally:
            _ip("link", "del", f"{name}-host")
    finally:
        _ip("netns", "del", name)
