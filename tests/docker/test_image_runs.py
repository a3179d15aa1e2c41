"""The images run: as their own user, on a root that cannot be written, without a network."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.docker.containers import STATE, Container, run, running
from tests.docker.images import Image

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1000)]
CONFIG = """\
phase: phase3
pools:
  - {name: llama-8b, model: llama-8b-self, endpoints: ["http://127.0.0.1:8000"], spill: {to: [gpt-6-luna]}}
"""
PYTHON = ("python", "-c")
READY_S = 30
# What a person who got into the container would try first; a line for each that succeeds.
LOOK_AROUND = """
import os, shutil
for folder, _, _ in os.walk("/"):
    if not folder.startswith(("/proc", "/dev", "/sys")) and os.access(folder, os.W_OK):
        print("writable", folder)
folders = "/bin:/sbin:/usr/bin:/usr/sbin:/usr/local/bin:/opt/spillway/bin"
for name in ("sh", "bash", "dash", "busybox", "apt", "dpkg", "pip", "gcc", "ld", "perl", "mount", "su", "curl"):
    if shutil.which(name, path=folders):
        print("found", name)
"""
ASK = """
import json, urllib.request
body = {"model": "llama-3.1-8b-instruct", "max_tokens": 3, "messages": [{"role": "user", "content": "Hello"}]}
request = urllib.request.Request(
    "http://127.0.0.1:8000/v1/chat/completions", json.dumps(body).encode(), {"content-type": "application/json"}
)
print(json.load(urllib.request.urlopen(request, timeout=20))["usage"]["completion_tokens"])
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A folder with a spillway.yaml."""
    folder = tmp_path / "config"
    folder.mkdir()
    (folder / "spillway.yaml").write_text(CONFIG)
    return folder


def test_the_entrypoint_answers_help(image: Image, tmp_path: Path) -> None:
    """With nothing mounted, nothing writable and nobody to talk to."""
    done = run(Container(image=image, arguments=["--help"]), tmp_path / "bundle")
    assert done.returncode == 0, done.stderr
    assert ("gateway" if image.name == "ops" else "--model-key") in done.stdout


def test_config_validate_needs_no_network_and_writes_nothing(
    images: dict[str, Image], config: Path, tmp_path: Path
) -> None:
    """A good file exits 0; a wrong one exits 2 and says which line."""
    good = Container(
        image=images["ops"], arguments=["config", "validate", "-c", "/c/spillway.yaml"], read_only={config: "/c"}
    )
    done = run(good, tmp_path / "good")
    assert done.returncode == 0, done.stdout + done.stderr
    (config / "spillway.yaml").write_text(CONFIG.replace("llama-8b-self", "llama-8b-selv"))
    refused = run(good, tmp_path / "bad")
    assert refused.returncode == 2
    assert "llama-8b-selv" in refused.stdout + refused.stderr


def test_the_root_cannot_be_written_and_there_is_no_shell(image: Image, tmp_path: Path) -> None:
    """Python inside it finds no place to write and nothing to start."""
    done = run(Container(image=image, entrypoint=[*PYTHON, LOOK_AROUND]), tmp_path / "bundle")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_authorities_are_known(images: dict[str, Image], tmp_path: Path) -> None:
    """TLS to providers can be verified: the usual authorities are where OpenSSL looks."""
    script = "import ssl; print(len(ssl.create_default_context().get_ca_certs()))"
    done = run(Container(image=images["ops"], entrypoint=[*PYTHON, script]), tmp_path / "bundle")
    assert int(done.stdout) > 100, done.stderr


def test_gateway_becomes_ready_and_leaves_on_sigterm(
    images: dict[str, Image], config: Path, state: Path, tmp_path: Path
) -> None:
    """Docker's health check passes within seconds; SIGTERM ends it with 143 and no word of an error."""
    ops = images["ops"]
    os.chown(state, 10001, 10001)
    container = Container(
        image=ops, arguments=["gateway", "-c", "/c/spillway.yaml"], read_only={config: "/c"}, writable={state: STATE}
    )
    with running(container, tmp_path / "bundle") as (name, process):
        check = _health_check(ops)
        began = time.monotonic()
        while (
            subprocess.run(["runc", "exec", name, *check], capture_output=True, timeout=30, check=False).returncode != 0
        ):
            assert process.poll() is None, (tmp_path / "bundle/log").read_text()
            assert time.monotonic() - began < READY_S, (tmp_path / "bundle/log").read_text()
            time.sleep(0.2)
        subprocess.run(["runc", "kill", name, "TERM"], check=True, timeout=30)
        assert process.wait(30) in (0, 128 + signal.SIGTERM), (tmp_path / "bundle/log").read_text()
    log = [json.loads(line) for line in (tmp_path / "bundle/log").read_text().splitlines()]
    assert [line for line in log if line.get("level") in ("error", "critical")] == []


def test_simulated_engine_answers_a_chat(images: dict[str, Image], tmp_path: Path) -> None:
    """With no more than the model's name: it listens on 8000, as vLLM does, and its health check passes."""
    sim = images["engine-sim"]
    arguments = ["--model-key", "llama-8b-self", "--instance-type", "g5.2xlarge", "--host", "0.0.0.0", "--port", "8000"]
    with running(Container(image=sim, arguments=arguments), tmp_path / "bundle") as (name, process):
        began = time.monotonic()
        while subprocess.run(
            ["runc", "exec", name, *_health_check(sim)], capture_output=True, timeout=30, check=False
        ).returncode:
            assert process.poll() is None, (tmp_path / "bundle/log").read_text()
            assert time.monotonic() - began < READY_S, (tmp_path / "bundle/log").read_text()
            time.sleep(0.2)
        done = subprocess.run(
            ["runc", "exec", name, *PYTHON, ASK], capture_output=True, text=True, timeout=60, check=False
        )
        assert done.stdout.strip() == "3", done.stderr


def _health_check(image: Image) -> list[str]:
    check = image.config["Healthcheck"]
    assert isinstance(check, dict)
    assert check["Test"][0] == "CMD"
    return [str(word) for word in check["Test"][1:]]
