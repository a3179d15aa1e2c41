"""Where rows go that the database cannot take: files beside it, one operation a line, replayed when it answers again.

A file belongs to the process that holds its lock; the kernel lets go of the lock when that process is gone, whatever
ended it. Replaying twice is harmless: every operation counts once by its request id.
"""

from __future__ import annotations

import errno
import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import orjson
import structlog

from controller.adapters.database_tables import ledger
from controller.adapters.ledger_money import Void
from controller.adapters.ledger_rows import entry_row, row_entry, storable
from controller.core.ledger import LedgerEntry

log = structlog.get_logger()

REPLAY_LINES = 500
_COLUMNS = tuple(str(column.name) for column in ledger.columns)  # a plain str: orjson takes no other for a key

Kept = LedgerEntry | Void


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    descriptor: int


class Journal:
    """The journal of one process; safe for threads."""

    def __init__(self, folder: Path, owner: str) -> None:
        self._folder = folder
        self._owner = owner
        self._file: _File | None = None
        self._written = 0
        self._lock = threading.Lock()

    def append(self, operation: Kept) -> None:
        """Afterwards the operation outlives this process; OSError when the disk cannot take it."""
        if isinstance(operation, Void):
            line = orjson.dumps({"void": operation.request_id})
        else:
            row = storable([entry_row(operation)])[0]
            line = orjson.dumps({"post": dict(zip(_COLUMNS, row, strict=True))})
        with self._lock:
            if self._file is None:
                self._file = self._create()
            _write_whole(self._file.descriptor, line + b"\n")

    def close(self) -> None:
        """Afterwards what was appended outlives the machine's power too, and is anyone's to replay."""
        with self._lock:
            if self._file is not None:
                os.fsync(self._file.descriptor)
                os.close(self._file.descriptor)
                self._file = None

    @contextmanager
    def orphans(self) -> Iterator[Iterator[list[Kept]]]:
        """Chunks of all that lies here and that no living process is writing; deleted when the block ends well."""
        with self._lock:
            mine, self._file = self._file, None
        taken = [] if mine is None else [mine]
        try:
            taken += self._unowned(except_for=mine)
            yield (chunk for file in taken for chunk in _chunks(file.path))
            for file in taken:
                file.path.unlink(missing_ok=True)
        finally:
            for file in taken:
                os.close(file.descriptor)

    def _create(self) -> _File:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        while True:
            self._written += 1
            path = self._folder / f"{self._owner}-{self._written}.jsonl"
            descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o600)
            if _lock(descriptor):
                return _File(path, descriptor)
            os.close(descriptor)  # somebody took it for an orphan, between these two calls, and deletes it

    def _unowned(self, *, except_for: _File | None) -> Iterator[_File]:
        paths = sorted(self._folder.glob("*.jsonl")) if self._folder.is_dir() else []
        for path in paths:
            if except_for is not None and path == except_for.path:
                continue
            try:
                descriptor = os.open(path, os.O_RDONLY)
            except FileNotFoundError:
                continue
            if _lock(descriptor) and path.exists():
                yield _File(path, descriptor)
            else:
                os.close(descriptor)


def _write_whole(descriptor: int, line: bytes) -> None:
    size_bytes = os.fstat(descriptor).st_size
    if os.write(descriptor, line) < len(line):
        os.ftruncate(descriptor, size_bytes)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _chunks(path: Path) -> Iterator[list[Kept]]:
    with path.open("rb") as file:
        while lines := list(islice(file, REPLAY_LINES)):
            yield [operation for line in lines if (operation := _parsed(line, path)) is not None]


def _parsed(line: bytes, path: Path) -> Kept | None:
    """None for a line that was torn when its process ended."""
    try:
        document = orjson.loads(line)
    except orjson.JSONDecodeError:
        log.warning("ledger_journal_line_torn", file=path.name)
        return None
    return Void(document["void"]) if "void" in document else row_entry(document["post"])
