"""`spillway connect` against the running system: each client asks once, by itself where it is installed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from controller.adapters.peppers import load_pepper
from controller.cli.connect_clients import CLIENTS
from tests.e2e.stack import Stack

ROOT = Path(__file__).parents[2]
NODE_CLIENTS = ROOT / ".clients" / "node_modules"
PYTHON_CLIENTS = ROOT / ".venv-clients"
HERE = ("openai-python", "anthropic", "open-webui", "curl")  # what the development environment and Debian have
BY_NODE = ("openai-js", "claude-code", "codex")
BY_PYTHON = ("langchain", "llamaindex")


def _connect(stack: Stack, home: Path, *words: str) -> tuple[int, dict[str, object]]:
    """The exit code and the JSON document of one run, in an empty home."""
    environ = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("OPENAI_", "ANTHROPIC_"))},
        "HOME": str(home),
        "PATH": f"{home / 'bin'}:{NODE_CLIENTS / '.bin'}:{os.environ['PATH']}",
        "NODE_PATH": str(NODE_CLIENTS),
        "VIRTUAL_ENV": str(PYTHON_CLIENTS),
    }
    config = stack.state_dir.parent / "spillway.yaml"
    command = [sys.executable, "-m", "controller.cli.main", "connect", *words, "--json"]
    command += ["--config", str(config), "--state-dir", str(stack.state_dir)]
    done = subprocess.run(command, cwd=home, env=environ, capture_output=True, timeout=150, check=False)
    return done.returncode, json.loads(done.stdout)["data"]


def _there_and_back(stack: Stack, home: Path, name: str) -> dict[str, object]:
    """What the trip of `--write` said; afterwards undone, and nothing of ours is left."""
    code, data = _connect(stack, home, name, "--write")
    assert code == 0, data
    assert data["written"] is True
    assert _connect(stack, home, name, "--undo")[0] == 0
    assert not (home / CLIENTS[name].file.removeprefix("~/")).exists()
    trip = data["trip"]
    assert isinstance(trip, dict)
    return trip


@pytest.mark.parametrize("name", HERE)
def test_a_client_is_connected_asked_and_undone(stack: Stack, tmp_path: Path, name: str) -> None:
    """A new key goes into the file, the client answers with it, and who answered is said; then all of it is undone."""
    trip = _there_and_back(stack, tmp_path, name)
    assert trip["is_real_client"] is (name != "open-webui")
    assert trip["text"]
    assert trip["target"]
    assert str(trip["request_id"]).startswith("req-")
    assert trip["simulated"] is True


@pytest.mark.parametrize("name", ["openai-python", "curl"])
def test_a_client_is_tried_without_writing(stack: Stack, tmp_path: Path, name: str) -> None:
    """The same trip with the key of `spillway up`; the home stays empty."""
    code, data = _connect(stack, tmp_path, name)
    assert code == 0, data
    assert data["written"] is False
    assert list(tmp_path.iterdir()) == []


def test_a_refused_key_is_exit_code_4(stack: Stack, tmp_path: Path) -> None:
    """The gateway's words come through, and the file is as it was."""
    (tmp_path / "key").write_text("sp-nobody-0000")
    code, data = _connect(stack, tmp_path, "curl", "--write", "--key-file", "key")
    assert code == 4
    assert "not valid" in str(data["why"])
    assert not (tmp_path / "spillway.curl").exists()


def test_a_key_of_another_state_folder_is_told_as_that(stack: Stack, tmp_path: Path) -> None:
    """A gateway that does not know the key just made runs on another folder; file and key are taken back."""
    other = replace(stack, state_dir=tmp_path / "other")
    load_pepper(other.state_dir / "pepper")
    (tmp_path / "spillway.yaml").touch()
    code, data = _connect(other, tmp_path, "curl", "--write", "--url", stack.base_url)
    assert code == 4
    assert "does not know the new key" in str(data["what"])
    assert "--state-dir" in str(data["fix"])
    assert not (tmp_path / "spillway.curl").exists()


def test_an_unknown_model_is_told_by_the_gateway(stack: Stack, tmp_path: Path) -> None:
    """A client that fails is asked for by plain HTTP too, so that the real reason shows."""
    code, data = _connect(stack, tmp_path, "openai-python", "--model", "gpt-9-nano")
    assert code == 1
    assert "gpt-9-nano" in str(data["why"])


def test_a_client_that_does_not_end_is_stopped(stack: Stack, tmp_path: Path) -> None:
    """At the deadline: told with what to do, as the gateway itself answers; the file is as it was."""
    program = tmp_path / "bin" / "curl"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o755)
    code, data = _connect(stack, tmp_path, "curl", "--write", "--timeout-s", "1")
    assert code == 1
    assert data["why"] == "no end within 1 s"
    assert "--timeout-s" in str(data["fix"])
    assert not (tmp_path / "spillway.curl").exists()


@pytest.mark.clients
@pytest.mark.slow
@pytest.mark.parametrize("name", BY_NODE)
def test_a_node_client_is_connected_asked_and_undone(stack: Stack, tmp_path: Path, name: str) -> None:
    """The real programs from `make clients-env`; where they do not show headers the ledger says who answered."""
    assert NODE_CLIENTS.is_dir(), "run make clients-env"
    trip = _there_and_back(stack, tmp_path, name)
    assert trip["is_real_client"] is True
    assert trip["target"]
    assert trip["text"]


@pytest.mark.clients
@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", BY_PYTHON)
def test_a_framework_is_connected_asked_and_undone(stack: Stack, tmp_path: Path, name: str) -> None:
    """LangChain and LlamaIndex from `make clients-env`, in an environment of theirs, by a program of their own."""
    assert (PYTHON_CLIENTS / "bin" / "python").exists(), "run make clients-env"
    trip = _there_and_back(stack, tmp_path, name)
    assert trip["is_real_client"] is True
    assert str(PYTHON_CLIENTS) in str(trip["by"])
    assert trip["target"]
    assert trip["text"]
    assert str(trip["request_id"]).startswith("req-")
