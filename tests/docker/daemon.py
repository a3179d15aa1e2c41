"""A Docker daemon of a test's own: in a network of its own and a folder of its own, beside any that the machine has."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

READY_S = 60
COMMAND_S = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Docker:
    """A daemon that runs; commands are in its network, where published ports of containers answer."""

    network: str  # name of the network namespace
    socket: Path

    def run(
        self, *command: str | Path, environ: Mapping[str, str] | None = None, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """The command has run in the daemon's network with DOCKER_HOST set."""
        done = subprocess.run(
            [*self.inside(), *command],
            env={**os.environ, "DOCKER_HOST": f"unix://{self.socket}", **(environ or {})},
            capture_output=True,
            text=True,
            timeout=COMMAND_S,
            check=False,
        )
        assert not check or done.returncode == 0, f"{command}: {done.stdout}\n{done.stderr}"
        return done

    def inside(self) -> Sequence[str]:
        """What a command is put behind to be in the daemon's network; `ip netns exec` would hide the control groups."""
        return ("nsenter", f"--net=/run/netns/{self.network}")


@contextmanager
def docker_daemon() -> Iterator[Docker]:
    """Afterwards the daemon, its containers, its network and its folder are gone."""
    network = f"spillway-docker-{uuid.uuid4().hex[:8]}"
    folder = Path(tempfile.mkdtemp(prefix="spillway-docker-"))  # short: sockets have at most 108 characters
    docker = Docker(network=network, socket=folder / "docker.sock")
    subprocess.run(["ip", "netns", "add", network], check=True, timeout=10)
    try:
        subprocess.run(["ip", "-n", network, "link", "set", "lo", "up"], check=True, timeout=10)
        with (folder / "log").open("w") as log:
            daemon = subprocess.Popen(
                [*docker.inside(), "dockerd", "--host", f"unix://{docker.socket}", "--log-level", "warn",
                 "--data-root", folder / "data", "--exec-root", folder / "exec", "--pidfile", folder / "pid",
                 "--exec-opt", "native.cgroupdriver=cgroupfs"],
                stdout=log, stderr=log,
            )  # fmt: skip
        try:
            _await(docker, daemon, folder / "log")
            yield docker
        finally:
            daemon.terminate()  # it stops its containers and its containerd
            daemon.wait(READY_S)
    finally:
        subprocess.run(["ip", "netns", "delete", network], check=True, timeout=10)
        shutil.rmtree(folder)


def _await(docker: Docker, daemon: subprocess.Popen[bytes], log: Path) -> None:
    began = time.monotonic()
    while docker.run("docker", "version", check=False).returncode != 0:
        assert daemon.poll() is None, log.read_text()
        assert time.monotonic() - began < READY_S, log.read_text()
        time.sleep(0.2)
