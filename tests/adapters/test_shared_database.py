"""One database, two users in one process, readers in others: nobody's write-ahead log is thrown away."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from controller.adapters.key_store import KeyTable
from tests.adapters.ledger_values import ENTRY, open_store

COUNT = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); print(c.execute('SELECT count(*) FROM ledger').fetchone()[0]); c.close()"  # fmt: skip # noqa: E501


def _counted_elsewhere(path: Path) -> int:
    command = [sys.executable, "-c", COUNT, str(path)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True, timeout=10).stdout)


def test_rows_stay_visible_when_other_processes_read(tmp_path: Path) -> None:
    """A process that opens, reads and closes the file between posts sees every row; so does the next one."""
    path = tmp_path / "spillway.db"
    keys = KeyTable(path, tmp_path / "pepper")
    ledger = open_store(path, tmp_path)
    try:
        for number in range(1, 4):
            ledger.post(replace(ENTRY, request_id=f"r-{number}"))
            assert ledger.flush()
            assert _counted_elsewhere(path) == number
    finally:
        ledger.close()
        keys.close()
    assert _counted_elsewhere(path) == 3
