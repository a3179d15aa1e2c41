"""`spillway up` refuses with one clear line and a non-zero exit, and leaves nothing running."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.e2e.stack import free_ports, running_stack

POOL = "pools: [{name: llama-8b, model: llama-8b-self, replicas: {min: 1, max: 1}, spill: {to: [gpt-6-luna]}"
ONE_POOL = f"phase: phase3\n{POOL}}}]\n"


def _up(folder: Path, config: str, *options: str) -> subprocess.CompletedProcess[str]:
    file = folder / "spillway.yaml"
    file.write_text(config)
    command = [sys.executable, "-m", "controller.cli.main", "up", "--config", str(file)]
    return subprocess.run(
        [*command, "--state-dir", str(folder / "state"), *options],
        capture_output=True, text=True, timeout=30, check=False, env={**os.environ, "NO_COLOR": "1"},
    )  # fmt: skip


def _left(folder: Path) -> list[psutil.Process]:
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if any(str(folder) in word for word in process.info["cmdline"] or ())
    ]


def _ports(ports: list[int]) -> str:
    return (
        f"gateway: {{port: {ports[0]}, admin_port: {ports[1]}}}\ncontroller: {{port: {ports[2]}}}\n"
        f"standin_port: {ports[3]}\n"
    )


@pytest.mark.parametrize("taken", [0, 1, 2, 3], ids=["gateway", "admin", "controller", "stand-in"])
def test_a_port_in_use(tmp_path: Path, taken: int) -> None:
    """The job and the port are named, with what to do; exit code 1."""
    ports = free_ports(4)
    with socket.socket() as squatter:
        squatter.bind(("127.0.0.1", ports[taken]))
        squatter.listen()
        refused = _up(tmp_path, _ports(ports) + ONE_POOL)
    assert refused.returncode == 1
    errors = [line for line in refused.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert str(ports[taken]) in errors[0]
    assert "fix: " in refused.stderr
    assert not _left(tmp_path)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ("phase: phase9\n", "phase"),
        ("pols: []\n", "did you mean pools?"),
        (f"{POOL}, engine: {{tensor_parallel: 3}}}}]\n", "tensor_parallel"),
        (f"{POOL}, instance_type: p4d.24xlarge, engine: {{max_model_len_tokens: 500000}}}}]\n", "max_model_len_tokens"),
    ],
    ids=["phase", "typo", "value", "range"],
)
def test_a_bad_configuration(tmp_path: Path, config: str, words: str) -> None:
    """File, line, key, value and allowed range; exit code 2; nothing was started."""
    refused = _up(tmp_path, config)
    assert refused.returncode == 2
    assert words in refused.stderr
    assert "spillway.yaml:1" in refused.stderr
    assert "allowed: " in refused.stderr
    assert "Traceback" not in refused.stderr
    assert not _left(tmp_path)


@pytest.mark.parametrize(
    ("pool_end", "words"),
    [("}]\n", "no pool names a model directory"), (", model_dir: /nowhere/llama}]\n", "/nowhere/llama")],
    ids=["none named", "not there"],
)
def test_a_missing_model_directory(tmp_path: Path, pool_end: str, words: str) -> None:
    """Real engines need weights: the pool and the folder are named; exit code 2."""
    refused = _up(tmp_path, f"{_ports(free_ports(4))}{POOL}{pool_end}", "--engine", "vllm")
    assert refused.returncode == 2
    assert words in refused.stderr
    assert not _left(tmp_path)


def test_a_second_up_on_the_same_state_folder(tmp_path: Path) -> None:
    """The process that runs already is named, and goes on."""
    with running_stack(tmp_path / "one", ONE_POOL) as stack:
        again = subprocess.run(
            [sys.executable, "-m", "controller.cli.main", "up", "--state-dir", str(stack.state_dir)],
            capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip
        assert again.returncode == 1
        assert str(stack.process.pid) in again.stderr
        assert stack.client().models.list().data


def test_ctrl_c_stops_everything(tmp_path: Path) -> None:
    """Exit code 130 within seconds, and not one process is left of those it started."""
    with running_stack(tmp_path / "one", ONE_POOL) as stack:
        assert len(_left(tmp_path)) >= 4
        began_s = time.monotonic()
        stack.process.send_signal(signal.SIGINT)
        assert stack.process.wait(20) == 130
        assert time.monotonic() - began_s < 10
        assert not _left(tmp_path)
    assert "nothing is left running" in stack.log.read_text()


def test_ctrl_c_while_it_comes_up(tmp_path: Path) -> None:
    """Interrupted before it is ready it stops what it had started, too."""
    file = tmp_path / "spillway.yaml"
    file.write_text(f"{_ports(free_ports(4))}simulated_cold_start_s: 60.0\n{ONE_POOL}")
    command = [sys.executable, "-m", "controller.cli.main", "up", "--config", str(file)]
    child = subprocess.Popen(
        [*command, "--state-dir", str(tmp_path / "state")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline_s = time.monotonic() + 20
    while len(_left(tmp_path)) < 4 and time.monotonic() < deadline_s:
        time.sleep(0.1)
    child.send_signal(signal.SIGINT)
    assert child.wait(20) == 130
    assert not _left(tmp_path)
