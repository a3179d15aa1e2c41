"""The serving chart on a real node: engines run restricted, want the key, end what they began, roll on full GPUs."""

from __future__ import annotations

import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from tests.cluster.errors import CommandFailed
from tests.cluster.start_cluster import start_cluster
from tests.cluster.whole import GPU, Cluster
from tests.docker.images import built
from tests.helm.rendered_charts import HELM, load

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1200)]  # where images must be built first

NAMESPACE = "llm"
KEY = "engine-key-of-the-tests"
DRAIN_S = 30
SMALL = ("--set", "image.pullPolicy=Never", "--set", "engine.sim.coldStartSeconds=1", "--set", "drain.preStopSeconds=2",
         "--set", f"drain.seconds={DRAIN_S}", "--set", "resources.requests.cpu=10m")  # fmt: skip
RESTRICTED = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}


@pytest.fixture(scope="module")
def gpu_node() -> Iterator[Cluster]:
    """A cluster of its own with 8 GPUs, one simulated pool, and the Secret that charts expect."""
    started = start_cluster()
    try:
        started.import_image(built("engine-sim")["engine-sim"])
        started.set_gpus(8)
        started.apply(
            load(HELM / "ops" / "files" / "modelpool-crd.yaml"),
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": RESTRICTED}},
        )
        started.kubectl("wait", "--for=condition=Established", "crd/modelpools.spillway.dev", "--timeout=30s")
        started.kubectl("create", "secret", "generic", "spillway", "-n", NAMESPACE, f"--from-literal=engine-key={KEY}")
        started.helm("install", "pool", str(HELM / "serving"), "-n", NAMESPACE,
                     "-f", str(HELM / "serving" / "values" / "sim.yaml"), *SMALL)  # fmt: skip
        _rolled(started)
        yield started
    finally:
        started.remove()


def _rolled(gpu_node: Cluster, within_s: int = 90) -> None:
    gpu_node.kubectl(
        "rollout", "status", "deployment/pool", "-n", NAMESPACE, f"--timeout={within_s}s", timeout_s=within_s + 10
    )


def _pods(gpu_node: Cluster) -> list[dict[str, dict[str, str]]]:
    told = json.loads(
        gpu_node.kubectl("get", "pods", "-n", NAMESPACE, "-l", "app.kubernetes.io/instance=pool", "-o", "json")
    )
    return [pod for pod in told["items"] if "deletionTimestamp" not in pod["metadata"]]


def _ask(url: str, key: str | None, **fields: object) -> urllib.request.Request:
    body = {"model": "llama-3.1-8b-instruct", "messages": [{"role": "user", "content": "Hello"}], **fields}
    headers = {"Content-Type": "application/json", **({} if key is None else {"Authorization": f"Bearer {key}"})}
    return urllib.request.Request(f"{url}/v1/chat/completions", json.dumps(body).encode(), headers)


def _url(pod: dict[str, dict[str, str]]) -> str:
    return f"http://{pod['status']['podIP']}:8000"


def test_an_engine_answers_who_has_the_key(gpu_node: Cluster) -> None:
    """Its pod runs in a namespace that enforces `restricted`; without the key of the Secret it says 401."""
    (pod,) = _pods(gpu_node)
    with urllib.request.urlopen(_ask(_url(pod), KEY, max_tokens=4), timeout=20) as answer:
        assert json.load(answer)["usage"]["completion_tokens"] == 4
    for key in (None, "another"):
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(_ask(_url(pod), key), timeout=20)
        assert refused.value.code == 401
        refused.value.close()


def test_a_stream_is_finished_before_its_pod_goes(gpu_node: Cluster) -> None:
    """Begun before the pod is deleted, it is read to its last event, and another pod has taken the place."""
    (pod,) = _pods(gpu_node)
    words: list[bytes] = []

    def read() -> None:
        request = _ask(_url(pod), KEY, max_tokens=200, ignore_eos=True, stream=True)
        with urllib.request.urlopen(request, timeout=60) as answer:
            words.extend(answer)

    reader = threading.Thread(target=read)
    reader.start()
    deadline_s = time.monotonic() + 20
    while not words:
        assert time.monotonic() < deadline_s, "no first event"
        time.sleep(0.05)
    gpu_node.kubectl("delete", "pod", pod["metadata"]["name"], "-n", NAMESPACE, "--wait=false")
    reader.join(timeout=60)
    assert not reader.is_alive()
    assert words[-2].strip() == b"data: [DONE]"
    _rolled(gpu_node)
    (successor,) = _pods(gpu_node)
    assert successor["metadata"]["name"] != pod["metadata"]["name"]


def test_a_node_with_the_only_replica_can_be_drained(gpu_node: Cluster) -> None:
    """The budget lets it go, and the node takes it again."""
    gpu_node.kubectl("drain", gpu_node.node, "--delete-emptydir-data", "--ignore-daemonsets", "--timeout=60s",
                 "--pod-selector=app.kubernetes.io/component=engine", timeout_s=70)  # fmt: skip
    gpu_node.kubectl("uncordon", gpu_node.node)
    _rolled(gpu_node)


def test_a_rollout_moves_on_a_node_whose_gpus_are_all_taken(gpu_node: Cluster) -> None:
    """Two replicas of four GPUs are replaced; with one pod more (`maxSurge: 1`) the same change would wait for ever."""
    gpu_node.kubectl("scale", "deployment/pool", "-n", NAMESPACE, "--replicas=2")
    limit = f"/spec/template/spec/containers/0/resources/limits/{GPU.replace('/', '~1')}"
    _patch(gpu_node, {"op": "add", "path": limit, "value": "4"})
    _rolled(gpu_node, 120)
    before = {pod["metadata"]["name"] for pod in _pods(gpu_node)}
    gpu_node.kubectl("rollout", "restart", "deployment/pool", "-n", NAMESPACE)
    _rolled(gpu_node, 120)
    assert not before & {pod["metadata"]["name"] for pod in _pods(gpu_node)}
    surge = {"maxSurge": 1, "maxUnavailable": 0}
    _patch(gpu_node, {"op": "replace", "path": "/spec/strategy/rollingUpdate", "value": surge})
    gpu_node.kubectl("rollout", "restart", "deployment/pool", "-n", NAMESPACE)
    with pytest.raises(CommandFailed, match="timed out"):
        _rolled(gpu_node, 10)
    pending = [pod for pod in _pods(gpu_node) if pod["status"]["phase"] == "Pending"]
    assert "Insufficient nvidia.com/gpu" in json.dumps(pending)
    gpu_node.kubectl("rollout", "undo", "deployment/pool", "-n", NAMESPACE)


def _patch(gpu_node: Cluster, *changes: dict[str, object]) -> None:
    gpu_node.kubectl("patch", "deployment/pool", "-n", NAMESPACE, "--type=json", "-p", json.dumps(changes))
