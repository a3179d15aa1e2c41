"""Starts the simulated engine or the stand-in provider as real processes on a free port, and stops them."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import openai

READY_DEADLINE_S = 20.0
STOP_DEADLINE_S = 15.0
ANSWER_WITHIN_S = 120.0  # a real engine compiles what it is asked for the first time
ENGINE = ("--model-key", "llama-8b-self", "--instance-type", "g5.2xlarge")


def free_port() -> int:
    """A port nobody listens on right now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@dataclass(frozen=True)
class Server:
    """A running process and how to talk to it."""

    process: subprocess.Popen[bytes]
    port: int
    model: str = "llama-3.1-8b-instruct"
    clients: list[openai.OpenAI] = field(default_factory=list)  # made so far, to be closed

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def client(self, path: str = "/v1") -> openai.OpenAI:
        """The official client, without retries."""
        made = openai.OpenAI(base_url=self.url + path, api_key="any", max_retries=0, timeout=ANSWER_WITHIN_S)
        self.clients.append(made)
        return made

    def get(self, path: str) -> str:
        """Body of a plain GET."""
        with urllib.request.urlopen(self.url + path, timeout=10) as answer:
            return str(answer.read().decode())

    def post(self, path: str, body: object, **headers: str) -> tuple[int, dict[str, str], str]:
        """Status, headers in lower case and body of a POST; `body` is JSON unless it is bytes."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(self.url + path, data, {"content-type": "application/json", **named})
        try:
            with urllib.request.urlopen(request, timeout=ANSWER_WITHIN_S) as answer:
                return answer.status, {k.lower(): v for k, v in answer.headers.items()}, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, {k.lower(): v for k, v in error.headers.items()}, error.read().decode()

    def faults(self, **switch: object) -> None:
        """Turn a failure switch."""
        status, _, body = self.post("/sim/faults", switch)
        assert status == 200, body

    def metric(self, name: str) -> float:
        """Sum over all series of one metric."""
        lines = self.get("/metrics").splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith((f"{name} ", f"{name}{{")))


def eventually(check: object, *, within_s: float) -> None:
    """Passes as soon as `check()` is true."""
    assert callable(check)
    deadline = time.monotonic() + within_s
    while not check():
        assert time.monotonic() < deadline, f"not true within {within_s} s"
        time.sleep(0.02)


def is_healthy(url: str) -> bool:
    """Whether /health answers 200."""
    try:
        with urllib.request.urlopen(url + "/health", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@contextlib.contextmanager
def running(
    command: list[str], port: int, *, log: Path | None = None, ready_s: float = READY_DEADLINE_S, **options: object
) -> Iterator[Server]:
    """A ready server; afterwards it is gone."""
    with contextlib.ExitStack() as stack:
        sink = stack.enter_context(log.open("wb")) if log is not None else subprocess.DEVNULL
        process = subprocess.Popen(command, stdout=sink, stderr=sink, **options)  # type: ignore[call-overload]
        server = Server(process, port)
        try:
            deadline = time.monotonic() + ready_s
            while not is_healthy(server.url):
                assert process.poll() is None, f"ended with {process.returncode}"
                assert time.monotonic() < deadline, f"not ready within {ready_s} s"
                time.sleep(0.05)
            yield server
        finally:
            for client in server.clients:
                client.close()
            if process.poll() is None:
                process.terminate()
            try:
                process.wait(STOP_DEADLINE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                raise


@contextlib.contextmanager
def running_engine(*flags: str) -> Iterator[Server]:
    """A simulated llama-8b replica."""
    port = free_port()
    command = [sys.executable, "-m", "controller.engine_sim", "--port", str(port), *ENGINE, *flags]
    with running(command, port) as server:
        yield server


@contextlib.contextmanager
def running_provider(*flags: str) -> Iterator[Server]:
    """The stand-in for every external provider."""
    port = free_port()
    command = [sys.executable, "-m", "controller.engine_sim.provider", "--port", str(port), *flags]
    with running(command, port) as server:
        yield server


def raw_chat(server: Server, *, stream: bool, tokens: int = 4000, **fields: object) -> socket.socket:
    """A connection on which a chat request was sent, for callers who leave early or watch the bytes."""
    document = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": tokens, "ignore_eos": True, **fields}
    body = json.dumps({**document, "stream": stream}).encode()
    head = "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=20)
    connection.sendall(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
    return connection
