"""A well-behaved caller in a process of its own: one request after the other, and how long each took.

`python -m tests.faults.good_caller PORT SECONDS` reads the whole request from stdin and answers with one JSON line.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import time
from dataclasses import dataclass

EVERY_S = 0.005
TIMEOUT_S = 10.0
WORSE_RATIO, MACHINE_S = 1.1, 0.05  # of which the stubs and the crowd on the same two cores take most


@dataclass(frozen=True, kw_only=True)
class Service:
    """How it fared. `refused`: the first that heard anything but 200."""

    count: int
    refused: list[str]
    p50_s: float
    p99_s: float

    def complaint(self, quiet: Service) -> str:
        """What is wrong beside how it fared before: at most a tenth worse, and what a shared machine adds."""
        for name, now_s, then_s in (("p50", self.p50_s, quiet.p50_s), ("p99", self.p99_s, quiet.p99_s)):
            if now_s > WORSE_RATIO * then_s + MACHINE_S:
                return f"others' {name} went from {then_s * 1000:.1f} to {now_s * 1000:.1f} ms"
        return ""

    def ratios(self, quiet: Service) -> dict[str, float]:
        """Figures for a row."""
        return {
            "others_p50_ratio": round(self.p50_s / quiet.p50_s, 2),
            "others_p99_ratio": round(self.p99_s / quiet.p99_s, 2),
        }


def _ask(connection: socket.socket, request: bytes) -> bytes:
    connection.sendall(request)
    heard = b""
    while b"\r\n\r\n" not in heard:
        heard += _some(connection)
    head, _, body = heard.partition(b"\r\n\r\n")
    length = next(
        int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")
    )
    while len(body) < length:
        body += _some(connection)
    return b"" if head.startswith(b"HTTP/1.1 200") else head[:20] + body[:200]


def _some(connection: socket.socket) -> bytes:
    data = connection.recv(65536)
    if not data:
        raise ConnectionError("the gateway closed the connection")
    return data


def main(port: int, seconds: float, request: bytes) -> None:
    """Asks for so long on one connection."""
    took_s, refused = [], []
    with socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S) as connection:
        end_s = time.perf_counter() + seconds
        while (began_s := time.perf_counter()) < end_s:
            if answer := _ask(connection, request):
                refused.append(answer.decode(errors="replace"))
            took_s.append(time.perf_counter() - began_s)
            time.sleep(EVERY_S)
    took_s.sort()
    p50_s, p99_s = took_s[len(took_s) // 2], took_s[int(len(took_s) * 0.99)]
    print(json.dumps({"count": len(took_s), "refused": refused[:2], "p50_s": p50_s, "p99_s": p99_s}))


async def service(port: int, request: bytes, seconds: float) -> Service:
    """The same, from the harness's side; every request must be answered."""
    command = [sys.executable, "-m", "tests.faults.good_caller", str(port), str(seconds)]
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, errors = await process.communicate(request)
    assert process.returncode == 0, errors.decode()[-500:]
    found = Service(**json.loads(out))
    assert not found.refused, f"good requests were refused: {found.refused}"
    return found


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]), sys.stdin.buffer.read())
