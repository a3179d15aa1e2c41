"""The whole cluster in a test's hands: what the small level has, and a node that runs pods."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.capsule import Capsule
from tests.cluster.component import until
from tests.cluster.errors import CommandFailed
from tests.cluster.handle import ControlPlane
from tests.cluster.node import NAMES_READY_PORT
from tests.cluster.node_runtime import Runtime

GPU = "nvidia.com/gpu"
READY_S = 60.0
PROBE_S = 2.0


@dataclass(frozen=True, kw_only=True)
class Cluster(ControlPlane):
    """A running cluster with one real node."""

    node: str
    capsule: Capsule
    runtime: Runtime

    def import_image(self, archive: Path) -> None:
        """Pods can run the images of the archive (docker or OCI), with `imagePullPolicy: Never` or `IfNotPresent`."""
        self.runtime.import_image(archive)

    def set_gpus(self, count: int) -> None:
        """The node has so many GPUs, as its device plugin would report them; a restarted kubelet forgets them.

        What pods may take of them is said too: the kubelet would say so only at its next status, seconds later.
        """
        name = GPU.replace("/", "~1")
        parts = ("capacity", "allocatable")
        patch = json.dumps([{"op": "add", "path": f"/status/{part}/{name}", "value": str(count)} for part in parts])
        self.kubectl("patch", "node", self.node, "--subresource=status", "--type=json", "-p", patch)

    def inside(self, *words: str) -> str:
        """What the command printed on the node, for example an iptables rule that cuts something off."""
        return self.capsule.run(*words)

    def until_ready(self) -> None:
        """The API answers, the node takes pods, and names are answered."""
        super().until_ready()
        parts = list(self.components.values())
        until(self._node_is_ready, within_s=READY_S, what="the node is ready", needs=parts)
        until(self._has_account, within_s=READY_S, what="there is a default service account", needs=parts)
        until(self._answers_names, within_s=READY_S, what="names of Services are answered", needs=parts)

    def _node_is_ready(self) -> bool:
        try:
            said = json.loads(self.kubectl("get", "node", self.node, "-o", "json"))
        except CommandFailed:
            return False  # not registered yet
        return {"Ready": "True"} in [{one["type"]: one["status"]} for one in said["status"]["conditions"]]

    def _has_account(self) -> bool:
        return "default" in self.kubectl("get", "serviceaccounts", "-n", "default", "-o", "name")

    def _answers_names(self) -> bool:
        line = http.client.HTTPConnection(self.capsule.block.node, NAMES_READY_PORT, timeout=PROBE_S)
        try:
            line.request("GET", "/ready")
            return line.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            line.close()

    @property
    def environ(self) -> Mapping[str, str]:
        """As in the small level, and `ctr` speaks to the node's containerd."""
        containers = {"CONTAINERD_ADDRESS": str(self.runtime.socket), "CONTAINERD_NAMESPACE": "k8s.io"}
        return {**super().environ, **containers}

    @property
    def machine(self) -> str:
        """The address under which pods reach what a test listens on."""
        return self.capsule.block.machine
