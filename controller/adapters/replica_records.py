"""What is known on disk of each replica process: `run/replicas/<replica_id>.json`, so that a restarted controller
adopts what runs and a later run can clean up after a crash. A process is ours only when its pid *and* its start time
match the record: pids are reused, the pair is not.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import orjson
import psutil
import structlog

from controller.core.errors import SpillwayError

log = structlog.get_logger()

START_TIME_TOLERANCE_S = 2.0  # psutil derives start times from the wall clock, which may be stepped
POLL_S = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaRecord:
    """One process we started. `state` is running, draining or stopping."""

    replica_id: str
    pool: str
    pid: int
    create_time: float
    url: str
    started_at_s: float
    simulated: bool
    state: str = "running"
    ready_at_s: float | None = None
    stopping_since_s: float | None = None


class StateLost(SpillwayError):
    """The records of running replicas were removed under a running controller."""


class ReplicaRecords:
    """The folder of records; each write swaps one file whole."""

    def __init__(self, state_dir: Path) -> None:
        self._folder = state_dir / "run" / "replicas"
        self._folder.mkdir(parents=True, exist_ok=True)

    def load(self) -> tuple[ReplicaRecord, ...]:
        """Every readable record, by id; StateLost when the folder is gone, for that is not the same as no replica."""
        if not self._folder.is_dir():
            raise StateLost(f"{self._folder} is gone: what runs is unknown, so nothing is started or stopped")
        return tuple(record for path in sorted(self._folder.glob("*.json")) if (record := _read(path)) is not None)

    def save(self, record: ReplicaRecord) -> None:
        """Afterwards the record is on disk."""
        draft = self._folder / f"{record.replica_id}.tmp"
        draft.write_bytes(orjson.dumps(record))
        draft.replace(self._folder / f"{record.replica_id}.json")

    def forget(self, replica_id: str) -> None:
        """Afterwards there is no such record."""
        (self._folder / f"{replica_id}.json").unlink(missing_ok=True)


def _read(path: Path) -> ReplicaRecord | None:
    try:
        return ReplicaRecord(**orjson.loads(path.read_bytes()))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        log.warning("replica_record_unreadable", path=str(path), error=str(error))
        return None


def start_time(pid: int) -> float | None:
    """When the process started, in unix seconds; None when it is gone or only waits to be reaped."""
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.Error:
        return None


def is_alive(record: ReplicaRecord) -> bool:
    """Whether the very process of the record still runs."""
    started = start_time(record.pid)
    return started is not None and abs(started - record.create_time) < START_TIME_TOLERANCE_S


def ask_to_stop(record: ReplicaRecord) -> None:
    """SIGTERM to the very process of the record, if it runs."""
    if is_alive(record):
        with contextlib.suppress(ProcessLookupError):
            os.kill(record.pid, signal.SIGTERM)


def kill(record: ReplicaRecord) -> None:
    """SIGKILL to the very process of the record and to all it started: it leads its own process group."""
    if is_alive(record):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(record.pid, signal.SIGKILL)


def kill_rest(record: ReplicaRecord) -> None:
    """SIGKILL to what a process that is gone has left behind: vLLM's engine core goes on without its server, and holds
    the GPU's memory. While one of its group is left, nobody else gets the number of that group.
    """
    if not psutil.pid_exists(record.pid):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(record.pid, signal.SIGKILL)


def stop_recorded(state_dir: Path, *, grace_s: float = 10.0) -> tuple[str, ...]:
    """Stop every recorded process, also of an earlier run, and forget it; returns the ids of those that still ran.

    Called by `spillway up` before it starts and after it ends. Blocks for `grace_s` and a moment at most.
    """
    records = ReplicaRecords(state_dir)
    known = records.load()
    running = [record for record in known if is_alive(record)]
    for record in running:
        ask_to_stop(record)
    _await_gone(running, grace_s)
    for record in running:
        kill(record)
    _await_gone(running, 2.0)
    for record in known:
        kill_rest(record)
        records.forget(record.replica_id)
    return tuple(record.replica_id for record in running)


def _await_gone(waited: list[ReplicaRecord], within_s: float) -> None:
    deadline_s = time.monotonic() + within_s
    while any(is_alive(record) for record in waited) and time.monotonic() < deadline_s:
        time.sleep(POLL_S)
