"""Pods and Services of the suite's own images, as little as the API takes."""

from __future__ import annotations

from tests.cluster.node_runtime import PAUSE_IMAGE
from tests.cluster.whole import GPU, Cluster


def pod(name: str, namespace: str, *, image: str = PAUSE_IMAGE, gpus: int = 0) -> dict[str, object]:
    """A pod with the label `app=NAME`, and so many GPUs."""
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
