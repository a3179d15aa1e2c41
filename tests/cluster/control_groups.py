"""The control groups of one cluster: one folder in each hierarchy, under which the kubelet makes those of pods."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from tests.cluster.errors import ClusterError

ROOT = Path("/sys/fs/cgroup")


def _hierarchies() -> Iterator[Path]:
    if (ROOT / "cgroup.controllers").exists():  # cgroup v2: there is one
        yield ROOT
        return
    yield from (folder for folder in ROOT.glob("*") if (folder / "cgroup.procs").exists() and not folder.is_symlink())


def make(name: str) -> None:
    """Every hierarchy has the group `name`."""
    for hierarchy in _hierarchies():
        (hierarchy / name).mkdir(exist_ok=True)


def remove(name: str, *, within_s: float) -> None:
    """No hierarchy has the group `name` or one below it. Their processes must have ended."""
    deadline_s = time.monotonic() + within_s
    for hierarchy in _hierarchies():
        top = hierarchy / name
        folders = [top, *(path for path in top.rglob("*") if path.is_dir())] if top.exists() else []
        for folder in sorted(folders, reverse=True):
            _remove_one(folder, deadline_s)


def _remove_one(folder: Path, deadline_s: float) -> None:
    while folder.exists():
        try:
            folder.rmdir()
        except FileNotFoundError:
            return
        except OSError as error:  # busy until the kernel has buried the last process
            if time.monotonic() > deadline_s:
                raise ClusterError(f"control group {folder} cannot be removed: {error}") from error
            time.sleep(0.05)
