"""What tests hold in their hands: a running cluster, and what can be done with it and to it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.cluster import leftovers
from tests.cluster.blocks import RESERVED
from tests.cluster.commands import COMMAND_S, run
from tests.cluster.component import Component
from tests.cluster.control_plane import Probe
from tests.cluster.errors import CommandFailed
from tests.cluster.programs import built


@dataclass(frozen=True, kw_only=True)
class ControlPlane:
    """A running API and its database. `kubeconfig` is an administrator's, and reaches it from this machine."""

    folder: Path
    kubeconfig: Path
    server: str
    components: Mapping[str, Component]
    probe: Probe

    @property
    def certificates(self) -> Path:
        """The folder of its authority."""
        return self.probe.authority.folder

    def component(self, name: str) -> Component:
        """The process of that name, to kill, freeze or restart."""
        if name not in self.components:
            raise KeyError(f"{name} is none of {', '.join(self.components)}")
        return self.components[name]

    def kubectl(self, *words: str, given: str | None = None, timeout_s: float = COMMAND_S) -> str:
        """What kubectl printed; CommandFailed with its message where it said no."""
        return run([built("kubectl"), *words], given=given, environ=self.environ, timeout_s=timeout_s)

    def refusal(self, *words: str, given: str | None = None) -> str:
        """Why kubectl said no; an error where it did not."""
        try:
            said = self.kubectl(*words, given=given)
        except CommandFailed as error:
            return str(error)
        raise AssertionError(f"kubectl {' '.join(words)} was not refused: {said}")

    def apply(self, *documents: Mapping[str, object]) -> str:
        """The objects are as the documents say, by server-side apply."""
        given = json.dumps({"apiVersion": "v1", "kind": "List", "items": documents})
        return self.kubectl("apply", "--server-side", "-f", "-", given=given)

    def helm(self, *words: str, given: str | None = None, timeout_s: float = 5 * COMMAND_S) -> str:
        """What helm printed; CommandFailed with its message where it said no."""
        return run([built("helm"), *words], given=given, environ=self.environ, timeout_s=timeout_s)

    @property
    def environ(self) -> Mapping[str, str]:
        """With these variables kubectl, helm and client libraries reach this cluster and keep their caches in it."""
        helm = {f"HELM_{kind}_HOME": str(self.folder / "helm" / kind.lower()) for kind in ("CACHE", "CONFIG", "DATA")}
        direct = ",".join(filter(None, (os.environ.get("NO_PROXY"), "127.0.0.1", str(RESERVED))))
        return {
            "KUBECONFIG": str(self.kubeconfig),
            "KUBECACHEDIR": str(self.folder / "kubectl-cache"),
            "NO_PROXY": direct,
            "no_proxy": direct,
            **helm,
        }

    def until_ready(self) -> None:
        """The API answers that it is ready, for example after a component was killed and started again."""
        self.probe.until_ready(self.running("etcd", "kube-apiserver"))

    def running(self, *names: str) -> Sequence[Component]:
        """The components of these names."""
        return [self.component(name) for name in names]

    def remove(self) -> None:
        """Nothing of the cluster is left."""
        leftovers.remove(self.folder)
        for component in self.components.values():
            assert not component.is_running(), f"{component.name} is still there"
