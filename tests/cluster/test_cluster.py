"""The whole level: pods run, GPUs are counted, Services answer, and it all goes without a trace."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.cluster import leftovers
from tests.cluster.capsule import CABLE
from tests.cluster.component import until
from tests.cluster.node_runtime import ANSWER_IMAGE
from tests.cluster.programs import ROOT, SEARCHED
from tests.cluster.sample_pods import answers, get, pod, service, until_pods_ready
from tests.cluster.start_cluster import start_cluster
from tests.cluster.whole import GPU, Cluster

READY_S = 60.0
TEST_S = 300


@pytest.fixture
def namespace(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[str]:
    """A namespace for one test; it is gone afterwards, pods and all."""
    name = request.node.name.replace("_", "-")[:63].rstrip("-")
    cluster.kubectl("create", "namespace", name)
    yield name
    cluster.kubectl("delete", "namespace", name, "--timeout=60s")


def test_a_pod_becomes_ready(cluster: Cluster, namespace: str) -> None:
    """kubelet, containerd, runc and the network of pods do their work."""
    cluster.apply(pod("first", namespace))
    until_pods_ready(cluster, namespace, "first")


def test_a_full_node_holds_the_third_pod(cluster: Cluster, namespace: str) -> None:
    """8 GPUs run two pods of 4; the third is Pending for lack of GPUs, and runs when one of the others goes."""
    cluster.set_gpus(8)
    cluster.apply(*(pod(name, namespace, gpus=4) for name in ("one", "two")))
    until_pods_ready(cluster, namespace, "one", "two")
    cluster.apply(pod("three", namespace, gpus=4))
    cluster.kubectl("wait", "-n", namespace, "--for=condition=PodScheduled=False", "--timeout=30s", "pod/three")
    said = json.loads(cluster.kubectl("get", "pod", "three", "-n", namespace, "-o", "json"))["status"]
    assert said["phase"] == "Pending"
    assert f"Insufficient {GPU}" in said["conditions"][0]["message"]
    cluster.kubectl("delete", "pod", "one", "-n", namespace)
    until_pods_ready(cluster, namespace, "three")


def test_a_service_answers_here_and_by_its_name_there(cluster: Cluster, namespace: str) -> None:
    """From this machine under its ClusterIP, and from a pod under its name, its own Service too."""
    cluster.apply(
        *(pod(name, namespace, image=ANSWER_IMAGE) for name in ("back", "front")),
        *(service(name, namespace) for name in ("back", "front")),
    )
    until_pods_ready(cluster, namespace, "back", "front")
    services = json.loads(cluster.kubectl("get", "services", "-n", namespace, "-o", "json"))["items"]
    addresses = {one["metadata"]["name"]: one["spec"]["clusterIP"] for one in services}
    back = f"http://{addresses['back']}"
    until(lambda: answers(back), within_s=READY_S, what="the Service answers")
    assert get(back) == "back"
    for name in ("back", f"back.{namespace}.svc.cluster.local", f"front.{namespace}"):
        url = f"http://{addresses['front']}/get?url=http://{name}"
        until(partial(answers, url), within_s=READY_S, what=f"{name} answers in a pod")
        assert get(url) == name.split(".")[0]


def test_logs_come_through_the_api(cluster: Cluster, namespace: str) -> None:
    """`kubectl logs` goes through the API to the kubelet, as on any cluster."""
    cluster.apply(pod("told", namespace, image=ANSWER_IMAGE))
    until_pods_ready(cluster, namespace, "told")
    assert cluster.kubectl("logs", "told", "-n", namespace) == "listening on 8080\n"


def test_a_killed_component_comes_back(cluster: Cluster, namespace: str) -> None:
    """The API and the kubelet are killed and started again; pods went on, and new ones start."""
    cluster.apply(pod("before", namespace))
    until_pods_ready(cluster, namespace, "before")
    for name in ("kube-apiserver", "kubelet"):
        cluster.component(name).kill()
        cluster.component(name).start()
    cluster.until_ready()
    cluster.apply(pod("after", namespace))
    until_pods_ready(cluster, namespace, "after")
    said = json.loads(cluster.kubectl("get", "pod", "before", "-n", namespace, "-o", "json"))["status"]
    assert said["containerStatuses"][0]["restartCount"] == 0


def test_a_frozen_api_stands_still_and_goes_on(cluster: Cluster, namespace: str) -> None:
    """While it is frozen nothing answers and pods go on serving; afterwards everything is as before."""
    cluster.apply(pod("steady", namespace, image=ANSWER_IMAGE))
    until_pods_ready(cluster, namespace, "steady")
    address = cluster.kubectl("get", "pod", "steady", "-n", namespace, "-o", "jsonpath={.status.podIP}")
    cluster.component("kube-apiserver").freeze()
    try:
        assert not cluster.probe.says_ready()
        assert get(f"http://{address}:8080") == "steady"
    finally:
        cluster.component("kube-apiserver").thaw()
    cluster.until_ready()
    until_pods_ready(cluster, namespace, "steady")


def test_what_was_frozen_can_be_killed_and_restarted(cluster: Cluster) -> None:
    """Frozen and killed, it is gone; frozen, thawed and restarted, it is another process."""
    scheduler = cluster.component("kube-scheduler")
    scheduler.freeze()
    scheduler.kill()
    assert not scheduler.is_running()
    scheduler.start()
    before = scheduler.program()
    scheduler.freeze()
    scheduler.thaw()
    scheduler.restart()
    after = scheduler.program()
    assert before is not None
    assert after is not None
    assert before.pid != after.pid
    cluster.until_ready()


def _traces(folder: Path) -> list[str]:
    """What this machine shows of a cluster: processes, mounts, control groups."""
    commands = (["mount"], ["find", "/sys/fs/cgroup", "-type", "d"], ["ps", "-eo", "args"])
    lines = [line for command in commands for line in subprocess.check_output(command, text=True).splitlines()]
    return [line for line in lines if folder.name in line]


def _cables() -> set[str]:
    """The clusters' ends on this machine."""
    links = json.loads(subprocess.check_output(["ip", "-json", "link"], text=True))
    return {link["ifname"] for link in links if link["ifname"].startswith(CABLE)}


