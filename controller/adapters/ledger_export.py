"""The ledger as a file for others: one row per finished request, streamed; the file is whole or not there at all."""

from __future__ import annotations

import csv
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, TextIO

from sqlalchemy import JSON, ColumnElement, Engine, cast, func, select

from controller.adapters.database_tables import ledger
from controller.core.money import usd

CHUNK_ROWS = 5_000

Kind = Literal["text", "whole", "real", "flag", "time", "usd"]

# Name, kind, and whether it may be empty.
COLUMNS: tuple[tuple[str, Kind, bool], ...] = (
    ("request_id", "text", False), ("at", "time", False), ("tenant", "text", False), ("key_id", "text", False),
    ("operation", "text", False), ("requested_model", "text", False), ("task", "text", True),
    ("complexity", "text", False), ("status", "whole", False), ("target_kind", "text", True),
    ("target", "text", True), ("model_key", "text", True), ("model_id", "text", True), ("replica_id", "text", True),
    ("input_tokens", "whole", False), ("cached_input_tokens", "whole", False), ("output_tokens", "whole", False),
    ("usage_estimated", "flag", False), ("cost_usd", "usd", False), ("spilled", "flag", False),
    ("reason", "text", False), ("attempts", "whole", False), ("predicted_ttft_s", "real", True),
    ("ttft_s", "real", True), ("e2e_s", "real", False), ("gpu_s", "real", True), ("error", "text", True),
    ("outcome_unknown", "flag", False), ("simulated", "flag", False), ("stream", "flag", False),
    ("home_pool", "text", True),
)  # fmt: skip
NAMES = tuple(name for name, _, _ in COLUMNS)

Chunk = Sequence[Sequence[object]]
Told = Callable[[int], None]  # how many rows are written so far


class ExportRows:
    """The rows of a span, oldest first; read in chunks while the reader goes on, so memory stays small."""

    def __init__(self, engine: Engine, *, since_s: float = 0.0, until_s: float | None = None) -> None:
        self._engine = engine
        self._where = [ledger.c.at_s >= since_s]
        if until_s is not None:
            self._where.append(ledger.c.at_s < until_s)

    def count(self) -> int:
        """How many there are now."""
        with self._engine.connect() as connection:
            return int(connection.execute(select(func.count()).select_from(ledger).where(*self._where)).scalar_one())

    def chunks(self) -> Iterator[Chunk]:
        """Rows as the database has them: `at` in unix seconds, `cost_usd` in nano-USD."""
        is_sqlite = self._engine.dialect.name == "sqlite"
        columns = [_expression(name, is_sqlite=is_sqlite).label(name) for name in NAMES]
        statement = select(*columns).where(*self._where).order_by(ledger.c.at_s, ledger.c.request_id)
        with self._engine.connect().execution_options(yield_per=CHUNK_ROWS) as connection:
            yield from connection.execute(statement).partitions()


def _expression(name: str, *, is_sqlite: bool) -> ColumnElement[object]:
    if name == "at":
        return ledger.c.at_s
    if name == "cost_usd":
        return ledger.c.cost_nanousd
    if name == "attempts":  # counted where they lie: their JSON stays there
        return func.json_array_length(ledger.c.attempts if is_sqlite else cast(ledger.c.attempts, JSON))
    column: ColumnElement[object] = ledger.c[name]
    return column


def write_csv(file: TextIO, chunks: Iterator[Chunk], told: Told = lambda _rows: None) -> int:
    """The number of rows written, below a header. Money is exact text, times are ISO 8601 in UTC."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(NAMES)
    at, cost = NAMES.index("at"), NAMES.index("cost_usd")
    rows = 0
    for chunk in chunks:
        for row in chunk:
            cells = list(row)
            cells[at] = datetime.fromtimestamp(float(str(row[at])), UTC).isoformat(timespec="milliseconds")
            cells[cost] = f"{usd(int(str(row[cost]))):f}"
            writer.writerow(cells)
        rows += len(chunk)
        told(rows)
    return rows


def write_whole(path: Path, write: Callable[[Path], int]) -> int:
    """What `write` says of the draft it filled; afterwards the file is whole, or as it was before."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    draft = Path(name)
    try:
        rows = write(draft)
        draft.chmod(0o600 if not path.exists() else path.stat().st_mode & 0o777)
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    return rows
