"""The ledger as Parquet, by Arrow in Rust; apart from the rest, so that only who writes Parquet loads it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import arro3.core as arrow
import arro3.io

from controller.adapters.ledger_export import COLUMNS, Chunk, Kind, Told
from controller.core.money import usd

_TEXT, _WHOLE = arrow.DataType.utf8(), arrow.DataType.int64()
KINDS: dict[Kind, arrow.DataType] = {
    "text": _TEXT,
    "whole": _WHOLE,
    "real": arrow.DataType.float64(),
    "flag": arrow.DataType.bool(),
    "time": arrow.DataType.timestamp("ms", tz="UTC"),
    "usd": arrow.DataType.decimal128(38, 9),
}


def write_parquet(path: Path, chunks: Iterator[Chunk], told: Told = lambda _rows: None) -> int:
    """The number of rows written (zstd); money as decimal(38, 9), times as UTC milliseconds."""
    schema = arrow.Schema([arrow.Field(name, KINDS[kind], nullable=nullable) for name, kind, nullable in COLUMNS])
    rows = 0

    def batches() -> Iterator[arrow.RecordBatch]:
        nonlocal rows
        for chunk in chunks:
            columns = [_array([row[place] for row in chunk], kind) for place, (_, kind, _) in enumerate(COLUMNS)]
            yield arrow.RecordBatch.from_arrays(columns, schema=schema)
            rows += len(chunk)
            told(rows)

    reader = arrow.RecordBatchReader.from_batches(schema, batches())
    arro3.io.write_parquet(reader, path, compression="zstd(3)")
    return rows


def _array(values: list[object], kind: Kind) -> arrow.Array:
    if kind == "time":
        return arrow.Array([round(float(str(value)) * 1000) for value in values], _WHOLE).cast(KINDS[kind])
    if kind == "usd":
        return arrow.Array([f"{usd(int(str(value))):f}" for value in values], _TEXT).cast(KINDS[kind])
    return arrow.Array([bool(value) for value in values] if kind == "flag" else values, KINDS[kind])
