"""Pods and Services of the suite's own images, as little as the API takes."""

from __future__ import annotations

import urllib.request

from tests.cluster.node_runtime import PAUSE_IMAGE
from tests.cluster.whole import GPU, Cluster

ANSWER_S = 8.0  # the answering pod itself gives up after five


def pod(
    name: str, namespace: str, *, image: str = PAUSE_IMAGE, gpus: int = 0, probed: bool = False
) -> dict[str, object]:
    """A pod with the label `app=NAME` and so many GPUs. `probed`: it is Ready when it answers at port 8080."""
    probe = {"readinessProbe": {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1}}
    container = {
        **(probe if probed else {}),
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


def service(name: str, namespace: str) -> dict[str, object]:
    """Port 80 of the Service leads to port 8080 of the pods `app=NAME`, where the answering image listens."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"selector": {"app": name}, "ports": [{"port": 80, "targetPort": 8080}]},
    }


def until_pods_ready(cluster: Cluster, namespace: str, *names: str) -> None:
    """All of these pods are Ready."""
    pods = [f"pod/{name}" for name in names]
    cluster.kubectl("wait", "-n", namespace, "--for=condition=Ready", "--timeout=50s", *pods)


def get(url: str) -> str:
    """What the pod at `url` says."""
    with urllib.request.urlopen(url, timeout=ANSWER_S) as answer:
        said: bytes = answer.read()
    return said.decode().strip()


def answers(url: str) -> bool:
    """Whether anything good comes from there."""
    try:
        return bool(get(url))
    except OSError:
        return False
