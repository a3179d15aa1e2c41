"""Finds and stops what a crashed `spillway up` left running.

A process is named by its id and its creation time, so that no other process is ever signalled.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from pathlib import Path

import psutil

STOP_DEADLINE_S = 10.0


def identity(pid: int) -> dict[str, float] | None:
    """What names the process for ever; None when it is gone."""
    try:
        return {"pid": pid, "create_time": psutil.Process(pid).create_time()}
    except psutil.NoSuchProcess:
        return None


def living(record: object) -> psutil.Process | None:
    """The very process of the record, if it still runs."""
    if not isinstance(record, dict):
        return None
    try:
        process = psutil.Process(int(record["pid"]))
        same = abs(process.create_time() - float(record["create_time"])) < 0.01
        return process if same and process.status() != psutil.STATUS_ZOMBIE else None
    except (psutil.NoSuchProcess, KeyError, TypeError, ValueError):
        return None


def read_record(path: Path) -> object | None:
    """The JSON in the file; None when there is none to be read."""
    try:
        record: object = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return record


def write_record(path: Path, record: object) -> None:
    """Afterwards the file holds the record, whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.tmp")
    draft.write_text(json.dumps(record, indent=2))
    draft.replace(path)


def stop_processes(processes: Sequence[psutil.Process], *, deadline_s: float = STOP_DEADLINE_S) -> int:
    """SIGTERM, then SIGKILL after the deadline; how many had to be killed."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
    _, stubborn = psutil.wait_procs(processes, timeout=deadline_s)
    for process in stubborn:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(stubborn, timeout=2.0)
    return len(stubborn)


def stop_replicas(state_dir: Path, *, deadline_s: float = STOP_DEADLINE_S) -> int:
    """Afterwards no recorded replica runs and no record is left; how many were running."""
    from controller.adapters.replica_records import stop_recorded

    return len(stop_recorded(state_dir, grace_s=deadline_s))


def running_up(state_dir: Path) -> int | None:
    """The process id of a living `spillway up` on this state folder."""
    process = living(read_record(state_dir / "run" / "up.json"))
    return process.pid if process is not None else None


def clean(state_dir: Path) -> int:
    """Stop what an `up` that is no more left behind and forget it; how many processes that were."""
    children = read_record(state_dir / "run" / "children.json")
    records = list(children.values()) if isinstance(children, dict) else []
    running = [process for record in records if (process := living(record)) is not None]
    stop_processes(running)
    stopped = len(running) + stop_replicas(state_dir)
    for name in ("up.json", "children.json", "fleet.json", "controller.memory"):
        (state_dir / "run" / name).unlink(missing_ok=True)
    return stopped
