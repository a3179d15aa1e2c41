"""Weights out of a bucket: the real vLLM streams them from S3, for which moto answers, as it reads a folder."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.contract.engines import CHAT, CPU_ENVIRON, READY_DEADLINE_S, REPOSITORY, VLLM_PYTHON, ask
from tests.engine_sim.sim_servers import Server, eventually, free_port, running

BUCKET, FOLDER = "my-company-models", "models/tiny/0123456789abcdef0123456789abcdef01234567/"
ARGS = "--dtype bfloat16 --enforce-eager --block-size 32 --max-model-len 512 --max-num-seqs 4 --served-model-name tiny"
# As the serving chart has it (helm/serving/templates/_engine.tpl), the rest is what a pod gets from AWS.
FROM_BUCKET = ("--load-format", "runai_streamer")
AWS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "RUNAI_STREAMER_S3_USE_VIRTUAL_ADDRESSING": "0",  # moto has no names for its buckets
}


@contextlib.contextmanager
def _bucket(model: Path, log: Path) -> Iterator[str]:
    """The address of an S3 in whose bucket the files of the model lie."""
    url = f"http://127.0.0.1:{(port := free_port())}"
    line = [str(VLLM_PYTHON), "-c", "from moto.server import main; main()", "-H", "127.0.0.1", "-p", str(port)]
    with log.open("wb") as said, subprocess.Popen(line, stdout=said, stderr=subprocess.STDOUT) as server:
        try:
            eventually(lambda: _put(f"{url}/{BUCKET}", b""), within_s=60.0)
            for file in sorted(model.iterdir()):
                assert _put(f"{url}/{BUCKET}/{FOLDER}{file.name}", file.read_bytes())
            yield url
        finally:
            server.terminate()


def _put(url: str, content: bytes) -> bool:
    request = urllib.request.Request(url, content, {"content-type": "application/octet-stream"}, method="PUT")
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@contextlib.contextmanager
def _engine(model: str, words: tuple[str, ...], log: Path, environ: dict[str, str]) -> Iterator[Server]:
    port = free_port()
    line = [VLLM_PYTHON, "-m", "vllm.entrypoints.openai.api_server", "--model", model, *ARGS.split(), *words]
    command = [*map(str, line), "--host", "127.0.0.1", "--port", str(port)]
    with running(command, port, log=log, ready_s=READY_DEADLINE_S, env=os.environ | CPU_ENVIRON | environ) as server:
        yield replace(server, model="tiny")


def _said(server: Server) -> object:
    body = ask(server, temperature=0, max_tokens=24, logprobs=True)
    status, _, text = server.post(CHAT, body)
    assert status == 200, text
    return json.loads(text)["choices"]


@pytest.mark.vllm
@pytest.mark.timeout(500)
def test_an_engine_streams_its_weights_from_a_bucket(tmp_path: Path) -> None:
    """Its answer, with the probability of each token, is that of an engine that read the same files from a disk."""
    model, cache = tmp_path / "model", {"VLLM_CACHE_ROOT": str(tmp_path / "cache")}
    subprocess.run([VLLM_PYTHON, REPOSITORY / "tests/contract/tiny_model.py", str(model)], check=True, timeout=120)
    with _engine(str(model), (), tmp_path / "disk.log", cache) as server:
        from_disk = _said(server)
    with _bucket(model, tmp_path / "s3.log") as url:
        pod = AWS | {"AWS_ENDPOINT_URL": url, "XDG_CACHE_HOME": str(tmp_path / "xdg")}
        with _engine(f"s3://{BUCKET}/{FOLDER}", FROM_BUCKET, tmp_path / "bucket.log", cache | pod) as server:
            assert _said(server) == from_disk
    asked = (tmp_path / "s3.log").read_text(encoding="utf-8")
    assert re.search(rf"GET \S*/{BUCKET}/{FOLDER}model\.safetensors .* 206 ", asked)  # in parts
