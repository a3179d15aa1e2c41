"""Reading the ledger: one request, totals, export. The CLI opens the file by `open_reader`, gateway running or not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import orjson
from sqlalchemy import Engine, Row, func, select

from controller.adapters.database import open_database
from controller.adapters.database_tables import ledger
from controller.adapters.ledger_export import ExportRows
from controller.adapters.ledger_sums import By, LedgerTotal, bought, totals
from controller.adapters.tenant_budgets import DAY_S
from controller.core.ledger import AttemptRecord, LedgerEntry
from controller.core.money import Usage
from controller.core.requests import TargetKind
from controller.core.usage_check import UsageLine

EXPORT_CHUNK_ROWS = 1_000


def _attempt(row: Mapping[str, object]) -> AttemptRecord:
    return AttemptRecord(**{**row, "kind": TargetKind(row["kind"])})  # type: ignore[arg-type]  # our own JSON back


def _entry(row: Row[tuple[object, ...]]) -> LedgerEntry:
    return LedgerEntry(
        request_id=row.request_id,
        at_s=row.at_s,
        tenant=row.tenant,
        key_id=row.key_id,
        operation=row.operation,
        requested_model=row.requested_model,
        task=row.task,
        complexity=row.complexity,
        status=row.status,
        target_kind=None if row.target_kind is None else TargetKind(row.target_kind),
        target=row.target,
        model_key=row.model_key,
        model_id=row.model_id,
        replica_id=row.replica_id,
        usage=Usage(
            input_tokens=row.input_tokens,
            output_tokens=row.output_tokens,
            cached_input_tokens=row.cached_input_tokens,
            estimated=row.usage_estimated,
        ),
        cost_nanousd=row.cost_nanousd,
        spilled=row.spilled,
        reason=row.reason,
        chain=tuple(orjson.loads(row.chain)),
        attempts=tuple(_attempt(attempt) for attempt in orjson.loads(row.attempts)),
        predicted_ttft_s=row.predicted_ttft_s,
        ttft_s=row.ttft_s,
        e2e_s=row.e2e_s,
        error=row.error,
        simulated=row.simulated,
        stream=row.stream,
        gpu_s=row.gpu_s,
        outcome_unknown=row.outcome_unknown,
    )


class LedgerReader:
    """Queries over the ledger; synchronous, never for the event loop."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def find(self, request_id: str) -> LedgerEntry | None:
        """The entry of one request, or None when it is unknown or not yet finished."""
        with self._engine.connect() as connection:
            row = connection.execute(select(ledger).where(ledger.c.request_id == request_id)).one_or_none()
            return None if row is None else _entry(row)

    def recent(self, count: int) -> tuple[LedgerEntry, ...]:
        """The newest entries, newest first."""
        with self._engine.connect() as connection:
            rows = connection.execute(select(ledger).order_by(ledger.c.at_s.desc()).limit(count))
            return tuple(_entry(row) for row in rows)

    def entries(self, *, since_s: float = 0.0, until_s: float | None = None) -> Iterator[LedgerEntry]:
        """Every entry of the span, oldest first, in chunks so that memory stays small."""
        with self._engine.connect().execution_options(yield_per=EXPORT_CHUNK_ROWS) as connection:
            statement = select(ledger).where(ledger.c.at_s >= since_s).order_by(ledger.c.at_s)
            if until_s is not None:
                statement = statement.where(ledger.c.at_s < until_s)
            for row in connection.execute(statement):
                yield _entry(row)

    def totals(
        self, *, by: By | Sequence[By] = (), since_s: float = 0.0, until_s: float | None = None
    ) -> tuple[LedgerTotal, ...]:
        """Sums for each group of requests; those refused before any target have the target `<none>`."""
        with self._engine.connect() as connection:
            return totals(connection, (by,) if isinstance(by, str) else by, since_s=since_s, until_s=until_s)

    def bought(self, providers: Sequence[str], *, since_s: float, until_s: float) -> tuple[UsageLine, ...]:
        """What was bought of these providers, by UTC day and model id."""
        with self._engine.connect() as connection:
            return bought(connection, providers, since_s=since_s, until_s=until_s)

    def export_rows(self, *, since_s: float = 0.0, until_s: float | None = None) -> ExportRows:
        """The rows of an export, read while they are written."""
        return ExportRows(self._engine, since_s=since_s, until_s=until_s)

    def external_spend_of_day(self, at_s: float) -> dict[str, int]:
        """Nano-USD bought per tenant on the UTC day of `at_s`: where the budgets start after a restart."""
        start_s = at_s // DAY_S * DAY_S
        statement = (
            select(ledger.c.tenant, func.sum(ledger.c.cost_nanousd))
            .where(
                ledger.c.at_s >= start_s,
                ledger.c.at_s < start_s + DAY_S,
                ledger.c.target_kind == TargetKind.EXTERNAL.value,
            )
            .group_by(ledger.c.tenant)
        )
        with self._engine.connect() as connection:
            return {tenant: int(spent) for tenant, spent in connection.execute(statement)}

    def close(self) -> None:
        """Afterwards no connection is open."""
        self._engine.dispose()


def open_reader(path: Path) -> LedgerReader:
    """A reader on the database file; it may be in use by a gateway."""
    return LedgerReader(open_database(path))
