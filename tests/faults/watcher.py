"""A process beside the gateway that asks for its health all the time, and says how late the machine itself was.

How late is told by a thread on each core: a core that the host takes away for a moment delays what runs there, and
nobody else.

`python -m tests.faults.watcher ADMIN_PORT` reads `begin` and `end` from stdin; to `end` it answers one JSON line.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import selectors
import socket
import sys
import threading
import time
from dataclasses import dataclass

EVERY_S = 0.05
TIMEOUT_S = 2.0
CALM_S = 0.005


@dataclass(frozen=True, kw_only=True)
class Health:
    """What was seen. `own_*`: how much later than asked the watcher itself woke, which is the machine's doing; on the
    worst of its cores.
    """

    samples: int
    healthz_p99_s: float
    healthz_max_s: float
    own_p99_s: float
    own_max_s: float
    failures: int  # refused, or another status
    timeouts: int

    @property
    def is_calm(self) -> bool:
        """The machine had a core to spare, so that times mean something."""
        return self.own_p99_s <= CALM_S


def _ask(port: int) -> float:
    """Seconds until the health page is here; OSError when it does not come."""
    began_s = time.perf_counter()
    with socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        answer = connection.recv(4096)
    if not answer.startswith(b"HTTP/1.1 200"):
        raise OSError(answer[:40])
    return time.perf_counter() - began_s


class _Sleeper(threading.Thread):
    """Sleeps on one core, again and again, and notes how late it woke."""

    def __init__(self, core: int) -> None:
        super().__init__(daemon=True)
        self._core = core
        self.late_s: list[float] = []

    def run(self) -> None:
        os.sched_setaffinity(0, {self._core})  # of this thread
        while True:
            due_s = time.perf_counter() + EVERY_S
            time.sleep(EVERY_S)
            self.late_s.append(time.perf_counter() - due_s)


def _p99(sorted_s: list[float]) -> float:
    return sorted_s[min(int(len(sorted_s) * 0.99), len(sorted_s) - 1)]


def _summary(health_s: list[float], cores_s: list[list[float]], failures: int, timeouts: int) -> str:
    health_s = sorted(health_s) or [0.0]
    own_s = [sorted(late_s) or [0.0] for late_s in cores_s]
    return json.dumps(
        {
            "samples": len(health_s),
            "healthz_p99_s": round(_p99(health_s), 4),
            "healthz_max_s": round(health_s[-1], 4),
            "own_p99_s": round(max(map(_p99, own_s)), 4),
            "own_max_s": round(max(late_s[-1] for late_s in own_s), 4),
            "failures": failures,
            "timeouts": timeouts,
        }
    )


def main(port: int) -> None:
    """Watches until stdin is closed."""
    health_s: list[float] = []
    sleepers = [_Sleeper(core) for core in os.sched_getaffinity(0)]
    for sleeper in sleepers:
        sleeper.start()
    failures = timeouts = 0
    with selectors.DefaultSelector() as selector:
        selector.register(sys.stdin, selectors.EVENT_READ)
        due_s = time.perf_counter()
        while True:
            due_s = max(due_s + EVERY_S, time.perf_counter())
            while (wait_s := due_s - time.perf_counter()) > 0:
                if not selector.select(wait_s):
                    break
                word = sys.stdin.readline().strip()
                if not word:
                    return
                if word == "end":
                    sys.stdout.write(_summary(health_s, [one.late_s for one in sleepers], failures, timeouts) + "\n")
                    sys.stdout.flush()
                health_s, failures, timeouts = [], 0, 0
                for sleeper in sleepers:
                    sleeper.late_s = []
                due_s = max(due_s, time.perf_counter())
            try:
                health_s.append(_ask(port))
            except TimeoutError:
                timeouts += 1
            except OSError:
                failures += 1


class Watcher:
    """The process, from the harness's side."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def begin(self) -> None:
        """Samples count from now on."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"begin\n")
        await self._process.stdin.drain()

    async def end(self) -> Health:
        """What was seen since `begin`."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(b"end\n")
        await self._process.stdin.drain()
        async with asyncio.timeout(10):
            return Health(**json.loads(await self._process.stdout.readline()))

    async def stop(self) -> None:
        """Afterwards it is gone."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            async with asyncio.timeout(5):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()


async def watch(admin_port: int) -> Watcher:
    """A running watcher."""
    command = [sys.executable, "-m", "tests.faults.watcher", str(admin_port)]
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    return Watcher(process)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main(int(sys.argv[1]))
