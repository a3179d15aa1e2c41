"""The commands of helm/README.md, as a person would type them: found by the comment above each block, run by bash."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.cluster.handle import ControlPlane
from tests.cluster.programs import BUILT, ROOT, SEARCHED, built

PAGE = ROOT / "helm" / "README.md"
BLOCK = re.compile(r"^<!-- run: ([^,\n]+?)(, pods)? -->\n```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"^<!-- file: (\S+) -->\n```yaml\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ANY_BLOCK = re.compile(r"^```sh$", re.MULTILINE)
SECRETS = {
    "DATABASE_URL": "postgresql://spillway:canary@database.invalid/spillway",
    "GROQ_API_KEY": "gsk-canary",
    "OPENAI_API_KEY": "sk-canary",
}


# What a small machine without GPUs and without a registry of images needs besides what the page says.
SMALL: Mapping[str, object] = {
    "ops": {
        "image": {"pullPolicy": "Never"},
        "gateway": {"resources": {"requests": {"cpu": "10m", "memory": "64Mi"}}},
        "controller": {"resources": {"requests": {"cpu": "10m", "memory": "64Mi"}}},
    },
    "serving": {
        "image": {"pullPolicy": "Never"},
        "engine": {"sim": {"coldStartSeconds": 1}},
        "resources": {"requests": {"cpu": "10m"}},
        "drain": {"preStopSeconds": 1},
    },
}
WRAPPER = """#!/usr/bin/env bash
# helm with the values of this small cluster after those that were said: install|upgrade RELEASE helm/CHART ...
case "$1" in
  install | upgrade)
    chart="${3#helm/}"
    extra=()
    [ "$chart" = serving ] && extra=(-f helm/serving/values/sim.yaml)
    exec "HELM" "$@" "${extra[@]}" -f "FOLDER/$chart.yaml"
    ;;
esac
exec "HELM" "$@"
"""


@dataclass(frozen=True, kw_only=True)
class Block:
    """Some commands of the page. `needs_pods`: they wait for what only a node can bring."""

    name: str
    needs_pods: bool
    commands: str


def blocks() -> list[Block]:
    """All of them, in the order of the page."""
    text = PAGE.read_text(encoding="utf-8")
    return [Block(name=name, needs_pods=bool(pods), commands=commands) for name, pods, commands in BLOCK.findall(text)]


def place(folder: Path) -> None:
    """A folder to stand in: the charts, and the files that the page shows."""
    (folder / "helm").symlink_to(ROOT / "helm")
    for name, text in FILE.findall(PAGE.read_text(encoding="utf-8")):
        (folder / name).write_text(text, encoding="utf-8")


def run_block(
    block: Block,
    folder: Path,
    api: ControlPlane,
    *,
    timeout_s: float = 120.0,
    programs: Path | None = None,
    variables: Mapping[str, str] | None = None,
) -> str:
    """What the commands print; an error with it where one fails. `programs`: a folder that comes first on PATH."""
    path = os.pathsep.join(str(one) for one in (programs, BUILT, SEARCHED) if one is not None)
    environ: Mapping[str, str] = {**os.environ, **SECRETS, **(variables or {}), **api.environ, "PATH": path}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block.commands],
        cwd=folder,
        env=environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    assert done.returncode == 0, f"{block.name}: exit {done.returncode}\n{block.commands}\n{done.stdout}{done.stderr}"
    return done.stdout


def wrapped_helm(folder: Path) -> Path:
    """A folder with a `helm` that says, after what the page says, what the small cluster of the tests needs."""
    programs = folder / "programs"
    programs.mkdir()
    for chart, values in SMALL.items():
        (programs / f"{chart}.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    helm = programs / "helm"
    helm.write_text(WRAPPER.replace("HELM", built("helm")).replace("FOLDER", str(programs)), encoding="utf-8")
    helm.chmod(0o755)
    return programs
