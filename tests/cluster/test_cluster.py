"""The whole level: pods run, GPUs are counted, Services answer, and it all goes without a trace."""

from __future__ import annotations

import json
import subprocess
import urllib.request
from collections.abc import Iterator
from functools import partial

import pytest

from tests.cluster import leftovers
from tests.cluster.component import until
from tests.cluster.node_runtime import ANSWER_IMAGE, PAUSE_IMAGE
from tests.cluster.start_cluster import start_cluster
from tests.cluster.whole import GPU, Cluster

READY_S = 60.0


@pytest.fixture
def namespace(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[str]:
    """A namespace for one test; it is gone afterwards, pods and all."""
    name = request.node.name.replace("_", "-")[:63].rstrip("-")
    cluster.kubectl("create", "namespace", name)
    yield name
    cluster.kubectl("delete", "namespace", name, "--timeout=60s")


def _pod(name: str, namespace: str, *, image: str = PAUSE_IMAGE, gpus: int = 0) -> dict[str, object]:
    container = {
        "name": "main",
        "image": image,
        "imagePullPolicy": "Never",
        "resources": {"limits": {GPU: str(gpus)} if gpus else {}},
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": {"app": name}},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 1},
    }


def _service(name: str, namespace: str) -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"selector": {"app": name}, "ports": [{"port": 80, "targetPort": 8080}]},
    }


def _until_ready(cluster: Cluster, namespace: str, *names: str) -> None:
    pods = [f"pod/{name}" for name in names]
    cluster.kubectl("wait", "-n", namespace, "--for=condition=Ready", "--timeout=50s", *pods)


def _get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=5) as answer:
        said: bytes = answer.read()
    return said.decode().strip()


def _answers(url: str) -> bool:
    try:
        return bool(_get(url))
    except OSError:
        return False


def test_a_pod_becomes_ready(cluster: Cluster, namespace: str) -> None:
    """kubelet, containerd, runc and the network of pods do their work."""
    cluster.apply(_pod("first", namespace))
    _until_ready(cluster, namespace, "first")


def test_a_full_node_holds_the_third_pod(cluster: Cluster, namespace: str) -> None:
    """8 GPUs run two pods of 4; the third is Pending for lack of GPUs, and runs when one of the others goes."""
    cluster.set_gpus(8)
    cluster.apply(*(_pod(name, namespace, gpus=4) for name in ("one", "two")))
    _until_ready(cluster, namespace, "one", "two")
    cluster.apply(_pod("three", namespace, gpus=4))
    cluster.kubectl("wait", "-n", namespace, "--for=condition=PodScheduled=False", "--timeout=30s", "pod/three")
    said = json.loads(cluster.kubectl("get", "pod", "three", "-n", namespace, "-o", "json"))["status"]
    assert said["phase"] == "Pending"
    assert f"Insufficient {GPU}" in said["conditions"][0]["message"]
    cluster.kubectl("delete", "pod", "one", "-n", namespace)
    _until_ready(cluster, namespace, "three")


def test_a_service_answers_here_and_by_its_name_there(cluster: Cluster, namespace: str) -> None:
    """From this machine under its ClusterIP, and from a pod under its name, its own Service too."""
    cluster.apply(
        *(_pod(name, namespace, image=ANSWER_IMAGE) for name in ("back", "front")),
        *(_service(name, namespace) for name in ("back", "front")),
    )
    _until_ready(cluster, namespace, "back", "front")
    services = json.loads(cluster.kubectl("get", "services", "-n", namespace, "-o", "json"))["items"]
    addresses = {one["metadata"]["name"]: one["spec"]["clusterIP"] for one in services}
    back = f"http://{addresses['back']}"
    until(lambda: _answers(back), within_s=READY_S, what="the Service answers")
    assert _get(back) == "back"
    for name in ("back", f"back.{namespace}.svc.cluster.local", f"front.{namespace}"):
        url = f"http://{addresses['front']}/get?url=http://{name}"
        until(partial(_answers, url), within_s=READY_S, what=f"{name} answers in a pod")
        assert _get(url) == name.split(".")[0]


def test_logs_come_through_the_api(cluster: Cluster, namespace: str) -> None:
    """`kubectl logs` goes through the API to the kubelet, as on any cluster."""
    cluster.apply(_pod("told", namespace, image=ANSWER_IMAGE))
    _until_ready(cluster, namespace, "told")
    assert cluster.kubectl("logs", "told", "-n", namespace) == "listening on 8080\n"


def test_a_killed_component_comes_back(cluster: Cluster, namespace: str) -> None:
    """The API and the kubelet are killed and started again; pods went on, and new ones start."""
    cluster.apply(_pod("before", namespace))
    _until_ready(cluster, namespace, "before")
    for name in ("kube-apiserver", "kubelet"):
        cluster.component(name).kill()
        cluster.component(name).start()
    cluster.until_ready()
    cluster.apply(_pod("after", namespace))
    _until_ready(cluster, namespace, "after")
    said = json.loads(cluster.kubectl("get", "pod", "before", "-n", namespace, "-o", "json"))["status"]
    assert said["containerStatuses"][0]["restartCount"] == 0


def _traces(folder_name: str) -> list[str]:
    """What this machine shows of a cluster: mounts, control groups, and network ends and iptables chains of any."""
    commands = (["mount"], ["find", "/sys/fs/cgroup", "-type", "d"], ["ps", "-eo", "args"])
    lines = [line for command in commands for line in subprocess.check_output(command, text=True).splitlines()]
    return [line for line in lines if folder_name in line]


def _network() -> list[str]:
    commands = (
        ["ip", "-o", "link"],
        ["ip", "route"],
        ["iptables-save", "-t", "nat"],
        ["iptables-save", "-t", "filter"],
    )
    text = [subprocess.check_output(command, text=True) for command in commands]
    return [
        line for part in text for line in part.splitlines() if any(word in line for word in ("KUBE", "cni", "veth"))
    ]


def test_two_stand_side_by_side_and_go_without_a_trace(cluster: Cluster) -> None:
    """A second one runs its own pods beside the first; afterwards this machine is as before, and the first goes on."""
    second = start_cluster()
    name = second.folder.name
    try:
        second.apply(_pod("alone", "default"))
        _until_ready(second, "default", "alone")
        assert "alone" not in cluster.kubectl("get", "pods", "-A", "-o", "name")
        assert second.capsule.block != cluster.capsule.block
        assert _traces(name) != []
        cable = f"spillway{second.capsule.block.number}"
        assert cable in subprocess.check_output(["ip", "link"], text=True)
    finally:
        second.remove()
    assert _traces(name) == []
    assert cable not in subprocess.check_output(["ip", "link"], text=True)
    assert _network() == []
    assert second.folder not in leftovers.clusters()
    cluster.until_ready()
