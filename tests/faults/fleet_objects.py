"""The objects of a fleet on Kubernetes as the API takes them: Deployments, ModelPools, rights, a gateway's pod."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from tests.helm.rendered_charts import RELEASE, rendered_text

Json = dict[str, Any]
MODEL = "llama-8b-self"
CONTROLLER, GATEWAY = f"{RELEASE}-controller", f"{RELEASE}-gateway"
PART = "app.kubernetes.io/component"


def space(name: str) -> Json:
    """A namespace."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def deployment(name: str, port: int, replicas: int) -> Json:
    """A pool's pods; what runs in them is the stand-in node's."""
    labels = {"pool": name, PART: "engine"}
    container = {"name": "engine", "image": "engine", "ports": [{"containerPort": port}]}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"pool": name}},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [container], "terminationGracePeriodSeconds": 5},
            },
        },
    }


def model_pool(
    name: str,
    port: int,
    *,
    minimum: int,
    maximum: int,
    to: tuple[str, ...],
    autoscale: Mapping[str, int],
    engine: Mapping[str, int] | None = None,
) -> Json:
    """A pool on the Deployment of its name."""
    return {
        "apiVersion": "spillway.dev/v1alpha1",
        "kind": "ModelPool",
        "metadata": {"name": name},
        "spec": {
            "model": MODEL,
            "scaleTargetRef": {"name": name},
            "instanceType": "g5.2xlarge",
            "engine": {"port": port, **(engine or {})},
            "replicas": {"min": minimum, "max": maximum},
            "slo": {"ttftP95Milliseconds": 60_000, "tpotP95Milliseconds": 1_000},
            "autoscale": dict(autoscale),
            "spill": {"to": list(to), "minDwellSeconds": 1},
        },
    }


def gateway_pod() -> Json:
    """What the gateway process would be; its status is said by `gateway_status`."""
    labels = {"app.kubernetes.io/name": "spillway", PART: "gateway"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "gateway-0", "labels": labels},
        "spec": {"containers": [{"name": "gateway", "image": "gateway"}], "nodeName": "stand-in"},
    }


def gateway_status() -> Json:
    """It runs on this machine."""
    state = {"running": {"startedAt": "2026-11-01T00:00:00Z"}}
    container = {"name": "gateway", "image": "gateway", "imageID": "", "ready": True, "restartCount": 0, "state": state}
    ready = {"type": "Ready", "status": "True", "lastTransitionTime": "2026-11-01T00:00:00Z"}
    return {
        "status": {
            "phase": "Running",
            "podIP": "127.0.0.1",
            "podIPs": [{"ip": "127.0.0.1"}],
            "conditions": [ready],
            "containerStatuses": [container],
        }
    }


def rights(namespace: str) -> Iterator[Json]:
    """What the chart lets gateway and controller do."""
    for document in yaml.safe_load_all(rendered_text("ops", None)):
        if document is None or document["kind"] not in {"Role", "RoleBinding"}:
            continue
        document["metadata"]["namespace"] = namespace
        for subject in document.get("subjects") or []:
            subject["namespace"] = namespace
        yield document
