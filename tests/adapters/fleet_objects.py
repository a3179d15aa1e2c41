"""ModelPools and pods as the Kubernetes API has them, small, for what gateways make of them."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

from controller.adapters.kubernetes_kinds import Json
from controller.modelpool.cluster_pools import ClusterBase, load_base

POOLS_AT, PODS_AT = "/apis/spillway.dev/v1alpha1/modelpools", "/api/v1/pods"
NAME, NOW_S = "llama-8b", 1_795_687_200.0
CREATED, READY_AT = "2026-11-26T09:00:00Z", "2026-11-26T09:02:00Z"
OTHER_BASE = "tenants: {acme: {requests_per_min: 60}}\n"


def base(folder: Path, text: str = "", *, state_dir: Path | None = None) -> ClusterBase:
    """spillway.yaml of a cluster."""
    file = folder / "spillway.yaml"
    file.write_text(text or "phase: phase1\n")
    return load_base(file, {}, today=date(2026, 11, 26), state_dir=state_dir)


def model_pool(name: str = NAME, *, status: Json | None = None, **spec: Any) -> Json:
    """A pool of one GPU's replicas; its Deployment has its name."""
    made: Json = {
        "apiVersion": "spillway.dev/v1alpha1",
        "kind": "ModelPool",
        "metadata": {"name": name, "uid": f"uid-of-{name}", "generation": 1, "creationTimestamp": CREATED},
        "spec": {
            "model": "llama-8b-self",
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
            "instanceType": "g5.2xlarge",
            **spec,
        },
    }
    return made if status is None else {**made, "status": status}


def routing(mode: str = "Local", percent: int = 0, **fields: Any) -> Json:
    """A status that says where requests go."""
    return {"routing": {"mode": mode, "spillPercent": percent, "since": CREATED, "reason": "fits"}, **fields}


def pod(
    name: str = "a",
    *,
    ready: bool = True,
    deployment: str = NAME,
    ip: str = "10.0.0.1",
    draining: bool = False,
    deleted: bool = False,
    phase: str = "Running",
    owner: str = "ReplicaSet",
) -> Json:
    """A pod of a Deployment's ReplicaSet."""
    metadata: Json = {
        "name": f"{deployment}-{name}",
        "uid": f"uid-{deployment}-{name}",
        "creationTimestamp": CREATED,
        "labels": {"app": deployment, "pod-template-hash": "5d9"},
        "ownerReferences": [{"kind": owner, "name": f"{deployment}-5d9", "controller": True}],
        "annotations": {"spillway.dev/draining": READY_AT} if draining else {},
    }
    if deleted:
        metadata["deletionTimestamp"] = READY_AT
    condition = {"type": "Ready", "status": str(ready), "lastTransitionTime": READY_AT}
    status = {"phase": phase, "podIP": ip, "conditions": [condition]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {}, "status": status}
