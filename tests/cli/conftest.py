"""What several files of these tests begin with."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from explained import KEYS
from fake_cluster import FakeCluster, running_cluster

from controller.cli.overrides import STANDIN_URL


def free_port() -> int:
    """One with free neighbours, most likely."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return min(int(probe.getsockname()[1]), 65_000)


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No configuration, no keys, nothing running."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    for name in (*KEYS, "AI_PHASE", STANDIN_URL, "LLAMA_8B_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Eighty columns, ports that nobody listens on, no configuration file."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("SPILLWAY_PORT", str(free_port()))
    monkeypatch.delenv("LLAMA_8B_ENDPOINT", raising=False)


@pytest.fixture
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeCluster]:
    """A cluster that kubeconfig leads to; nothing on this machine."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    for name in ("KUBERNETES_SERVICE_HOST", "SPILLWAY_PLATFORM", "SPILLWAY_POD_NAME", "SPILLWAY_PROGRAM"):
        monkeypatch.delenv(name, raising=False)
    with running_cluster(tmp_path) as made:
        monkeypatch.setenv("KUBECONFIG", str(made.kubeconfig))
        yield made
