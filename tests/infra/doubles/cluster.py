"""The cluster that the double of the Kubernetes provider acts on by kubectl and helm; none without an endpoint."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import yaml

from tests.infra.doubles.wire import Refused

CALL_S = 120
STAND_INS = Path(__file__).parent.parent / "charts"
Said = dict[str, Any]


class Cluster:
    """Refused with what kubectl or helm said, where they refuse."""

    def __init__(self, kubectl: str, helm: str) -> None:
        self._kubectl, self._helm = kubectl, helm
        self.server = os.environ.get("DOUBLE_CLUSTER_ENDPOINT", "")

    def _run(self, *words: str, given: str | None = None) -> str:
        done = subprocess.run(words, input=given, capture_output=True, text=True, timeout=CALL_S, check=False)
        if done.returncode != 0:
            raise Refused(done.stderr.strip() or done.stdout.strip())
        return done.stdout

    def apply(self, document: Said) -> None:
        """The object is as the document says, by server-side apply."""
        if self.server:
            words = (self._kubectl, "apply", "--server-side", "--force-conflicts", "--field-manager=pulumi", "-f", "-")
            self._run(*words, given=json.dumps(document))

    def has(self, document: Said) -> bool:
        """Whether an object of its kind and name is there."""
        if not self.server:
            return True
        words = (self._kubectl, "get", "--ignore-not-found", "-o", "name", "-f", "-")
        return bool(self._run(*words, given=json.dumps(document)).strip())

    def delete(self, document: Said) -> None:
        """No object of its kind and name is there."""
        if self.server:
            words = (self._kubectl, "delete", "--ignore-not-found", "--timeout=100s", "-f", "-")
            self._run(*words, given=json.dumps(document))

    def install(self, inputs: Said) -> None:
        """The release is as the inputs say: `helm upgrade --install` with the chart, or what stands in for it."""
        chart = chart_folder(inputs)
        if not self.server:
            return
        with tempfile.NamedTemporaryFile("w", suffix=".yaml", encoding="utf-8") as values:
            yaml.safe_dump(inputs.get("values", {}), values)
            values.flush()
            words = [self._helm, "upgrade", "--install", inputs["name"], str(chart), "--values", values.name]
            words += ["--namespace", inputs["namespace"]]
            self._run(*words, *(["--create-namespace"] if inputs.get("createNamespace") else []))

    def has_release(self, inputs: Said) -> bool:
        """Whether the release is there."""
        if not self.server:
            return True
        said = self._run(self._helm, "list", "--all", "--short", "--namespace", inputs["namespace"])
        return inputs["name"] in said.split()

    def uninstall(self, inputs: Said) -> None:
        """The release is gone."""
        if self.server:
            words = (self._helm, "uninstall", inputs["name"], "--namespace", inputs["namespace"], "--ignore-not-found")
            self._run(*words)

    def services(self) -> list[str]:
        """Services for which a balancer stands in the cloud, as namespace/name."""
        if not self.server:
            return []
        said = json.loads(self._run(self._kubectl, "get", "services,ingresses", "--all-namespaces", "-o", "json"))
        return [
            f"{one['metadata']['namespace']}/{one['metadata']['name']}"
            for one in said["items"]
            if one["kind"] == "Ingress" or one["spec"].get("type") == "LoadBalancer"
        ]


def chart_folder(inputs: Said) -> Path:
    """A folder of our own as it is; for a chart of others its stand-in, which must be asked for by a version."""
    chart = inputs["chart"]
    if (Path(chart) / "Chart.yaml").is_file():
        return Path(chart)
    name = chart.rpartition("/")[2]
    if not inputs.get("version"):
        raise Refused(f"the chart {chart} is not pinned to a version")
    if not (STAND_INS / name / "Chart.yaml").is_file():
        raise Refused(f"the chart {chart} has no stand-in in tests/infra/charts")
    return STAND_INS / name
