"""Starts the whole system as a user would (`spillway up`) on free ports and a temporary state folder, and stops it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import openai
import psutil

READY_DEADLINE_S = 60.0
STOP_DEADLINE_S = 40.0


def free_ports(count: int) -> list[int]:
    """Ports nobody listens on right now."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for sock in sockets:
            sock.bind(("127.0.0.1", 0))
        return [sock.getsockname()[1] for sock in sockets]
    finally:
        for sock in sockets:
            sock.close()


def eventually(check: object, *, within_s: float, every_s: float = 0.05) -> None:
    """Passes as soon as `check()` is true; fails with its last value when the deadline has passed."""
    assert callable(check)
    deadline = time.monotonic() + within_s
    value = check()
    while not value:
        assert time.monotonic() < deadline, f"not true within {within_s} s: {value!r}"
        time.sleep(every_s)
        value = check()


def listening(process: subprocess.Popen[bytes]) -> Mapping[int, str]:
    """Addresses by port, of the process and of all it has started."""
    first = psutil.Process(process.pid)
    connections = [one for each in (first, *first.children(recursive=True)) for one in each.net_connections("inet")]
    return {one.laddr.port: one.laddr.ip for one in connections if one.status == psutil.CONN_LISTEN}


@dataclass(frozen=True)
class Stack:
    """A running system."""

    process: subprocess.Popen[bytes]
    state_dir: Path
    port: int
    admin_port: int
    controller_port: int
    standin_port: int
    log: Path
    clients: list[openai.OpenAI] = field(default_factory=list)  # made so far, to be closed

    @property
    def base_url(self) -> str:
        """What goes into the SDK."""
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def key(self) -> str:
        """The key that `up` made."""
        return (self.state_dir / "up.key").read_text().strip()

    def client(self, **overrides: object) -> openai.OpenAI:
        """The official client, without retries so that each answer is seen."""
        options: dict[str, object] = {"base_url": self.base_url, "api_key": self.key, "max_retries": 0, "timeout": 30.0}
        made = openai.OpenAI(**{**options, **overrides})  # type: ignore[arg-type]
        self.clients.append(made)
        return made

    def get_text(self, port: int, path: str) -> str:
        """Body of a plain GET on one of the local ports."""
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return str(answer.read().decode())

    def gateway_metric(self, name: str) -> float:
        """Sum over all series of one gateway metric."""
        lines = self.get_text(self.admin_port, "/metrics").splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith((f"{name} ", f"{name}{{")))

    def status(self) -> dict[str, object]:
        """The controller's status document."""
        return dict(json.loads(self.get_text(self.controller_port, "/v1/status")))

    def replicas(self) -> list[dict[str, object]]:
        """The records of the running replicas."""
        records = sorted((self.state_dir / "run" / "replicas").glob("*.json"))
        return [json.loads(record.read_text()) for record in records]

    def standin_usage(self) -> dict[str, dict[str, int]]:
        """The stand-in provider's own count, per model id."""
        return dict(json.loads(self.get_text(self.standin_port, "/standin/usage"))["models"])

    def gateway_process(self) -> psutil.Process:
        """The gateway's process."""
        for child in psutil.Process(self.process.pid).children(recursive=True):
            if "gateway" in child.cmdline():
                return child
        raise AssertionError("no gateway process")


def _await_ready(stack: Stack, within_s: float) -> None:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        assert stack.process.poll() is None, f"`spillway up` ended: {stack.log.read_text()[-4000:]}"
        with contextlib.suppress(OSError, urllib.error.URLError, KeyError, ValueError):
            record = json.loads((stack.state_dir / "run" / "up.json").read_text())
            if record["ready"] and record["pid"] == stack.process.pid:
                return
        time.sleep(0.05)
    raise AssertionError(f"not ready within {within_s} s: {stack.log.read_text()[-4000:]}")


def config_text(config: str, ports: list[int], cold_start_s: float) -> str:
    """The test's configuration with the ports it may use."""
    return (
        f"gateway: {{port: {ports[0]}, admin_port: {ports[1]}}}\n"
        f"controller: {{port: {ports[2]}, tick_s: 0.5}}\n"
        f"standin_port: {ports[3]}\nsimulated_cold_start_s: {cold_start_s}\n{config}"
    )


@contextlib.contextmanager
def running_stack(
    folder: Path,
    config: str,
    *,
    cold_start_s: float = 0.3,
    engine: str = "sim",
    environ: Mapping[str, str] | None = None,
    ready_s: float = READY_DEADLINE_S,
) -> Iterator[Stack]:
    """A ready system; afterwards every process it started is gone."""
    folder.mkdir(parents=True, exist_ok=True)
    ports = free_ports(4)
    file = folder / "spillway.yaml"
    file.write_text(config_text(config, ports, cold_start_s))
    log = folder / "up.log"
    hidden = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GROQ_API_KEY", "TOGETHER_API_KEY", "AI_PHASE")
    variables = {name: value for name, value in os.environ.items() if name not in hidden}
    command = [
        sys.executable,
        "-m",
        "controller.cli.main",
        "up",
        "--engine",
        engine,
        "--config",
        str(file),
        "--state-dir",
        str(folder / "state"),
    ]
    with log.open("wb") as sink:
        process = subprocess.Popen(
            command, stdout=sink, stderr=sink, stdin=subprocess.DEVNULL, env={**variables, **(environ or {})}
        )
    gateway, admin, controller, standin = ports
    stack = Stack(process, folder / "state", gateway, admin, controller, standin, log)
    try:
        _await_ready(stack, ready_s)
        yield stack
    finally:
        for client in stack.clients:
            client.close()
        children = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        try:
            process.wait(STOP_DEADLINE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        finally:
            left = psutil.wait_procs(children, timeout=2)[1]
            for child in left:
                child.kill()
        assert not left, f"left running: {left}"
