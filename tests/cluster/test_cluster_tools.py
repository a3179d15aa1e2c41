"""scripts/cluster-tools.sh takes a release that is on the machine, and says what is missing where it must build."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.cluster.programs import ROOT

SYSTEM = "/usr/sbin:/usr/bin:/sbin:/bin"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The script with what it sources, and the modules it knows, on a path with a space."""
    folder = tmp_path / "a checkout"
    shutil.copytree(ROOT / "tests/cluster/tools", folder / "tests/cluster/tools")
    (folder / "scripts").mkdir()
    for script in ("cluster-tools.sh", "go-tools.sh"):
        shutil.copy(ROOT / "scripts" / script, folder / "scripts")
    return folder


def _release(folder: Path, tool: str, version: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / tool).write_text(f"#!/bin/sh\necho '{version}'\nseq 100000\n")  # more than a pipe holds
    (folder / tool).chmod(0o755)
    return folder


def _run(checkout: Path, path: str, assets: str, *tools: str) -> subprocess.CompletedProcess[str]:
    environ = {"PATH": path, "HOME": str(checkout), "KUBEBUILDER_ASSETS": assets}
    command = [str(checkout / "scripts/cluster-tools.sh"), *tools]
    return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=50, check=False)


def test_the_right_release_is_taken_from_either_place(checkout: Path, tmp_path: Path) -> None:
    """From KUBEBUILDER_ASSETS first, else from PATH; nothing is built, and a second run changes nothing."""
    assets = _release(tmp_path / "as sets", "etcd", "etcd Version: 3.6.6")
    _release(assets, "kube-apiserver", "Kubernetes v1.34.1")
    elsewhere = _release(tmp_path / "bin", "kube-apiserver", "Kubernetes v1.34.2")
    _release(elsewhere, "kubectl", "Client Version: v1.34.0")
    for _ in range(2):
        done = _run(checkout, f"{elsewhere}:{SYSTEM}", str(assets), "etcd", "kube-apiserver", "kubectl")
        assert (done.returncode, done.stderr) == (0, "")
        links = {
            name: os.readlink(checkout / ".cluster-tools" / name) for name in ("etcd", "kube-apiserver", "kubectl")
        }
        assert links == {
            "etcd": str(assets / "etcd"),
            "kube-apiserver": str(assets / "kube-apiserver"),
            "kubectl": str(elsewhere / "kubectl"),
        }


@pytest.mark.parametrize("go", ["echo go1.20.3", "exit 127"], ids=["an old Go", "no Go"])
def test_another_release_is_not_taken(checkout: Path, tmp_path: Path, go: str) -> None:
    """It would have to be built; where Go is missing or too old, the error says what to install."""
    assets = _release(tmp_path / "assets", "kube-apiserver", "Kubernetes v1.30.0")
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "go").write_text(f"#!/bin/sh\n{go}\n")
    (programs / "go").chmod(0o755)
    done = _run(checkout, f"{programs}:{SYSTEM}", str(assets), "kube-apiserver")
    assert done.returncode == 2
    assert "error: kube-apiserver must be built, and that needs Go 1.26 or later" in done.stderr
    assert not (checkout / ".cluster-tools" / "kube-apiserver").exists()
