"""What a controller keeps for its successor, as one file, `run/controller.memory`. Satisfies `loop.ports.MemoryStore`.

A rename swaps the file whole, so that one who is killed while writing leaves the one before. It is not forced to the
disk: what a power cut makes of it is told by its checksum.
"""

from __future__ import annotations

from pathlib import Path

import structlog

log = structlog.get_logger()

BYTES_MAX = 16 * 1024 * 1024  # some hundred bytes for each replica that a pool may have


class MemoryFile:
    """The file of one state folder. Who cannot write it goes on without, and says so once."""

    def __init__(self, state_dir: Path) -> None:
        self._file = state_dir / "run" / "controller.memory"
        self._is_kept = True

    def last(self) -> bytes | None:
        """What was kept last, cut where it is too long to be ours; None when there is none to be read."""
        try:
            with self._file.open("rb") as source:
                return source.read(BYTES_MAX)
        except FileNotFoundError:
            return None
        except OSError as error:
            log.warning("controller_memory_unreadable", path=str(self._file), error=str(error))
            return None

    def keep(self, data: bytes) -> None:
        """Afterwards it is in the file, unless the log says why not."""
        try:
            if len(data) > BYTES_MAX:
                raise OSError(f"{len(data)} bytes, at most {BYTES_MAX} are kept")
            self._file.parent.mkdir(parents=True, exist_ok=True)
            draft = self._file.with_suffix(".tmp")
            draft.write_bytes(data)
            draft.replace(self._file)
        except OSError as error:
            if self._is_kept:
                log.warning("controller_memory_not_kept", path=str(self._file), error=str(error))
            self._is_kept = False
        else:
            self._is_kept = True
