"""An installation as charts, kubelet and controller leave it, written by a test where none of them runs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import yaml

from tests.cluster.handle import ControlPlane

CRD = Path(__file__).parents[2] / "helm" / "ops" / "files" / "modelpool-crd.yaml"
Json = Mapping[str, object]


def stamp(age_s: float = 0.0, *, micro: bool = False) -> str:
    """An instant so long ago, as the API writes it."""
    at = datetime.now(UTC) - timedelta(seconds=age_s)
    return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ" if micro else "%Y-%m-%dT%H:%M:%SZ")


def labels(component: str, **more: str) -> dict[str, str]:
    """As the charts put them on."""
    ours = {"app.kubernetes.io/name": "spillway", "app.kubernetes.io/instance": "demo"}
    return {**ours, "app.kubernetes.io/component": component, **more}


def model_pool(name: str, **spec: object) -> Json:
    """A ModelPool on the Deployment of its name."""
    said = {
        "model": "llama-8b-self",
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
        "instanceType": "g5.2xlarge",
        "replicas": {"min": 1, "max": 4},
        "spill": {"to": ["gpt-4o-mini"]},
        **spec,
    }
    return {"apiVersion": "spillway.dev/v1alpha1", "kind": "ModelPool", "metadata": {"name": name}, "spec": said}


def deployment(name: str, replicas: int) -> Json:
    """Whose pods they are."""
    own = labels("engine", pool=name)
    container = {"name": "engine", "image": "spillway/engine-sim:0.1.0"}
    template = {"metadata": {"labels": own}, "spec": {"containers": [container]}}
    spec = {"replicas": replicas, "selector": {"matchLabels": own}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}


def pod(name: str, own: Mapping[str, str], *, container: str = "engine") -> Json:
    """One that no kubelet has seen."""
    spec = {"containers": [{"name": container, "image": "spillway/ops:0.1.0"}], "automountServiceAccountToken": False}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": dict(own)}, "spec": spec}


def lease(holder: str, age_s: float = 1.0, *, lease_s: int = 15) -> Json:
    """As the controller that leads renews it."""
    spec = {"holderIdentity": holder, "leaseDurationSeconds": lease_s, "renewTime": stamp(age_s, micro=True)}
    metadata = {"name": "spillway-controller"}
    return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}


def ready(address: str = "10.244.0.7") -> Json:
    """The status of a pod that serves."""
    conditions = [
        {"type": "PodScheduled", "status": "True", "lastTransitionTime": stamp(60)},
        {"type": "Ready", "status": "True", "lastTransitionTime": stamp(30)},
    ]
    return {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}], "conditions": conditions}


def homeless() -> Json:
    """The status of a pod that no node can take."""
    words = "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."
    unschedulable = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": words}
    return {"phase": "Pending", "conditions": [{**unschedulable, "lastTransitionTime": stamp(60)}]}


def spilling(**more: object) -> Json:
    """The status of a pool that spills, as the controller writes it."""
    words = "Replicas without a node: 1; no node. Their work is bought meanwhile."
    unavailable = {"type": "CapacityUnavailable", "status": "True", "reason": "Unschedulable", "message": words}
    return {
        "observedGeneration": 1,
        "selector": "pool=llama-8b",
        "replicas": {"desired": 2, "ready": 1, "warming": 1, "draining": 0, "missing": 0},
        "routing": {"mode": "Spilling", "spillPercent": 37, "since": stamp(3720), "reason": "saturated: 1.20 >= 0.90"},
        "saturationPercent": 120,
        "coldStartSeconds": [61, 64, 59],
        "lastDecision": {"wanted": 3, "final": 2, "reason": "demand 2.70", "constraintsApplied": ["two nodes"]},
        "conditions": [{**unavailable, "lastTransitionTime": stamp(30)}],
        **more,
    }


def install_crd(control_plane: ControlPlane) -> None:
    """Afterwards the API knows ModelPools, and serves them."""
    control_plane.apply(yaml.safe_load(CRD.read_text(encoding="utf-8")))
    control_plane.kubectl("wait", "--for=condition=Established", "crd/modelpools.spillway.dev", "--timeout=30s")


class Installation:
    """One namespace with what is put into it."""

    def __init__(self, control_plane: ControlPlane, namespace: str) -> None:
        self._plane, self.namespace = control_plane, namespace
        control_plane.kubectl("create", "namespace", namespace)

    def put(self, *documents: Json) -> None:
        """Afterwards the objects are as the documents say."""
        given = json.dumps({"apiVersion": "v1", "kind": "List", "items": documents})
        words = ("apply", "--server-side", "--force-conflicts", "--namespace", self.namespace, "-f", "-")
        self._plane.kubectl(*words, given=given)

    def say(self, kind: str, name: str, status: Json) -> None:
        """Afterwards that is its status."""
        patch = ("--subresource=status", "--type=merge", "-p", json.dumps({"status": status}))
        self._plane.kubectl("patch", kind, name, "--namespace", self.namespace, *patch)

    def get(self, kind: str, name: str) -> dict[str, object]:
        """The object as it is."""
        found = self._plane.kubectl("get", kind, name, "--namespace", self.namespace, "-o", "json")
        read: dict[str, object] = json.loads(found)
        return read

    def kubectl(self, *words: str) -> str:
        """What kubectl said of this namespace."""
        return self._plane.kubectl("--namespace", self.namespace, *words)

    def pods(self, own: Mapping[str, str], statuses: Mapping[str, Json], *, container: str = "engine") -> None:
        """Afterwards there are these pods with these statuses."""
        self.put(*(pod(name, own, container=container) for name in statuses))
        for name, status in statuses.items():
            self.say("pod", name, status)

    def fleet(self, gateways: Sequence[str] = (), address: str = "10.244.0.9") -> None:
        """Afterwards there is a pool of two replicas that spills, a leader, and the gateways."""
        self.put(model_pool("llama-8b"), deployment("llama-8b", 3), lease("demo-controller-0-ab12cd", lease_s=600))
        self.say("modelpool", "llama-8b", spilling())
        self.pods(labels("engine", pool="llama-8b"), {"llama-8b-aaa": ready(), "llama-8b-bbb": homeless()})
        if gateways:
            self.pods(labels("gateway"), dict.fromkeys(gateways, ready(address)), container="gateway")
