"""The folder of each cluster on this machine, whose it is, and how all of it is removed.

A cluster belongs to the process that started it (a test session) or to nobody (`python -m tests.cluster up`), and then
it stays until `down`. What an owner that died left behind is removed by the next start.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from tests.cluster import control_groups
from tests.cluster.component import MEMBER_VARIABLE
from tests.cluster.errors import ClusterError

PREFIX = "spillway-cluster-"
STATE = "state.json"
REMOVAL_S = 20.0


@dataclass(frozen=True, kw_only=True)
class State:
    """What is known of a cluster from outside of the process that started it."""

    level: str
    owner_pid: int | None
    owner_started_ticks: int | None

    def is_orphan(self) -> bool:
        """Whether the process it belonged to has ended."""
        return self.owner_pid is not None and _started_ticks(self.owner_pid) != self.owner_started_ticks


def _started_ticks(pid: int) -> int | None:
    """When the process started, in ticks since the machine did: no step of the clock changes it. None: it has ended."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    except (FileNotFoundError, ProcessLookupError):
        return None


def new_folder(level: str, *, keep: bool) -> Path:
    """A folder for a new cluster, owned by this process, or by nobody where it is to be kept."""
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    owner = None if keep else os.getpid()
    state = State(level=level, owner_pid=owner, owner_started_ticks=_started_ticks(owner) if owner else None)
    written = folder / "state.part"
    written.write_text(json.dumps(asdict(state)))
    written.rename(folder / STATE)
    return folder


def clusters() -> dict[Path, State]:
    """The clusters of this user on this machine, by folder."""
    found = {}
    for path in sorted(Path(tempfile.gettempdir()).glob(f"{PREFIX}*/{STATE}")):
        with contextlib.suppress(FileNotFoundError):  # removed by its owner meanwhile
            if path.stat().st_uid == os.getuid():
                found[path.parent] = State(**json.loads(path.read_text()))
    return found


def remove_orphans() -> list[Path]:
    """The folders of clusters whose owner died; they are gone, processes and all. One process does it at a time."""
    with (Path(tempfile.gettempdir()) / f"{PREFIX}{os.getuid()}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        orphans = [folder for folder, state in clusters().items() if state.is_orphan()]
        for folder in orphans:
            remove(folder)
    return orphans


def remove(folder: Path) -> None:
    """Nothing of it is left: processes, their namespaces with all that is in them, control groups, files."""
    assert folder.name.startswith(PREFIX)
    deadline_s = time.monotonic() + REMOVAL_S
    while members := list(_members(folder)):
        if time.monotonic() > deadline_s:
            left = ", ".join(f"{one.pid} ({one.name()})" for one in members)
            raise ClusterError(f"processes of {folder} do not end: {left}")
        for process in members:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGKILL)
        psutil.wait_procs(members, timeout=0.2)
    control_groups.remove(folder.name, within_s=REMOVAL_S)
    shutil.rmtree(folder, onerror=_unless_gone)


def _unless_gone(_remover: object, path: str, _error: object) -> None:
    if os.path.lexists(path):  # else somebody else removes the same folder
        raise ClusterError(f"{path} cannot be removed")


def _members(folder: Path) -> Iterator[psutil.Process]:
    mark = str(folder)
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            if process.status() != psutil.STATUS_ZOMBIE and process.environ().get(MEMBER_VARIABLE) == mark:
                yield process
