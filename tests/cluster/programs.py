"""Where the programs of the cluster are. One that is missing is an error with the command that brings it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from tests.cluster.errors import MissingTool

ROOT = Path(__file__).parents[2]
BUILT = ROOT / ".cluster-tools"
SEARCHED = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"))  # Debian's iptables and ip


def built(name: str) -> str:
    """The path of a tool that scripts/cluster-tools.sh built or found."""
    path = BUILT / name
    if not path.exists():
        raise MissingTool(f"{name} is not in {BUILT}: run scripts/cluster-tools.sh, which builds it once (minutes)")
    return str(path)


def installed(name: str) -> str:
    """The path of a program from the system's packages."""
    path = shutil.which(name, path=SEARCHED)
    if path is None:
        raise MissingTool(f"{name} is not on this machine: as root, run scripts/install-system.sh cluster")
    return path
