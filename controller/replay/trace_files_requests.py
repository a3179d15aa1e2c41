"""Readers of files with a row per request: Azure 2023 and 2024, BurstGPT, Mooncake, and the digests that ship.

Each takes the schema as it is published. Called by `trace_files`, which knows them by their heads.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import orjson

from controller.core.errors import TraceError
from controller.replay.trace_files_cells import TIME_S_MAX, TOKENS_MAX, instant_s, number, shown, tokens
from controller.replay.trace_files_lines import Line
from controller.replay.trace_files_types import Blocks, RequestTrace

BLOCK_TOKENS = 512  # of Mooncake's hash_ids
BLOCKS_MAX = TOKENS_MAX // BLOCK_TOKENS + 1
BLOCK_ID_MAX = 2**62

Times = Callable[[str, str, str], float]  # place, column, text


class Gathered:
    """Rows so far; `trace` puts them in order of arrival and counts times from the first."""

    def __init__(self) -> None:
        self._arrivals = array("d")
        self._inputs = array("i")
        self._outputs = array("i")
        self._offsets = array("q", (0,))
        self._ids = array("q")

    def add(self, arrival_s: float, inputs: int, outputs: int, blocks: Iterable[int] = ()) -> None:
        """One request."""
        self._arrivals.append(arrival_s)
        self._inputs.append(inputs)
        self._outputs.append(outputs)
        self._ids.extend(blocks)
        self._offsets.append(len(self._ids))

    def trace(self) -> RequestTrace:
        """All of it; TraceError when there is none."""
        if not self._arrivals:
            raise TraceError("the trace has no rows; at least one is needed")
        blocks = Blocks(
            block_tokens=BLOCK_TOKENS,
            offsets=np.array(self._offsets, dtype=np.int64),
            ids=np.array(self._ids, dtype=np.int64),
        )
        arrivals = np.array(self._arrivals, dtype=np.float64)
        read = RequestTrace(
            arrivals_s=arrivals - arrivals.min(),
            input_tokens=np.array(self._inputs, dtype=np.int32),
            output_tokens=np.array(self._outputs, dtype=np.int32),
            blocks=blocks if self._ids else None,
        )
        if bool(np.all(arrivals[1:] >= arrivals[:-1])):
            return read
        return read.taken(np.argsort(arrivals, kind="stable"))


def read_azure(head: Sequence[str], rows: Iterable[Line]) -> RequestTrace:
    """`TIMESTAMP,ContextTokens,GeneratedTokens`; 2024 has a UTC offset, and whole seconds without a fraction."""
    return _read(head, rows, ("TIMESTAMP", "ContextTokens", "GeneratedTokens"), _instant_s)


def read_burstgpt(head: Sequence[str], rows: Iterable[Line]) -> RequestTrace:
    """`Timestamp,Model,Request tokens,Response tokens,...` in seconds; the later files have more columns between.

    Requests that failed there have no response tokens: they were load all the same, and stay.
    """
    return _read(head, rows, ("Timestamp", "Request tokens", "Response tokens"), _seconds)


def read_arrivals(head: Sequence[str], rows: Iterable[Line]) -> RequestTrace:
    """`arrival_ms,input_tokens,output_tokens`, and where it is there `hash_ids_512`: ranges such as `0-3 17`."""
    return _read(head, rows, ("arrival_ms", "input_tokens", "output_tokens"), _milliseconds, blocks="hash_ids_512")


def read_mooncake(rows: Iterable[Line]) -> RequestTrace:
    """A JSON object per line with `timestamp` in ms, `input_length`, `output_length` and, where known, `hash_ids`."""
    gathered = Gathered()
    for line, text in rows:
        place = f"line {line}"
        try:
            row = orjson.loads(text)
        except orjson.JSONDecodeError as error:
            raise TraceError(f"{place}: it must be a JSON object, not {shown(text)} ({error})") from error
        if not isinstance(row, dict):
            raise TraceError(f"{place}: it must be a JSON object, not {shown(text)}")
        gathered.add(
            number(place, "timestamp", _plain(place, row, "timestamp"), TIME_S_MAX * 1000) / 1000,
            tokens(place, "input_length", _plain(place, row, "input_length")),
            tokens(place, "output_length", _plain(place, row, "output_length")),
            _listed(place, row.get("hash_ids", [])),
        )
    return gathered.trace()


def _read(
    head: Sequence[str], rows: Iterable[Line], columns: tuple[str, str, str], time_s: Times, blocks: str = ""
) -> RequestTrace:
    at, inputs, outputs = (head.index(column) for column in columns)
    hashes = head.index(blocks) if blocks in head else None
    gathered = Gathered()
    for line, text in rows:
        place = f"line {line}"
        cells = text.split(",")
        if len(cells) != len(head):
            raise TraceError(f"{place}: it has {len(cells)} columns; it must have {len(head)} as line 1 does")
        gathered.add(
            time_s(place, columns[0], cells[at]),
            tokens(place, columns[1], cells[inputs]),
            tokens(place, columns[2], cells[outputs]),
            () if hashes is None else _ranges(place, cells[hashes]),
        )
    return gathered.trace()


def _instant_s(place: str, _column: str, text: str) -> float:
    return instant_s(place, text)


def _seconds(place: str, column: str, text: str) -> float:
    return number(place, column, text, TIME_S_MAX)


def _milliseconds(place: str, column: str, text: str) -> float:
    return number(place, column, text, TIME_S_MAX * 1000) / 1000


def _plain(place: str, row: dict[str, object], name: str) -> str:
    value = row.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TraceError(f"{place}: {name} must be a number, not {shown(value)}")
    return str(value)


def _listed(place: str, value: object) -> list[int]:
    if isinstance(value, list) and len(value) <= BLOCKS_MAX and all(_is_block(one) for one in value):
        return value
    raise TraceError(
        f"{place}: hash_ids must be a list of at most {BLOCKS_MAX} whole numbers from 0 to 2**62, not {shown(value)}"
    )


def _is_block(value: object) -> bool:
    return type(value) is int and 0 <= value <= BLOCK_ID_MAX


def _ranges(place: str, text: str) -> Iterable[int]:
    """The numbers of `0-3 17`: 0, 1, 2, 3, 17."""
    found: list[int] = []
    for part in text.split():
        first, dash, last = part.partition("-")
        bounds = [int(one) if one.isdecimal() and len(one) <= 18 else -1 for one in (first, last if dash else first)]
        count = bounds[1] - bounds[0] + 1
        if min(bounds) < 0 or not 0 < count <= BLOCKS_MAX - len(found):
            raise TraceError(
                f"{place}: hash_ids_512 must be ranges such as 0-3 17 of at most {BLOCKS_MAX} whole numbers >= 0, "
                f"not {shown(text)}"
            )
        found.extend(range(bounds[0], bounds[1] + 1))
    return found
