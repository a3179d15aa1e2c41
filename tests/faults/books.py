"""The ledger held against the stubs' own counts (invariant I3)."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from tests.faults.caller import ANSWERED, Told
from tests.faults.gateway_process import PRICE_IN_NANOUSD, PRICE_OUT_NANOUSD
from tests.faults.stub import Served

CALLER_LEFT = 499
WRITTEN_WITHIN_S = 2.0
COLUMNS = (
    "request_id, status, target_kind, target, input_tokens, output_tokens, cached_input_tokens, "
    "usage_estimated, outcome_unknown, cost_nanousd, stream, error"
)


@dataclass(frozen=True, kw_only=True)
class LedgerRow:
    """What the ledger says about one request."""

    request_id: str
    status: int
    target_kind: str | None
    target: str | None
    input_tokens: int
    output_tokens: int
    cached_input_tokens: int
    usage_estimated: bool
    outcome_unknown: bool  # billed as reserved: who made the call died before it could tell
    cost_nanousd: int
    stream: bool
    error: str | None


def select(place: Path | str, statement: str) -> list[tuple[Any, ...]]:
    """What a statement finds in the books: SQLite's file, or the URL of PostgreSQL."""
    if isinstance(place, str):
        with psycopg.connect(place, connect_timeout=5) as server:
            return server.execute(statement.encode()).fetchall()
    with contextlib.closing(sqlite3.connect(f"file:{place}?mode=ro", uri=True, timeout=5)) as connection:
        return connection.execute(statement).fetchall()


def read(place: Path | str) -> dict[str, LedgerRow]:
    """All rows by request id."""
    names = COLUMNS.split(", ")
    rows = [LedgerRow(**dict(zip(names, row, strict=True))) for row in select(place, f"select {COLUMNS} from ledger")]
    found = {row.request_id: row for row in rows}
    assert len(found) == len(rows), "a request id stands twice in the ledger"
    return found


def reserved_nanousd(place: Path | str) -> int:
    """What is set aside for purchases under way, over all tenants and periods."""
    ((found,),) = select(place, "select coalesce(sum(reserved_nanousd), 0) from spend")
    return int(found)


async def when_written(place: Path | str, request_ids: Iterable[str]) -> dict[str, LedgerRow]:
    """The rows, once all these ids are there or two seconds have passed."""
    wanted = set(request_ids)
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + WRITTEN_WITHIN_S
    while True:
        rows = read(place)
        if wanted <= rows.keys() or loop.time() > deadline_s:
            return rows
        await asyncio.sleep(0.05)


def complaints(rows: dict[str, LedgerRow], told: Sequence[Told], calls: Sequence[Served], names: set[str]) -> list[str]:
    """What does not agree. `names`: the stub providers, whose calls cost money."""
    found = []
    by_id: dict[str, list[Served]] = {}
    for call in calls:
        by_id.setdefault(call.request_id, []).append(call)
    answered = [one.request_id for one in told if one.end == ANSWERED and "x-spillway-target" in one.headers]
    found.extend(f"{name} was answered and is not in the ledger" for name in answered if name not in rows)
    for request_id, made in by_id.items():
        paid = [call for call in made if call.stub in names and call.made_tokens]
        if paid and request_id not in rows:
            found.append(f"{request_id} cost money at {paid[-1].stub} and is not in the ledger")
    for row in rows.values():
        found.extend(_wrong(row, by_id.get(row.request_id, []), names))
    return found


def _wrong(row: LedgerRow, calls: Sequence[Served], names: set[str]) -> Iterable[str]:
    """What is wrong with a row, given what the stubs did under its id."""
    is_external = row.target in names
    price = row.input_tokens * PRICE_IN_NANOUSD + row.output_tokens * PRICE_OUT_NANOUSD
    if is_external and row.cost_nanousd != price:
        yield f"{row.request_id} costs {row.cost_nanousd}, its tokens make {price}"
    if row.target is None:
        if row.cost_nanousd:
            yield f"{row.request_id} costs {row.cost_nanousd} at nobody"
        return
    served = [
        call for call in calls if (call.stub in names) == is_external and (not is_external or call.stub == row.target)
    ]
    if not served:
        if row.outcome_unknown:  # set aside, and nobody lives who knows whether it was sent
            return
        if row.usage_estimated and row.status == CALLER_LEFT:  # sent, and taken back before the stub had read it
            return
        yield f"{row.request_id} is booked at {row.target}, which never saw it"
        return
    call = served[-1]
    if row.usage_estimated:
        if call.told and call.left_s is None and row.status != CALLER_LEFT and not row.outcome_unknown:
            yield f"{row.request_id} is an estimate although {call.stub} told its usage"
    elif (row.input_tokens, row.output_tokens) != (call.input_tokens, call.made_tokens):
        counted = (call.input_tokens, call.made_tokens)
        yield f"{row.request_id} has {(row.input_tokens, row.output_tokens)} tokens, {call.stub} made {counted}"
