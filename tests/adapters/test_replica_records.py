"""Recorded processes: what one leaves behind when it dies goes too."""

from __future__ import annotations

import subprocess
import time
from dataclasses import replace
from pathlib import Path

import psutil

from controller.adapters.replica_records import ReplicaRecord, ReplicaRecords, kill_rest, stop_recorded


def dead_with_a_child() -> tuple[ReplicaRecord, int]:
    """A process that led a group and is gone, and the one it started, which is not."""
    command = ["sh", "-c", "sleep 300 >/dev/null & echo $!"]
    process = subprocess.Popen(command, start_new_session=True, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    child = int(process.stdout.readline())
    process.wait(10)
    process.stdout.close()
    record = ReplicaRecord(
        replica_id="llama-8b-1",
        pool="llama-8b",
        pid=process.pid,
        create_time=1.0,
        url="",
        started_at_s=1.0,
        simulated=False,
    )
    return record, child


def is_gone(pid: int) -> bool:
    """Whether it runs no more, within a few seconds; who reaps it is not ours to say."""
    deadline_s = time.monotonic() + 5.0
    while time.monotonic() < deadline_s:
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.01)
    return False


def test_what_a_dead_process_left_behind_is_killed() -> None:
    """As vLLM's engine core, which holds the GPU's memory; a second time there is nothing to do."""
    record, child = dead_with_a_child()
    kill_rest(record)
    assert is_gone(child)
    kill_rest(record)


def test_the_group_of_a_process_that_is_there_is_left_alone() -> None:
    """Its number may be somebody else's by now."""
    other = subprocess.Popen(["sleep", "300"], start_new_session=True)
    try:
        record, child = dead_with_a_child()
        kill_rest(replace(record, pid=other.pid))
        assert other.poll() is None
        kill_rest(record)
        assert is_gone(child)
    finally:
        other.kill()
        other.wait()


def test_a_clean_up_takes_what_is_left_too(tmp_path: Path) -> None:
    """Of a record whose process is long gone."""
    record, child = dead_with_a_child()
    ReplicaRecords(tmp_path).save(record)
    assert stop_recorded(tmp_path, grace_s=0.2) == ()
    assert is_gone(child)
    assert ReplicaRecords(tmp_path).load() == ()
