"""The small level: a real API that keeps, refuses and comes back, and goes without a trace."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import psutil

from tests.cluster import leftovers
from tests.cluster.component import MEMBER_VARIABLE
from tests.cluster.handle import ControlPlane
from tests.cluster.programs import ROOT
from tests.cluster.start_control_plane import start_control_plane

WIDGETS = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "widgets.test.spillway.dev"},
    "spec": {
        "group": "test.spillway.dev",
        "scope": "Namespaced",
        "names": {"plural": "widgets", "singular": "widget", "kind": "Widget"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            "spec": {
                                "type": "object",
                                "properties": {"low": {"type": "integer"}, "high": {"type": "integer"}},
                                "x-kubernetes-validations": [
                                    {"rule": "self.low <= self.high", "message": "low must not exceed high"}
                                ],
                            }
                        },
                    }
                },
            }
        ],
    },
}


def _members(folder: Path) -> list[str]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MEMBER_VARIABLE) == str(folder):
                found.append(process.name())
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
    return found


def test_the_api_is_the_release_that_is_tested_for(control_plane: ControlPlane) -> None:
    """The server and the kubectl that the suite uses are of Kubernetes 1.34."""
    said = json.loads(control_plane.kubectl("version", "-o", "json"))
    assert [said[side]["minor"] for side in ("clientVersion", "serverVersion")] == ["34", "34"]


def test_rules_of_a_crd_are_judged_by_the_real_api(control_plane: ControlPlane) -> None:
    """A CEL rule lets a good object in and refuses a bad one with its own words."""
    control_plane.apply(WIDGETS)
    control_plane.kubectl("wait", "--for=condition=Established", "crd/widgets.test.spillway.dev", "--timeout=20s")
    good = {
        "apiVersion": "test.spillway.dev/v1",
        "kind": "Widget",
        "metadata": {"name": "good", "namespace": "default"},
    }
    control_plane.apply({**good, "spec": {"low": 1, "high": 2}})
    bad = {**good, "metadata": {"name": "bad", "namespace": "default"}, "spec": {"low": 3, "high": 2}}
    assert "low must not exceed high" in control_plane.refusal("create", "-f", "-", given=json.dumps(bad))


def test_helm_installs_and_uninstalls(control_plane: ControlPlane, tmp_path: Path) -> None:
    """A chart becomes its objects, and they go with it."""
    control_plane.helm("create", str(tmp_path / "sample"))
    templates = tmp_path / "sample" / "templates"
    for unneeded in [*templates.glob("*.yaml"), *templates.glob("tests/*"), templates / "NOTES.txt"]:
        unneeded.unlink()
    (templates / "map.yaml").write_text("{apiVersion: v1, kind: ConfigMap, metadata: {name: from-helm}}")
    control_plane.helm("install", "sample", str(tmp_path / "sample"))
    assert "from-helm" in control_plane.kubectl("get", "configmap", "-o", "name")
    control_plane.helm("uninstall", "sample")
    assert "from-helm" not in control_plane.kubectl("get", "configmap", "-o", "name")


def test_clusters_stand_side_by_side_and_go_without_a_trace(control_plane: ControlPlane) -> None:
    """A second one has its own address, outlives the killing of its API, and leaves no process and no file."""
    second = start_control_plane()
    try:
        assert second.server != control_plane.server
        second.kubectl("create", "namespace", "only-here")
        second.component("kube-apiserver").kill()
        second.component("kube-apiserver").start()
        second.until_ready()
        assert "only-here" in second.kubectl("get", "namespaces", "-o", "name")
        assert "only-here" not in control_plane.kubectl("get", "namespaces", "-o", "name")
        assert sorted(_members(second.folder)) == ["etcd", "kube-apiserver"]
    finally:
        second.remove()
    assert not second.folder.exists()
    assert _members(second.folder) == []


def test_what_a_crashed_run_left_is_removed_by_the_next(control_plane: ControlPlane) -> None:
    """The owner is killed without a word; the next look finds its cluster and removes it, and no other."""
    owner = (
        "from tests.cluster.start_control_plane import start_control_plane as s; import os; "
        "print(s().folder, flush=True); os.kill(os.getpid(), 9)"
    )
    crashed = subprocess.run(
        [sys.executable, "-c", owner], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    folder = Path(crashed.stdout.strip())
    assert sorted(_members(folder)) == ["etcd", "kube-apiserver"], crashed.stderr
    leftovers.remove_orphans()
    assert _members(folder) == []
    assert not folder.exists()
    assert control_plane.folder in leftovers.clusters()
