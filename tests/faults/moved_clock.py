"""A wall clock that a test moves, for a process of its own: `python -m tests.faults.moved_clock FILE COMMAND`.

COMMAND is another `python -m MODULE ...`, which runs with `time.time` moved by what FILE says; the clock that it
measures with goes on as ever. The file is memory shared by both, so that the clock is moved at once.
"""

from __future__ import annotations

import mmap
import runpy
import struct
import sys
import time
from pathlib import Path

_SHIFT = struct.Struct("d")


class MovedClock:
    """The test's end of it."""

    def __init__(self, file: Path) -> None:
        file.parent.mkdir(parents=True)
        file.write_bytes(_SHIFT.pack(0.0))
        self._memory = _memory(file)
        self._file = file

    @property
    def wrapper(self) -> list[str]:
        """What stands in front of the command."""
        return [sys.executable, "-m", "tests.faults.moved_clock", str(self._file)]

    def now_s(self) -> float:
        """What the process takes for the time."""
        return time.time() + _shift_s(self._memory)

    def set(self, unix_s: float) -> None:
        """It is that time now."""
        _SHIFT.pack_into(self._memory, 0, unix_s - time.time())


def _memory(file: Path) -> mmap.mmap:
    with file.open("r+b") as opened:
        return mmap.mmap(opened.fileno(), _SHIFT.size)


def _shift_s(memory: mmap.mmap) -> float:
    shift_s: float = _SHIFT.unpack_from(memory)[0]
    return shift_s


def main() -> None:
    """Runs the module as it would run, but for the time."""
    file, _, _, *command = sys.argv[1:]  # FILE python -m MODULE ...
    memory, machine_s = _memory(Path(file)), time.time
    time.time = lambda: machine_s() + _shift_s(memory)
    sys.argv = command
    runpy.run_module(command[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
