"""The engine image around the real vLLM on CPU: refuses to start open, serves as its own user, ends streams whole."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from tests.docker.containers import Container, run, running
from tests.docker.images import ROOT, Image, built, unpacked

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1000)]
READY_S = 500
VLLM_PYTHON = (ROOT / ".venv-vllm").resolve() / "bin" / "python"
CPU_ENVIRON = {"VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1"}
USER = 10001
# block size: the CPU attention takes multiples of 32 only
ARGUMENTS = (
    "--dtype bfloat16 --enforce-eager --block-size 32 --max-model-len 2048 --max-num-seqs 32 --served-model-name tiny"
)
TOKENS = 1500
# Reads a stream of TOKENS tokens and says so on stdout when its first token is there, and when its end is.
STREAM = f"""
import http.client, json
body = {{"model": "tiny", "stream": True, "max_tokens": {TOKENS}, "ignore_eos": True,
        "stream_options": {{"include_usage": True}}, "messages": [{{"role": "user", "content": "Hi"}}]}}
connection = http.client.HTTPConnection("127.0.0.1", 8000, timeout=120)
connection.request("POST", "/v1/chat/completions", json.dumps(body),
                   {{"content-type": "application/json", "authorization": "Bearer test-key"}})
answer = connection.getresponse()
print(answer.status, answer.read(300)[:5].decode(), flush=True)
rest = answer.read().decode()
print("[DONE]" in rest, '"completion_tokens":{TOKENS}' in rest, flush=True)
"""


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Image:
    """The engine image on a base without vLLM."""
    (archive,) = built("engine-cpu").values()
    return unpacked("engine-cpu", archive, tmp_path_factory.mktemp("engine-cpu"))


def _container(engine: Image, tmp_path: Path) -> Container:
    """As a pod of the cluster suite has it: vLLM's environment from the node, a model, a cache, /tmp."""
    assert VLLM_PYTHON.exists(), "run `make vllm-env` first"
    model, cache, scratch = tmp_path / "model", tmp_path / "cache", tmp_path / "scratch"
    maker = ROOT / "tests/contract/tiny_model.py"
    subprocess.run([VLLM_PYTHON, maker, model], check=True, timeout=300)
    subprocess.run(
        ["chmod", "--recursive", "a+rX", model], check=True, timeout=10
    )  # the weights are made for root alone
    for folder in (cache, scratch):
        folder.mkdir()
        subprocess.run(["chown", f"{USER}:{USER}", folder], check=True, timeout=10)
    return Container(
        image=engine,
        arguments=["--model", "/model", *ARGUMENTS.split()],
        read_only={VLLM_PYTHON.parents[1]: "/opt/vllm", model: "/model"},
        writable={cache: "/cache", scratch: "/tmp"},
        environ={**CPU_ENVIRON, "VLLM_API_KEY": "test-key", "SPILLWAY_DRAIN_S": "60"},
        shm_mib=512,  # vLLM asks for 160 and ends without it
    )


def test_it_does_not_start_without_a_key(engine: Image, tmp_path: Path) -> None:
    """Exit 2 and the words to fix it, before any weights are read."""
    done = run(Container(image=engine, arguments=["--model", "/model"]), tmp_path / "bundle")
    assert done.returncode == 2
    assert "VLLM_API_KEY is not set" in done.stderr


def test_it_runs_as_a_number_and_gives_no_privileges(engine: Image) -> None:
    """User 10001, a folder for its cache that is its own, our two files."""
    assert engine.config["User"] == f"{USER}:{USER}"
    assert (engine.files / "cache").stat().st_uid == USER
    assert {path.name for path in (engine.files / "opt/spillway").iterdir()} == {"engine_start.py", "healthcheck.py"}


def test_it_serves_and_an_open_stream_ends_whole(engine: Image, tmp_path: Path) -> None:
    """On a root that cannot be written and without a network; SIGTERM in the middle of an answer cuts nothing."""
    log = tmp_path / "bundle/log"
    with running(_container(engine, tmp_path), tmp_path / "bundle") as (name, process):
        check = ["runc", "exec", name, "python3", "/opt/spillway/healthcheck.py", "http://127.0.0.1:8000/health"]
        began = time.monotonic()
        while subprocess.run(check, capture_output=True, timeout=60, check=False).returncode != 0:
            assert process.poll() is None, log.read_text()[-3000:]
            assert time.monotonic() - began < READY_S, log.read_text()[-3000:]
            time.sleep(1)
        reading = ["runc", "exec", name, "python3", "-c", STREAM]
        with subprocess.Popen(reading, stdout=subprocess.PIPE, text=True) as reader:
            assert reader.stdout is not None
            assert reader.stdout.readline().split() == ["200", "data:"]
            subprocess.run(["runc", "kill", name, "TERM"], check=True, timeout=30)
            assert reader.stdout.readline().split() == ["True", "True"], log.read_text()[-3000:]
        assert process.wait(90) == 0, log.read_text()[-3000:]
