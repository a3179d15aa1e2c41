"""`make kind-up` as far as it can be followed without kind: what it asks for, and what it would install."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts" / "kind-up.sh"
# Stands where docker, kind, helm and kubectl would, writes down how it was called, and answers what the script reads.
RECORDER = """#!/bin/sh
echo "${0##*/} $*" >>"$CALLS"
case "${0##*/} $*" in
  "kind get clusters") echo "$CLUSTERS" ;;
  *" get secret spillway") exit "$NO_SECRET" ;;
esac
"""


def _run(folder: Path, tools: tuple[str, ...], environ: Mapping[str, str]) -> tuple[int, list[str], str]:
    """Exit status, calls in their order, what was said on stderr."""
    programs, calls = folder / "bin", folder / "calls"
    programs.mkdir()
    calls.touch()
    for tool in tools:
        (programs / tool).write_text(RECORDER)
        (programs / tool).chmod(0o755)
    for tool in ("bash", "sh", "sed", "grep", "dirname", "mktemp", "chmod", "rm", "cat", "openssl", "tr"):
        found = subprocess.run(["which", tool], capture_output=True, text=True, check=True, timeout=10).stdout.strip()
        (programs / tool).symlink_to(found)
    done = subprocess.run(
        [SCRIPT],
        env={"PATH": str(programs), "CALLS": str(calls), "CLUSTERS": "", "NO_SECRET": "1", **environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, calls.read_text().splitlines(), done.stderr


TOOLS = ("docker", "kind", "helm", "kubectl")


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    """Exit 2 before anything is built."""
    status, calls, said = _run(tmp_path, ("docker", "helm"), {})
    assert (status, calls) == (2, [])
    assert "needs kind kubectl on PATH" in said


def test_images_cluster_secret_releases(tmp_path: Path) -> None:
    """In this order, with the files that are in the repository."""
    status, calls, said = _run(tmp_path, TOOLS, {})
    assert status == 0, said
    verbs = [" ".join(call.split()[:3]) for call in calls if not call.startswith(("kubectl", "helm"))]
    assert verbs == ["docker build --file", "docker build --file", "kind get clusters", "kind create cluster",
                     "kind load docker-image"]  # fmt: skip
    helm = [call for call in calls if call.startswith("helm")]
    assert [re.findall(r"helm/(?:ops|serving)(?= )", call) for call in helm] == [["helm/ops"], ["helm/serving"]]
    named = {word for call in calls for word in call.split() if re.match(r"(docker|helm)/", word)}
    assert {"docker/ops.Dockerfile", "docker/kind.yaml", "helm/ops/values/trial.yaml"} <= named
    for word in named:
        assert (ROOT / word).exists(), word


def test_nothing_of_value_is_made_twice(tmp_path: Path) -> None:
    """The cluster stays, and so does the pepper, without which every key would be worthless."""
    status, calls, said = _run(tmp_path, TOOLS, {"CLUSTERS": "spillway", "NO_SECRET": "0"})
    assert status == 0, said
    assert not [call for call in calls if "create cluster" in call or "create secret" in call]


@pytest.mark.helm
def test_what_it_installs_runs_what_it_loads(tmp_path: Path) -> None:
    """The charts, rendered as the script has them, name no image besides the two that are loaded into the cluster."""
    _, calls, _ = _run(tmp_path, TOOLS, {})
    (load,) = [call for call in calls if call.startswith("kind load")]
    loaded = {word for word in load.split() if word.startswith("spillway/")}
    used: set[str] = set()
    for call in calls:
        if call.startswith("helm"):
            words = call.split()
            chart = words[words.index("5m") + 1 :]
            done = subprocess.run(
                [ROOT / ".cluster-tools/helm", "template", *chart],
                cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
            used |= set(re.findall(r"image: \"?([^\"\s]+)", done.stdout))
    assert used == loaded
