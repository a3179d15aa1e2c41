"""The file that a controller keeps for its successor: whole whatever kills the writer, and no reason to stop."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from structlog.testing import capture_logs

from controller.adapters.memory_file import BYTES_MAX, MemoryFile
from controller.loop.memory import Memory, encoded

KILLS = 3
WRITER = """
import sys
from pathlib import Path
from controller.adapters.memory_file import MemoryFile
file = MemoryFile(Path(sys.argv[1]))
for at in range(1_000_000):
    file.keep(b"%d " % at * (1 + at % 50_000))
    if at == 9:
        print("writing", flush=True)
"""


def test_one_who_is_killed_while_writing_leaves_the_word_before(tmp_path: Path) -> None:
    """`kill -9` at any moment between and within writes: what is read is always whole, and of the last moment."""
    for kill in range(KILLS):
        with subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            assert writer.stdout.readline() == b"writing\n"
            time.sleep(0.01 + 0.037 * kill)
            os.kill(writer.pid, signal.SIGKILL)
        words = (MemoryFile(tmp_path).last() or b"").split()
        assert len(set(words)) == 1
        assert len(words) == 1 + int(words[0]) % 50_000


def test_nothing_kept_is_none(tmp_path: Path) -> None:
    """The first controller of a state folder finds nothing, and that is no fault."""
    with capture_logs() as logs:
        assert MemoryFile(tmp_path).last() is None
    assert logs == []


def test_what_cannot_be_read_is_none_with_one_line(tmp_path: Path) -> None:
    """A folder stands where the file should be."""
    (tmp_path / "run" / "controller.memory").mkdir(parents=True)
    with capture_logs() as logs:
        assert MemoryFile(tmp_path).last() is None
    assert [line["event"] for line in logs] == ["controller_memory_unreadable"]


def test_what_cannot_be_written_is_said_once_until_it_can(tmp_path: Path) -> None:
    """The controller goes on; every tick would say the same."""
    (tmp_path / "run").write_text("not a folder")
    file, data = MemoryFile(tmp_path), encoded(Memory(at_s=1.0))
    with capture_logs() as logs:
        for _ in range(3):
            file.keep(data)
        (tmp_path / "run").unlink()
        file.keep(data)
        assert file.last() == data
        file.keep(bytes(BYTES_MAX + 1))
        assert file.last() == data
    assert [line["event"] for line in logs] == ["controller_memory_not_kept"] * 2
    assert logs[1]["error"] == f"{BYTES_MAX + 1} bytes, at most {BYTES_MAX} are kept"


def test_no_more_is_read_than_may_be_kept(tmp_path: Path) -> None:
    """A file of any size costs no more memory than the largest of ours."""
    (tmp_path / "run").mkdir()
    with (tmp_path / "run" / "controller.memory").open("wb") as file:
        file.truncate(BYTES_MAX * 4)
    data = MemoryFile(tmp_path).last()
    assert data is not None
    assert len(data) == BYTES_MAX
