"""The real vLLM on CPU as a pool of the product: deployed by helm/serving, reached through the gateways, replaced."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.cluster.engine_pods import answers_under_way
from tests.cluster.installation import BOUGHT, PROVIDER, Installation, import_images, installed, until_serving
from tests.cluster.traffic import playing
from tests.cluster.whole import Cluster
from tests.contract.engines import REPOSITORY, VLLM_PYTHON

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]
POOL = "llama-8b"
NAMESPACE = "real"
READY_S = 300.0
SIZES = ("8", "768")  # layers, hidden: a token takes so long that a stream outlives the word to go
LONG_TOKENS = 3000
STREAMS_MOST, DRAINED_TOKENS = 12, 1000
DRAIN_S = 300
FOLDERS = {"vllm": "/opt/vllm", "model": "/model"}  # as the engine finds them
CPU = {
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",  # of two that compute on both cores each would spin while it waits
    "OMP_NUM_THREADS": "1",
}
# What a small machine without a GPU needs besides values/cpu.yaml.
VALUES: Mapping[str, object] = {
    "model": {"path": "/model", "hub": {"repository": "", "revision": "", "existingSecret": ""}, "weightsGibibytes": 1},
    "engine": {
        "maxModelLenTokens": 4096,
        "cpuKvCacheGibibytes": 1,
        "extraEnv": [{"name": name, "value": value} for name, value in CPU.items()],
    },
    "drain": {"seconds": DRAIN_S},
    "cache": {"sizeGibibytes": 2},
    "sharedMemoryGibibytes": 1,
    "extraVolumes": [
        {"name": name, "persistentVolumeClaim": {"claimName": name, "readOnly": True}} for name in FOLDERS
    ],
    "extraVolumeMounts": [{"name": name, "mountPath": path, "readOnly": True} for name, path in FOLDERS.items()],
    "resources": {"requests": {"cpu": "100m", "memory": "1Gi"}, "limits": {"memory": "6Gi"}},
    "modelPool": {"slo": {"ttftP95Milliseconds": 20000, "tpotP95Milliseconds": 1000}, "spill": {"to": [BOUGHT]}},
}


@pytest.fixture(scope="module")
def here(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """Both charts installed, and a pool whose engine is vLLM with a tiny model, in a namespace that is `restricted`."""
    assert VLLM_PYTHON.exists(), "run `make vllm-env` first"
    folder = tmp_path_factory.mktemp("real")
    model = folder / "model"
    maker = REPOSITORY / "tests/contract/tiny_model.py"
    subprocess.run([VLLM_PYTHON, maker, model, *SIZES], check=True, timeout=300, env={**os.environ, **CPU})
    subprocess.run(["chmod", "--recursive", "a+rX", model], check=True, timeout=10)  # made for root alone
    import_images(cluster, "engine-cpu")
    with installed(cluster, NAMESPACE, folder) as made:
        volumes = {"vllm": VLLM_PYTHON.parents[1], "model": model}
        for name, path in volumes.items():
            cluster.apply(*_volume(name, path))
        try:
            made.install_pool(POOL, kind="cpu", more=VALUES)
            made.rolled_out(POOL, within_s=READY_S)
            until_serving(made, POOL)
            yield made
        finally:
            cluster.kubectl("delete", "persistentvolume", *(f"{NAMESPACE}-{name}" for name in volumes), "--wait=false")


def _volume(name: str, path: Path) -> tuple[dict[str, object], dict[str, object]]:
    """A folder of the node, and a claim on it: pods of a restricted namespace may not name folders themselves."""
    terms = {"accessModes": ["ReadOnlyMany"], "storageClassName": ""}
    volume = f"{NAMESPACE}-{name}"
    folder = {"hostPath": {"path": str(path), "type": "Directory"}, "capacity": {"storage": "10Gi"}}
    claim = {"volumeName": volume, "resources": {"requests": {"storage": "10Gi"}}}
    return (
        {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": volume}, "spec": {**terms, **folder}},
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": name, "namespace": NAMESPACE},
            "spec": {**terms, **claim},
        },
    )


def _client(here: Installation) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{here.url}/v1", api_key=here.key, max_retries=0, timeout=DRAIN_S)


def test_the_official_client_is_answered_by_the_real_engine(here: Installation) -> None:
    """Whole and as a stream, by the own pool, with the tokens that were asked for."""
    with _client(here) as client:
        said = client.chat.completions.with_raw_response.create(
            model=POOL, messages=[{"role": "user", "content": "Hi"}], max_tokens=8, extra_body={"ignore_eos": True}
        )
        assert said.headers["x-spillway-target"] == POOL
        assert "x-spillway-simulated" not in said.headers
        usage = said.parse().usage
        assert usage is not None
        assert usage.completion_tokens == 8
        assert _streamed(client, tokens=16).tokens == 16


@dataclass(frozen=True, kw_only=True)
class _Said:
    """A stream that has ended: who answered, and how many tokens it says that it has said."""

    target: str
    tokens: int


def _streamed(client: openai.OpenAI, *, tokens: int, begun: threading.Event | None = None, words: str = "Hi") -> _Said:
    counted = 0
    answer = client.chat.completions.with_raw_response.create(
        model=POOL,
        messages=[{"role": "user", "content": words}],
        max_tokens=tokens,
        stream=True,
        stream_options={"include_usage": True},
        extra_body={"ignore_eos": True},
    )
    for chunk in answer.parse():
        if begun is not None:
            begun.set()
        counted = chunk.usage.completion_tokens if chunk.usage is not None else counted
    return _Said(target=answer.headers["x-spillway-target"], tokens=counted)


def test_a_replaced_engine_finishes_its_stream(here: Installation) -> None:
    """The only pod is replaced: its open stream ends whole, what comes meanwhile is bought, the next one serves."""
    (before,) = here.pods("engine")
    said: list[_Said] = []
    begun = threading.Event()
    with _client(here) as client:
        reader = threading.Thread(
            target=lambda: said.append(_streamed(client, tokens=LONG_TOKENS, begun=begun)), daemon=True
        )
        reader.start()
        assert begun.wait(30.0), "no first token"
        with playing(here.url, here.key, model=POOL, rate_per_s=2.0, max_tokens=4) as traffic:
            here.kubectl("rollout", "restart", f"deployment/{POOL}")
            here.reaches("its pod is told to go", lambda: _is_leaving(here, before["metadata"]["name"]))
            assert reader.is_alive(), "the stream was over before its engine was told to go"
            here.reaches("requests are bought", lambda: PROVIDER in traffic.targets())
            reader.join(timeout=DRAIN_S)
            here.rolled_out(POOL, within_s=READY_S)
            until_serving(here, POOL)
    assert said == [_Said(target=POOL, tokens=LONG_TOKENS)]
    assert not traffic.errors, traffic.errors
    (after,) = here.pods("engine")
    assert after["metadata"]["name"] != before["metadata"]["name"]
    with _client(here) as client:
        assert _streamed(client, tokens=16).tokens == 16


def test_a_drained_engine_finishes_its_streams(here: Installation) -> None:
    """Of two engines that both stream, one is to go: it does so when its own streams have ended, and none is cut."""
    here.install_pool(POOL, "modelPool.replicas.max=2", kind="cpu", more=VALUES)
    here.kubectl("scale", f"spool/{POOL}", "--replicas=2")
    here.until_ready(POOL, 2, within_s=READY_S)
    pods, said = here.pods("engine"), list[_Said]()
    readers: list[threading.Thread] = []
    with _client(here) as client:
        while not all(answers_under_way(pod) for pod in pods):
            assert len(readers) < STREAMS_MOST, "only one of them streams"
            readers.append(_reading(client, said, f"{len(readers)}: Hi"))
        here.kubectl("scale", f"spool/{POOL}", "--replicas=1")
        here.reaches("one of them drains", lambda: here.replicas(POOL).get("draining") == 1)
        assert all(answers_under_way(pod) for pod in pods), "streams were over before an engine was to go"
        while any(reader.is_alive() for reader in readers):
            _none_leaves_that_answers(here)
            time.sleep(0.5)
    at_home = [one.tokens for one in said if one.target == POOL]
    assert len(said) == len(readers)
    assert at_home == [DRAINED_TOKENS] * len(at_home)
    assert len(at_home) >= len(pods)
    here.reaches("one pod is left", lambda: len(here.pods("engine")) == 1)
    here.until_ready(POOL, 1)


def _reading(client: openai.OpenAI, said: list[_Said], words: str) -> threading.Thread:
    """A stream whose first token has come. The words differ, so that no engine knows them from another stream."""
    begun = threading.Event()
    reader = threading.Thread(
        target=lambda: said.append(_streamed(client, tokens=DRAINED_TOKENS, begun=begun, words=words)), daemon=True
    )
    reader.start()
    assert begun.wait(60.0), "no first token"
    return reader


def _none_leaves_that_answers(here: Installation) -> None:
    """Looks who is leaving first, and then what those still do: less as time goes."""
    for pod in _leaving(here):
        try:
            busy = answers_under_way(pod)
        except OSError:
            continue  # gone meanwhile
        assert not busy, f"{pod['metadata']['name']} was told to go with {busy:g} open streams"


def _leaving(here: Installation) -> list[dict[str, Any]]:
    """The pods of engines that were told to go and are there."""
    found = here.get("pods", "-l", "app.kubernetes.io/component=engine")["items"]
    return [one for one in found if "deletionTimestamp" in one["metadata"]]


def _is_leaving(here: Installation, pod: str) -> bool:
    return any(one["metadata"]["name"] == pod for one in _leaving(here))
