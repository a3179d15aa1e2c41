"""Nodes for scale: pods that ask for them get them and count as running, no other pod does, and all of it goes."""

from __future__ import annotations

import json

from tests.cluster.component import until
from tests.cluster.fake_nodes import LABEL, TOLERATION, add_fake_nodes
from tests.cluster.sample_pods import pod
from tests.cluster.whole import GPU, Cluster

NODES, GPUS, PODS = 10, 8, 45
WITHIN_S = 90.0


def _deployment() -> dict[str, object]:
    spec = {
        "tolerations": [TOLERATION],
        "nodeSelector": LABEL,
        "containers": [{"name": "main", "image": "nowhere/none:1", "resources": {"limits": {GPU: "2"}}}],
    }
    labels = {"app": "many"}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "many", "namespace": "default"},
        "spec": {
            "replicas": PODS,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
    }


def test_fake_nodes_hold_what_their_gpus_hold(cluster: Cluster) -> None:
    """10 nodes of 8 GPUs run 40 pods of 2, and 5 wait; a pod that tolerates nothing waits for the real node."""

    def phases() -> list[str]:
        said = json.loads(cluster.kubectl("get", "pods", "-l", "app=many", "-o", "json"))
        return sorted(one["status"]["phase"] for one in said["items"])

    cluster.set_gpus(0)
    nodes = add_fake_nodes(cluster, NODES, gpus=GPUS)
    try:
        cluster.apply(_deployment(), pod("elsewhere", "default", gpus=1))
        wanted = ["Pending"] * 5 + ["Running"] * 40
        until(lambda: phases() == wanted, within_s=WITHIN_S, what="40 pods run and 5 wait", needs=[nodes.keeper])
        said = json.loads(cluster.kubectl("get", "pod", "elsewhere", "-o", "json"))
        assert said["status"]["phase"] == "Pending"
    finally:
        cluster.kubectl("delete", "deployment/many", "pod/elsewhere", "--ignore-not-found")
        until(lambda: phases() == [], within_s=WITHIN_S, what="the pods are gone", needs=[nodes.keeper])
        nodes.remove()
    assert cluster.kubectl("get", "nodes", "-o", "name").split() == [f"node/{cluster.node}"]
