"""Recorded traffic as arrivals and sizes: reads the Azure 2023 schema as published, and ships one slice of it.

Columns `TIMESTAMP,ContextTokens,GeneratedTokens`. Called by `spillway load` and `spillway demo`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files

from controller.core.errors import TraceError
from controller.replay.trace_files_cells import instant_s, shown, tokens

COLUMNS = ("TIMESTAMP", "ContextTokens", "GeneratedTokens")
SLICE_NAME = "azure-code-2023"


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceRequest:
    """One request of a trace. `arrival_s` counts from the first one."""

    arrival_s: float
    input_tokens: int
    output_tokens: int


def read_azure(lines: Iterable[str]) -> tuple[TraceRequest, ...]:
    """The requests in order of arrival; TraceError names the line, the value and what is allowed."""
    rows = iter(lines)
    head = next(rows, "").strip().removeprefix("\ufeff").split(",")
    if tuple(head[: len(COLUMNS)]) != COLUMNS:
        raise TraceError(f"line 1: the columns must be {','.join(COLUMNS)}, not {shown(','.join(head))}")
    found = [_request(number, line) for number, line in enumerate(rows, start=2) if line.strip()]
    if not found:
        raise TraceError("the trace has no rows; at least one is needed")
    found.sort(key=lambda request: request.arrival_s)
    first_s = found[0].arrival_s
    return tuple(replace(request, arrival_s=request.arrival_s - first_s) for request in found)


def shipped_slice() -> tuple[TraceRequest, ...]:
    """The slice of the Azure 2023 code trace in this package; see data/README.md for its licence."""
    text = files("controller.replay").joinpath("data/azure_llm_2023_code_slice.csv").read_text(encoding="ascii")
    return read_azure(text.splitlines())


def thinned(requests: Sequence[TraceRequest], every: int) -> tuple[TraceRequest, ...]:
    """Every n-th request at its own time: a trace is scaled down by thinning, never by stretching its bursts."""
    return tuple(requests[::every])


def _request(number: int, line: str) -> TraceRequest:
    cells = line.strip().split(",")
    if len(cells) < len(COLUMNS):
        raise TraceError(f"line {number}: {len(cells)} columns, at least {len(COLUMNS)} are needed")
    return TraceRequest(
        arrival_s=instant_s(f"line {number}", cells[0]),
        input_tokens=tokens(f"line {number}", COLUMNS[1], cells[1]),
        output_tokens=tokens(f"line {number}", COLUMNS[2], cells[2]),
    )
