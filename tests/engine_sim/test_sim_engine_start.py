"""How the simulated engine starts, refuses to start, and stops."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from controller.adapters.engine_commands import Launch, sim_command
from controller.config.load import load_settings
from controller.engine_sim.arguments import read
from controller.engine_sim.engine import Engine
from controller.engine_sim.faults import Faults
from tests.engine_sim.sim_servers import (
    ENGINE,
    eventually,
    free_port,
    is_healthy,
    raw_chat,
    running,
    running_engine,
)

OWN_MODEL = """
models:
  house-3b:
    provider: self-hosted
    model_id: house-3b-instruct
    tier: 1
    capabilities: [text]
    context_tokens: 8192
    max_output_tokens: 8192
    planning_usd_per_1k_tokens: 0.00002
    architecture: {hf_id: house/3b, parameters: 3200000000, layers: 28, kv_heads: 8, head_dim: 128}
"""
ASK = [{"role": "user", "content": "Hi"}]


def catches(pid: int, number: signal.Signals) -> bool:
    """Whether the process has come so far as to handle this signal itself."""
    status = Path(f"/proc/{pid}/status").read_text()
    caught = next(line for line in status.splitlines() if line.startswith("SigCgt:"))
    return bool(int(caught.split()[1], 16) >> (number - 1) & 1)


def test_the_port_is_closed_during_the_cold_start() -> None:
    """As with the real server, nothing listens before the model is loaded."""
    port = free_port()
    command = [sys.executable, "-m", "controller.engine_sim", "--port", str(port), *ENGINE, "--cold-start-s", "30"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        eventually(lambda: catches(process.pid, signal.SIGTERM), within_s=20)
        assert process.poll() is None
        assert not is_healthy(f"http://127.0.0.1:{port}")
        process.send_signal(signal.SIGTERM)
        assert process.wait(5) == 0
    finally:
        process.kill()
        process.wait()


def test_sigterm_lets_open_streams_finish() -> None:
    """A stream that is under way ends with its marker, and the process with 0."""
    with running_engine("--speed", "2") as server:
        connection = raw_chat(server, stream=True, tokens=60)
        data = connection.recv(65536)
        eventually(lambda: server.metric("vllm:generation_tokens_total") > 2, within_s=3)
        server.process.send_signal(signal.SIGTERM)
        while part := connection.recv(65536):
            data += part
        connection.close()
        assert b"[DONE]" in data
        assert server.process.wait(5) == 0


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--model-key", "nope", "--instance-type", "g5.2xlarge"], "llama-8b-self"),
        (["--model-key", "llama-8b-self", "--instance-type", "nope"], "allowed:"),
        ([*ENGINE, "--max-model-len", "9999999"], "KV cache"),
        ([*ENGINE, "--speed", "0"], "positive"),
        ([*ENGINE, "--step-times", "1,2,3"], "--step-times"),
        ([*ENGINE, "--step-times", "0,1,1,1,1"], "--step-times"),
        ([*ENGINE, "--step-times", "1,1,1,nan,1"], "--step-times"),
    ],
    ids=["model", "shape", "length", "speed", "few step times", "no step time", "nan step time"],
)
def test_impossible_flags_end_with_one_line_and_code_2(flags: list[str], words: str) -> None:
    """Each refusal names the flag and what is allowed."""
    command = [sys.executable, "-m", "controller.engine_sim", "--port", "1", *flags]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert ended.returncode == 2
    assert words in ended.stderr.splitlines()[-1]


def test_measured_step_times_replace_those_of_the_catalogue() -> None:
    """A step of 50 ms: nine of them after the first token."""
    with running_engine("--step-times", "50,0,0,0,0") as server:
        stream = server.client().completions.create(model=server.model, prompt="Hi", max_tokens=10, stream=True)
        times_s = [time.monotonic() for event in stream if event.choices]
    assert times_s[-1] - times_s[0] >= 0.2


@pytest.mark.parametrize("flags", [[], ["--step-times", "5,0,0,20,0"]], ids=["catalogue", "own step times"])
@pytest.mark.parametrize(("instance_type", "ahead"), [("p5.4xlarge", True), ("g5.2xlarge", False)])
def test_an_engine_schedules_ahead_where_its_card_was_measured_so(
    instance_type: str, ahead: bool, flags: list[str]
) -> None:
    """As the catalogue's row says, whatever the step times: who comes in an iteration waits for the next one too."""
    chosen = ["--model-key", "llama-8b-self", "--instance-type", instance_type, "--port", "1", *flags]
    setup = read(chosen).setup
    model = Engine(setup, Faults()).model
    model.submit(1, 16, 3)
    model.step()
    model.submit(2, 16, 3)
    assert model.step().started == (() if ahead else (2,))


def test_a_port_in_use_is_one_clear_line() -> None:
    """The second engine on a port ends with code 1."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        command = [sys.executable, "-m", "controller.engine_sim", "--port", str(port), *ENGINE]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert ended.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}" in ended.stderr


@pytest.mark.parametrize("name", ["llama-8b", "mixtral-8x7b", "llama-70b"])
def test_every_default_pool_starts_by_the_platforms_command(tmp_path: Path, name: str) -> None:
    """The command line that the process platform builds is accepted, and a token comes."""
    configured = load_settings(None, {}, today=date(2026, 11, 1), state_dir=tmp_path)
    configured = replace(configured, simulated_cold_start_s=0.1)
    pool = configured.pools[name]
    launch = Launch(replica_id="r1", host="127.0.0.1", port=free_port())
    with running(sim_command(configured, pool, launch, sys.executable), launch.port) as server:
        model = configured.models[pool.model].model_id
        answer = server.client().chat.completions.create(model=model, messages=ASK, max_tokens=3)
        assert answer.usage is not None
        assert answer.usage.completion_tokens == 3
    written = json.loads((tmp_path / "run" / "usage" / "r1.json").read_text())
    assert written["models"][model]["output_tokens"] == 3


def test_a_model_of_a_configuration_file_can_be_served(tmp_path: Path) -> None:
    """--config adds the user's own models; a broken file is one error and code 2."""
    file = tmp_path / "spillway.yaml"
    file.write_text(OWN_MODEL)
    flags = ["--config", str(file), "--model-key", "house-3b", "--instance-type", "g5.2xlarge"]
    port = free_port()
    with running([sys.executable, "-m", "controller.engine_sim", "--port", str(port), *flags], port) as server:
        assert json.loads(server.get("/v1/models"))["data"][0]["id"] == "house-3b-instruct"
    file.write_text("pools: 7\n")
    command = [sys.executable, "-m", "controller.engine_sim", "--port", str(port), *flags]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert ended.returncode == 2
    assert "pools" in ended.stderr


def test_a_key_that_is_none_is_refused() -> None:
    """Whatever its bytes: 401, as for vLLM, which asks for its key below /v1 only."""
    port = free_port()
    command = [sys.executable, "-m", "controller.engine_sim", "--port", str(port), *ENGINE]
    with running(command, port, env={**os.environ, "VLLM_API_KEY": "kéy"}) as server:
        for key, status in ((b"k\xe9y", 401), (b"\xff\xfe", 401), (b"key", 401), ("kéy".encode(), 200)):
            with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
                connection.sendall(b"GET /v1/models HTTP/1.1\r\nhost: x\r\nauthorization: Bearer %b\r\n\r\n" % key)
                assert connection.recv(65536).startswith(b"HTTP/1.1 %d " % status), key