def _network() -> list[str]:
    """What a cluster without namespaces of its own would leave on this machine."""
    commands = (["ip", "-o", "link"], ["ip", "route"], ["iptables-save"])
    environ = {"PATH": SEARCHED}
    text = [subprocess.check_output(command, text=True, env=environ) for command in commands]
    lines = [line for part in text for line in part.splitlines()]
    return [line for line in lines if any(word in line for word in ("KUBE", "cni", "veth"))]


def test_two_stand_side_by_side_and_go_without_a_trace(cluster: Cluster) -> None:
    """A second one runs its own pods beside the first; afterwards this machine is as before, and the first goes on."""
    before = set(_network())
    second = start_cluster()
    cable = f"{CABLE}{second.capsule.block.number}"
    try:
        second.apply(pod("alone", "default"))
        until_pods_ready(second, "default", "alone")
        assert "alone" not in cluster.kubectl("get", "pods", "-A", "-o", "name")
        assert second.capsule.block != cluster.capsule.block
        assert cable in _cables()
        assert _traces(second.folder) != []
        assert set(_network()) <= before
    finally:
        second.remove()
    assert _traces(second.folder) == []
    assert cable not in _cables()
    assert not second.folder.exists()
    cluster.until_ready()


@pytest.mark.cluster
@pytest.mark.timeout(TEST_S)
def test_a_crashed_run_with_pods_is_removed_by_the_next() -> None:
    """The owner is killed without a word while a pod runs; the next look leaves nothing of it."""
    owner = (
        "import os; from tests.cluster.start_cluster import start_cluster as start; "
        "from tests.cluster.sample_pods import pod, until_pods_ready; cluster = start(); "
        "cluster.apply(pod('left', 'default')); until_pods_ready(cluster, 'default', 'left'); "
        "print(cluster.folder, cluster.capsule.block.number, flush=True); os.kill(os.getpid(), 9)"
    )
    crashed = subprocess.run(
        [sys.executable, "-c", owner], cwd=ROOT, capture_output=True, text=True, timeout=200, check=False
    )
    assert crashed.stdout, crashed.stderr
    folder, number = crashed.stdout.split()
    leftovers.remove_orphans()
    assert _traces(Path(folder)) == []
    assert f"{CABLE}{number}" not in _cables()
    assert not Path(folder).exists()
