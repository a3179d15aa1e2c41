"""Ledger entries as rows and back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import orjson
from sqlalchemy import RowMapping
from sqlalchemy.exc import DataError, IntegrityError

from controller.adapters.database_tables import ledger
from controller.adapters.ledger_statements import Row
from controller.core.ledger import AttemptRecord, LedgerEntry, Reservation
from controller.core.money import Usage
from controller.core.requests import TargetKind

UNKNOWN_STATUS = 500
UNKNOWN_WORDS = "outcome unknown: billed as estimated"
UNSTORABLE = (DataError, IntegrityError, OverflowError, UnicodeEncodeError)  # over 64 bits, lone surrogates, NUL
_MOST = 2**62  # what numbers are cut to that a database cannot hold
_COLUMNS = tuple(column.name for column in ledger.columns)


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
