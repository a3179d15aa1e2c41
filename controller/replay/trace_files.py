"""Recorded traffic from files as they are published, known by their heads; plain or gzip.

Azure LLM inference 2023 and 2024, BurstGPT, Mooncake, ServeGen, and the digests in `data/`. Rows may stand in any order
and gaps stay gaps. Whatever a file holds, it is read or ends in one TraceError with line, value and what is allowed.
Called by `workloads`, `spillway simulate` and `spillway bench policy`.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import chain
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO

from controller.core.errors import TraceError
from controller.replay.trace_files_cells import shown
from controller.replay.trace_files_lines import Line, lines
from controller.replay.trace_files_requests import read_arrivals, read_azure, read_burstgpt, read_mooncake
from controller.replay.trace_files_types import Trace
from controller.replay.trace_files_windows import (
    read_rates,
    read_servegen_dataset,
    read_servegen_trace,
    read_token_quantiles,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """A kind of CSV file, known by the columns it must have."""

    columns: tuple[str, ...]
    read: Callable[[Sequence[str], Iterable[Line]], Trace]


SCHEMAS: Mapping[str, Schema] = MappingProxyType(
    {
        "Azure 2023/2024": Schema(columns=("TIMESTAMP", "ContextTokens", "GeneratedTokens"), read=read_azure),
        "BurstGPT": Schema(columns=("Timestamp", "Request tokens", "Response tokens"), read=read_burstgpt),
        "arrivals": Schema(columns=("arrival_ms", "input_tokens", "output_tokens"), read=read_arrivals),
        "rates": Schema(columns=("t_s", "rate_rps"), read=read_rates),
        "token quantiles": Schema(columns=("t_s", "in_p50", "out_p50"), read=read_token_quantiles),
    }
)


def read_trace_file(path: Path) -> Trace:
    """What the file holds; TraceError also when it cannot be opened."""
    try:
        with path.open("rb") as file:
            return read_trace(file)
    except OSError as error:
        raise TraceError(f"the file cannot be read: {error.strerror}") from error


def read_trace(file: BinaryIO) -> Trace:
    """What an open file holds, from its start."""
    rows = lines(file)
    first = next(rows, None)
    if first is None:
        raise TraceError("the file is empty; at least a head and a row are needed")
    line, text = first
    rows = chain((first,), rows)
    if text.startswith("{"):
        return read_mooncake(rows) if '"timestamp"' in text else read_servegen_dataset(rows)
    head = [cell.strip() for cell in text.split(",")]
    for schema in SCHEMAS.values():
        if set(schema.columns) <= set(head):
            next(rows)
            return schema.read(head, rows)
    if len(head) > 3 and _is_number(head[0]) and _is_number(head[1]):
        return read_servegen_trace(rows)
    allowed = "; ".join(f"{name}: {','.join(schema.columns)}" for name, schema in SCHEMAS.items())
    raise TraceError(
        f"line {line}: the columns must be those of one of {allowed}; or Mooncake's JSON lines, or those of a ServeGen "
        f"trace or dataset; it begins with {shown(text)}"
    )


@cache
def shipped_trace(name: str) -> Trace:
    """A file of `data/`; see the README there for sources and licences."""
    return read_trace(io.BytesIO(files("controller.replay").joinpath(f"data/{name}").read_bytes()))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
