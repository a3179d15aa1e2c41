"""Helm as a process of its own on its own way to the API, so that it can be killed at any of its writes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.cluster.api_asked import Asked
from tests.cluster.apiserver_proxy import ApiserverProxy
from tests.cluster.handle import ControlPlane
from tests.cluster.programs import ROOT, built

COMMAND_S = 180.0
KILLED = -signal.SIGKILL
KINDS = (
    "serviceaccounts,services,deployments,poddisruptionbudgets,networkpolicies,modelpools,configmaps,roles,rolebindings"
)
Json = dict[str, object]


@dataclass(kw_only=True)
class Helm:
    """One release in one namespace, from a chart of ours with these values."""

    plane: ControlPlane
    proxy: ApiserverProxy
    kubeconfig: Path
    namespace: str
    release: str
    chart: str
    values: Sequence[str]
    _process: subprocess.Popen[str] | None = field(default=None, init=False)

    def run(self, *words: str) -> tuple[int, str]:
        """The exit code, and what it said."""
        environ = {**os.environ, **self.plane.environ, "KUBECONFIG": str(self.kubeconfig)}
        self._process = subprocess.Popen(
            [built("helm"), *words, "--namespace", self.namespace],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environ,
        )
        try:
            said, _ = self._process.communicate(timeout=COMMAND_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise
        return self._process.returncode, said

    def does(self, *words: str) -> str:
        """What it said; an error where it did not do it."""
        code, said = self.run(*words)
        assert code == 0, f"helm {' '.join(words)}: {code} {said}"
        return said

    def install(self) -> tuple[int, str]:
        """The release is there, with the values it was given."""
        return self.run("install", self.release, self._chart, *self.values)

    def upgrade(self, *more: str) -> tuple[int, str]:
        """The release is there, with these values, too."""
        return self.run("upgrade", "--install", self.release, self._chart, *self.values, *more)

    def killed_at(self, number: int, *words: str) -> bool:
        """Whether it came to that write of the command, which was done, and was killed there."""
        fault = self.proxy.lose(picks=_is_write, skips=number, then=self._kill)
        try:
            code, said = self.run(words[0], self.release, self._chart, *self.values, *words[1:])
        finally:
            fault.lift()
        assert fault.hits == (code == KILLED), f"helm ended with {code}: {said}"
        return code == KILLED

    def status(self) -> str:
        """What the release is; "" where there is none."""
        found = json.loads(self.does("list", "--all", "--filter", f"^{self.release}$", "-o", "json"))
        return str(found[0]["status"]) if found else ""

    def objects(self) -> Mapping[str, Json]:
        """What is in the cluster of the release: kind and name, and what was wanted of it."""
        label = f"app.kubernetes.io/instance={self.release}"
        words = ("get", KINDS, "-n", self.namespace, "-l", label, "-o", "json")
        found = json.loads(self.plane.kubectl(*words))["items"]
        return {f"{one['kind']}/{one['metadata']['name']}": _wanted(one) for one in found}

    @property
    def _chart(self) -> str:
        return str(ROOT / "helm" / self.chart)

    def _kill(self) -> None:
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGKILL)


def _is_write(asked: Asked) -> bool:
    return asked.is_write


def _wanted(item: Json) -> Json:
    """An object without what the cluster and the controller have made of it."""
    spec = item.get("spec")
    if not isinstance(spec, dict):
        return {name: item[name] for name in ("data", "rules", "roleRef", "subjects") if name in item}
    own = ("clusterIP", "clusterIPs", "replicas") if item["kind"] != "ModelPool" else ("pin",)
    return {name: value for name, value in spec.items() if name not in own}
