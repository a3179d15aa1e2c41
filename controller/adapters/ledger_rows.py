"""Ledger entries as rows and back, and statements that insert many of them at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import chain

import orjson
from sqlalchemy import Connection, Dialect, RowMapping, Table
from sqlalchemy.dialects import postgresql, sqlite

from controller.adapters.database_tables import ledger
from controller.core.ledger import AttemptRecord, LedgerEntry, Reservation
from controller.core.money import Usage
from controller.core.requests import TargetKind

Row = tuple[object, ...]

_positional: Callable[[], Dialect] = partial(postgresql.psycopg.dialect, paramstyle="format")

UNKNOWN_STATUS = 500
UNKNOWN_WORDS = "outcome unknown: billed as estimated"
_MOST = 2**62  # what numbers are cut to that a database cannot hold
_COLUMNS = tuple(column.name for column in ledger.columns)

# Rows per statement: a statement lets go of the interpreter's lock once, however many rows it has, so fewer of them
# disturb the event loop less; few sizes, so that the database compiles each once.
_STATEMENT_ROWS = (64, 8, 1)


class Inserter:
    """Inserts rows of one table, ignoring those that are there already."""

    def __init__(self, table: Table, dialect: Dialect) -> None:
        names = [column.name for column in table.columns]
        if dialect.name == "sqlite":
            single = str(
                sqlite.insert(table)
                .on_conflict_do_nothing()
                .compile(dialect=sqlite.dialect(paramstyle="qmark"), column_keys=names)
            )
        else:
            single = str(
                postgresql.insert(table).on_conflict_do_nothing().compile(dialect=_positional(), column_keys=names)
            )
        head, _, rest = single.partition(" VALUES ")
        values, _, tail = rest.partition(" ON CONFLICT ")
        self._sql = {size: f"{head} VALUES {', '.join([values] * size)} ON CONFLICT {tail}" for size in _STATEMENT_ROWS}

    def insert(self, connection: Connection, rows: Sequence[Row]) -> None:
        """Afterwards each row is there, this one or an older one of the same key."""
        done = 0
        while done < len(rows):
            size = next(size for size in _STATEMENT_ROWS if size <= len(rows) - done)
            connection.exec_driver_sql(self._sql[size], tuple(chain.from_iterable(rows[done : done + size])))
            done += size


def _attempt_row(attempt: AttemptRecord) -> dict[str, object]:
    return {
        "target": attempt.target,
        "kind": attempt.kind.value,
        "model_key": attempt.model_key,
        "replica_id": attempt.replica_id,
        "outcome": attempt.outcome,
        "status": attempt.status,
        "started_after_s": attempt.started_after_s,
        "took_s": attempt.took_s,
    }


def entry_row(entry: LedgerEntry) -> Row:
    """The entry as a row, in the order of the table's columns."""
    usage = entry.usage
    return (
        entry.request_id,
        entry.at_s,
        entry.tenant,
        entry.key_id,
        entry.operation,
        entry.requested_model,
        entry.task,
        entry.complexity,
        entry.status,
        None if entry.target_kind is None else entry.target_kind.value,
        entry.target,
        entry.model_key,
        entry.model_id,
        entry.replica_id,
        usage.input_tokens,
        usage.cached_input_tokens,
        usage.output_tokens,
        usage.estimated,
        entry.cost_nanousd,
        entry.spilled,
        entry.reason,
        orjson.dumps(entry.chain).decode(),
        orjson.dumps([_attempt_row(attempt) for attempt in entry.attempts]).decode(),
        entry.predicted_ttft_s,
        entry.ttft_s,
        entry.e2e_s,
        entry.error,
        entry.simulated,
        entry.stream,
        entry.gpu_s,
        entry.outcome_unknown,
        entry.home_pool,
    )


def row_entry(row: Mapping[str, object] | RowMapping) -> LedgerEntry:
    """The entry again, from a row by column name."""
    fields = {
        name: row[name] for name in _COLUMNS if name in row and name not in _NOT_FIELDS
    }  # an older journal lacks some
    kind, attempts = row["target_kind"], orjson.loads(str(row["attempts"]))
    return LedgerEntry(
        **fields,  # type: ignore[arg-type]  # our own columns back
        target_kind=None if kind is None else TargetKind(str(kind)),
        usage=Usage(
            input_tokens=row["input_tokens"],  # type: ignore[arg-type]
            output_tokens=row["output_tokens"],  # type: ignore[arg-type]
            cached_input_tokens=row["cached_input_tokens"],  # type: ignore[arg-type]
            estimated=bool(row["usage_estimated"]),
        ),
        chain=tuple(orjson.loads(str(row["chain"]))),
        attempts=tuple(AttemptRecord(**{**attempt, "kind": TargetKind(attempt["kind"])}) for attempt in attempts),
    )


_NOT_FIELDS = frozenset(
    {"target_kind", "input_tokens", "output_tokens", "cached_input_tokens", "usage_estimated", "chain", "attempts"}
)


def unknown_entry(held: Reservation) -> LedgerEntry:
    """What is written down when nobody can say how a purchase ended: the estimate, flagged."""
    return LedgerEntry(
        request_id=held.request_id,
        at_s=held.at_s,
        tenant=held.tenant,
        key_id=held.key_id,
        operation=held.operation,
        requested_model=held.requested_model,
        task=None,
        complexity=held.complexity,
        status=UNKNOWN_STATUS,
        target_kind=TargetKind.EXTERNAL,
        target=held.target,
        model_key=held.model_key,
        model_id=held.model_id,
        replica_id=None,
        usage=Usage(input_tokens=held.input_tokens, output_tokens=held.output_tokens, estimated=True),
        cost_nanousd=held.estimate_nanousd,
        spilled=held.spilled,
        reason=UNKNOWN_WORDS,
        chain=(held.model_key,),
        attempts=(),
        predicted_ttft_s=None,
        ttft_s=None,
        e2e_s=0.0,
        error=UNKNOWN_WORDS,
        simulated=held.simulated,
        stream=held.stream,
        outcome_unknown=True,
        home_pool=held.home_pool,
    )


def storable(rows: Iterable[Row]) -> list[Row]:
    """The same rows with what no database holds made holdable: lone surrogates, NUL, numbers over 64 bits."""
    return [tuple(_storable(value) for value in row) for row in rows]


def _storable(value: object) -> object:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode().replace("\0", "?")
    if isinstance(value, int) and not isinstance(value, bool):
        return max(-_MOST, min(value, _MOST))
    return value
