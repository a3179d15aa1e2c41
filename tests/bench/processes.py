"""Targets as real processes, each pinned to its own core: started, awaited, measured, stopped."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[2]
READY_DEADLINE_S = 90.0
STOP_DEADLINE_S = 15.0


class TargetDown(Exception):
    """A target did not become ready; the message holds the end of its log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A running target. `process` is None for the mock itself."""

    name: str
    port: int
    model: str
    headers: Mapping[str, str]
    process: psutil.Process | None = None
    admin_port: int | None = None
    ready_s: float | None = None

    def cpu_s(self) -> float:
        """User and system seconds of the process and its children so far."""
        if self.process is None:
            return float("nan")
        times = [process.cpu_times() for process in (self.process, *self.process.children(recursive=True))]
        return sum(one.user + one.system for one in times)

    def open_files(self) -> int:
        """File descriptors of the process, sockets among them."""
        return 0 if self.process is None else int(self.process.num_fds())

    def rss_mb(self) -> float:
        """Resident memory of the process and its children."""
        if self.process is None:
            return float("nan")
        processes = (self.process, *self.process.children(recursive=True))
        return sum(process.memory_info().rss for process in processes) / 1e6


def free_port() -> int:
    """A port nobody listens on right now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


async def _answers(port: int, path: str) -> bool:
    try:
        async with asyncio.timeout(2.0):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n".encode())
            line = await reader.readline()
            writer.close()
            return line.split(b" ")[1:2] == [b"200"]
    except (OSError, TimeoutError):
        return False


@contextlib.asynccontextmanager
async def process(
    command: list[str], *, core: int | None, log: Path, environ: Mapping[str, str], ready: tuple[int, str]
) -> AsyncIterator[tuple[psutil.Process, float]]:
    """A process that answers 200 on (port, path), and the seconds that took; afterwards it is gone."""
    started_s = time.perf_counter()
    with log.open("wb") as sink:
        child = subprocess.Popen(
            command if core is None else ["taskset", "-c", str(core), *command],
            stdout=sink, stderr=sink, stdin=subprocess.DEVNULL, env={**os.environ, **environ}, cwd=ROOT,
            start_new_session=True,
        )  # fmt: skip
    try:
        while not await _answers(*ready):
            if child.poll() is not None or time.perf_counter() - started_s > READY_DEADLINE_S:
                raise TargetDown(f"{' '.join(command[:6])} ended with {child.poll()}: {log.read_text()[-1500:]}")
            await asyncio.sleep(0.02)
        yield psutil.Process(child.pid), time.perf_counter() - started_s
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGTERM)
        try:
            child.wait(timeout=STOP_DEADLINE_S)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
