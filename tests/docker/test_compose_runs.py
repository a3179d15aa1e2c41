"""compose.sim.yaml on a real Docker: everybody gets healthy, requests are answered, nothing is left afterwards."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.docker.compose import COMPOSE, FILES
from tests.docker.daemon import Docker, docker_daemon
from tests.docker.images import built

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1000)]
WAIT_S = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """The containers of compose.sim.yaml."""

    docker: Docker

    def compose(self, *words: str) -> str:
        """What docker compose says."""
        return self.docker.run(COMPOSE, "--file", FILES["sim"], *words).stdout

    def ask(self, key: str, model: str) -> tuple[int, dict[str, str]]:
        """Status and headers of one small chat request."""
        body = {"model": model, "max_tokens": 5, "messages": [{"role": "user", "content": "Say hello."}]}
        said = self.docker.run(
            "curl", "--silent", "--show-error", "--max-time", "30", "--output", "/dev/null", "--dump-header", "-",
            "--header", f"authorization: Bearer {key}", "--header", "content-type: application/json",
            "--data", json.dumps(body), "http://127.0.0.1:8080/v1/chat/completions",
        ).stdout.splitlines()  # fmt: skip
        headers = dict(line.lower().split(": ", 1) for line in said[1:] if ": " in line)
        return int(said[0].split()[1]), headers


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """Up and healthy; afterwards it is down, and nothing of it is left."""
    archives = built("ops", "engine-sim")
    with docker_daemon() as docker:
        for archive in archives.values():
            docker.run("docker", "load", "--quiet", "--input", archive)
        stack = Stack(docker=docker)
        stack.compose("up", "--no-build", "--detach", "--wait", "--wait-timeout", "120")
        yield stack
        stack.compose("down", "--volumes")
        assert docker.run("docker", "ps", "--all", "--quiet").stdout == ""
        assert docker.run("docker", "volume", "ls", "--quiet").stdout == ""


@pytest.fixture(scope="module")
def key(stack: Stack) -> str:
    """A key as the README makes one, known to the gateway."""
    key = stack.compose("exec", "--no-TTY", "gateway", "spillway", "keys", "create", "test").strip()
    began = time.monotonic()
    while stack.ask(key, "llama-8b")[0] == 401:
        assert time.monotonic() - began < WAIT_S
        time.sleep(0.5)
    return key


@pytest.mark.parametrize(
    ("model", "target"),
    [("llama-8b", "llama-8b"), ("mixtral-8x7b", "mixtral-8x7b"), ("llama-70b", "llama-70b"), ("auto", "llama-8b")],
)
def test_every_engine_answers_through_the_gateway(stack: Stack, key: str, model: str, target: str) -> None:
    """By its name, and by rule; the header says who it was."""
    status, headers = stack.ask(key, model)
    assert (status, headers["x-spillway-target"]) == (200, target), headers


def test_an_external_model_is_answered_by_the_stand_in(stack: Stack, key: str) -> None:
    """Without a provider's key, and without the network."""
    status, headers = stack.ask(key, "gpt-6-luna")
    assert (status, headers["x-spillway-target"]) == (200, "openai"), headers
    assert headers["x-spillway-model"] == "gpt-6-luna"


def test_a_pool_spills_when_its_engine_stops_and_comes_back(stack: Stack, key: str) -> None:
    """`docker compose stop llama-8b`: the next request goes to a provider, and home again after a start."""
    stack.compose("stop", "llama-8b")
    status, headers = stack.ask(key, "llama-8b")
    assert status == 200
    assert headers["x-spillway-target"] != "llama-8b"
    stack.compose("start", "llama-8b")
    began = time.monotonic()
    while stack.ask(key, "llama-8b")[1].get("x-spillway-target") != "llama-8b":
        assert time.monotonic() - began < WAIT_S
        time.sleep(0.5)


def test_the_command_line_in_the_containers_sees_it_all(stack: Stack) -> None:
    """`exec controller spillway status` knows the pools and is not stale."""
    said = stack.compose("exec", "--no-TTY", "controller", "spillway", "status")
    assert "STALE" not in said
    for pool in ("llama-8b", "mixtral-8x7b", "llama-70b"):
        assert pool in said


def test_containers_run_as_a_number_and_cannot_write(stack: Stack) -> None:
    """As Docker has them: user 10001, read-only root, no capabilities."""
    names = stack.docker.run("docker", "ps", "--quiet").stdout.split()
    assert len(names) == 6
    for one in json.loads(stack.docker.run("docker", "inspect", *names).stdout):
        assert one["Config"]["User"] == "10001:10001", one["Name"]
        assert one["HostConfig"]["ReadonlyRootfs"] is True, one["Name"]
        assert one["HostConfig"]["CapDrop"] == ["ALL"], one["Name"]
