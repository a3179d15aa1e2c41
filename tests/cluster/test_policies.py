"""NetworkPolicies hold where a test asks for it: who may not reach a pod does not, who may does."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.cluster.component import until
from tests.cluster.node_runtime import ANSWER_IMAGE
from tests.cluster.sample_pods import answers, pod, until_pods_ready
from tests.cluster.start_cluster import start_cluster
from tests.cluster.whole import Cluster

WITHIN_S = 60.0
PODS = ("back", "front", "other")
POLICY = {
    "apiVersion": "networking.k8s.io/v1",
    "kind": "NetworkPolicy",
    "metadata": {"name": "back", "namespace": "default"},
    "spec": {
        "podSelector": {"matchLabels": {"app": "back"}},
        "policyTypes": ["Ingress"],
        "ingress": [
            {
                "from": [{"podSelector": {"matchLabels": {"app": "front"}}}],
                "ports": [{"protocol": "TCP", "port": 8080}],
            }
        ],
    },
}


@pytest.fixture
def guarded() -> Iterator[Cluster]:
    """A cluster of its own, in which policies hold."""
    started = start_cluster(policies=True)
    try:
        yield started
    finally:
        started.remove()


@pytest.mark.cluster
@pytest.mark.timeout(300)
def test_only_who_may_reaches_a_guarded_pod(guarded: Cluster) -> None:
    """One pod is let in, and probes of the node are; others and this machine are not, until the policy goes."""
    guarded.apply(*(pod(name, "default", image=ANSWER_IMAGE, probed=True) for name in PODS))
    until_pods_ready(guarded, "default", *PODS)

    def reach() -> dict[str, bool]:
        found = json.loads(guarded.kubectl("get", "pods", "-o", "json"))["items"]
        at = {one["metadata"]["name"]: f"http://{one['status'].get('podIP')}:8080" for one in found}
        through = {name: answers(f"{at[name]}/get?url={at['back']}") for name in ("front", "other")}
        return {**through, "machine": answers(at["back"])}

    everybody = {"front": True, "other": True, "machine": True}
    until(lambda: reach() == everybody, within_s=WITHIN_S, what="everybody reaches the pod")
    guarded.apply(POLICY)
    chosen = {"front": True, "other": False, "machine": False}
    until(lambda: reach() == chosen, within_s=WITHIN_S, what="only the chosen one reaches the pod")
    guarded.kubectl("delete", "pod", "back")
    guarded.apply(pod("back", "default", image=ANSWER_IMAGE, probed=True))
    until_pods_ready(guarded, "default", "back")
    until(lambda: reach() == chosen, within_s=WITHIN_S, what="only the chosen one reaches the new pod")
    guarded.kubectl("delete", "networkpolicy", "back")
    until(lambda: reach() == everybody, within_s=WITHIN_S, what="everybody reaches the pod again")
