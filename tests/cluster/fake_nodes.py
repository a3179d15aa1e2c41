"""Nodes that exist in the API only, for scale: kwok keeps their leases and says of their pods what a kubelet would.

They carry a taint, so that no pod gets there that does not ask for it. Nothing runs and nothing answers there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import yaml

from tests.cluster.component import Component
from tests.cluster.handle import ControlPlane
from tests.cluster.programs import built
from tests.cluster.whole import GPU

LABEL = {"spillway.dev/fake-node": "true"}
MARK = {"kwok.x-k8s.io/node": "fake"}
TOLERATION = {"key": "spillway.dev/fake-node", "operator": "Exists"}
PODS = "198.19.240.0/20"  # the last block, of which no cluster is made unless all others are taken
LEASE_S = 40
READY_S = 150.0

_NODE_STATUS = """
{{ $now := Now | Quote }}
phase: Running
addresses: [{type: InternalIP, address: {{ NodeIP | Quote }}}]
conditions:
- type: Ready
  status: "True"
  reason: Fake
  message: kept by kwok
  lastHeartbeatTime: {{ $now }}
  lastTransitionTime: {{ $now }}
"""
_POD_STATUS = """
{{ $now := Now }}
phase: Running
startTime: {{ $now | Quote }}
hostIP: {{ NodeIPWith .spec.nodeName | Quote }}
podIP: {{ PodIPWith .spec.nodeName false .metadata.uid .metadata.name .metadata.namespace | Quote }}
conditions:
{{ range $type := list "Initialized" "ContainersReady" "Ready" }}
- {type: {{ $type }}, status: "True", lastTransitionTime: {{ $now | Quote }}}
{{ end }}
containerStatuses:
{{ range .spec.containers }}
- name: {{ .name | Quote }}
  image: {{ .image | Quote }}
  ready: true
  restartCount: 0
  state: {running: {startedAt: {{ $now | Quote }}}}
{{ end }}
"""


def _stage(
    name: str, kind: str, selector: Sequence[tuple[str, str, Sequence[str]]], then: dict[str, object]
) -> dict[str, object]:
    expressions = [{"key": key, "operator": operator, "values": list(values)} for key, operator, values in selector]
    return {
        "apiVersion": "kwok.x-k8s.io/v1alpha1",
        "kind": "Stage",
        "metadata": {"name": name},
        "spec": {
            "resourceRef": {"apiGroup": "v1", "kind": kind},
            "selector": {"matchExpressions": expressions},
            "next": then,
        },
    }


_STAGES = (
    _stage(
        "node-ready",
        "Node",
        [('.status.conditions.[] | select( .type == "Ready" ) | .status', "NotIn", ["True"])],
        {"statusTemplate": _NODE_STATUS},
    ),
    _stage(
        "pod-runs",
        "Pod",
        [(".metadata.deletionTimestamp", "DoesNotExist", ()), (".status.phase", "In", ["Pending"])],
        {"statusTemplate": _POD_STATUS},
    ),
    _stage(
        "pod-goes",
        "Pod",
        [(".metadata.deletionTimestamp", "Exists", ())],
        {"finalizers": {"empty": True}, "delete": True},
    ),
)


def _node(name: str, gpus: int) -> dict[str, object]:
    room = {"cpu": "96", "memory": "1152Gi", "pods": "110", GPU: str(gpus)}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {**LABEL, "kubernetes.io/hostname": name}, "annotations": MARK},
        "spec": {"taints": [{"key": TOLERATION["key"], "value": "true", "effect": "NoSchedule"}]},
        "status": {"capacity": room, "allocatable": room},
    }


@dataclass(frozen=True, kw_only=True)
class FakeNodes:
    """Nodes that are there until `remove`."""

    plane: ControlPlane
    keeper: Component
    names: Sequence[str]

    def remove(self) -> None:
        """Nodes and their pods are gone."""
        self.plane.kubectl("delete", "nodes", "-l", _selector(LABEL), "--wait=false")
        self.keeper.stop()


def add_fake_nodes(plane: ControlPlane, count: int, *, gpus: int = 8) -> FakeNodes:
    """So many ready nodes with GPUs; needs a scheduler and controllers, so the whole level."""
    stages = plane.folder / "stages.yaml"
    stages.write_text(yaml.safe_dump_all(_STAGES))
    keeper = Component(
        name="kwok",
        folder=plane.folder,
        command=[
            *(built("kwok"), f"--kubeconfig={plane.kubeconfig}", f"--config={stages}", f"--cidr={PODS}"),
            *("--v=WARN", f"--node-lease-duration-seconds={LEASE_S}", "--node-ip=198.19.240.1"),
            f"--manage-nodes-with-annotation-selector={_selector(MARK)}",
        ],
    )
    names = [f"fake-{number}" for number in range(count)]
    nodes = {"apiVersion": "v1", "kind": "List", "items": [_node(name, gpus) for name in names]}
    plane.kubectl("create", "-f", "-", given=json.dumps(nodes))
    keeper.start()
    plane.kubectl(
        "wait",
        "nodes",
        "-l",
        _selector(LABEL),
        "--for=condition=Ready",
        f"--timeout={READY_S:.0f}s",
        timeout_s=READY_S + 10,
    )
    return FakeNodes(plane=plane, keeper=keeper, names=names)


def _selector(labels: Mapping[str, str]) -> str:
    return ",".join(f"{key}={value}" for key, value in labels.items())
