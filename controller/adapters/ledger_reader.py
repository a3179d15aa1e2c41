"""Reading the ledger: one request, totals, export. The CLI opens the file by `open_reader`, gateway running or not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import orjson
from sqlalchemy import ColumnElement, Engine, Row, func, select

from controller.adapters.database import open_database
from controller.adapters.database_tables import ledger
from controller.adapters.tenant_budgets import DAY_S
from controller.core.ledger import AttemptRecord, LedgerEntry
from controller.core.money import Usage
from controller.core.requests import TargetKind

By = Literal["tenant", "model", "target", "day"]
BYS: tuple[By, ...] = get_args(By)
EXPORT_CHUNK_ROWS = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerTotal:
    """Sums over one group of requests. `bought_nanousd` is real money, `own_nanousd` own pools at planning prices."""

    group: str
    requests: int
    failed: int
    spilled: int
    input_tokens: int
    cached_input_tokens: int
    output_tokens: int
    bought_nanousd: int
    own_nanousd: int
    simulated: int


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


def _group(by: By) -> ColumnElement[str | None]:
    if by == "day":
        return func.strftime("%Y-%m-%d", ledger.c.at_s, "unixepoch")
    column: ColumnElement[str | None] = {
        "tenant": ledger.c.tenant,
        "model": ledger.c.model_key,
        "target": ledger.c.target,
    }[by]
    return column


def _sum_if(condition: ColumnElement[bool], amount: ColumnElement[int]) -> ColumnElement[int]:
    return func.coalesce(func.sum(amount).filter(condition), 0)


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

    def totals(self, *, by: By, since_s: float = 0.0, until_s: float | None = None) -> tuple[LedgerTotal, ...]:
        """Sums per tenant, model, target or UTC day. Requests refused before any target have the group `<none>`."""
        external = ledger.c.target_kind == TargetKind.EXTERNAL.value
        own = ledger.c.target_kind == TargetKind.OWN.value
        group = _group(by)
        statement = (
            select(
                group.label("group_name"),
                func.count().label("requests"),
                func.count().filter(ledger.c.status >= 400).label("failed"),
                func.count().filter(ledger.c.spilled).label("spilled"),
                func.sum(ledger.c.input_tokens).label("input_tokens"),
                func.sum(ledger.c.cached_input_tokens).label("cached_input_tokens"),
                func.sum(ledger.c.output_tokens).label("output_tokens"),
                _sum_if(external, ledger.c.cost_nanousd).label("bought_nanousd"),
                _sum_if(own, ledger.c.cost_nanousd).label("own_nanousd"),
                func.count().filter(ledger.c.simulated).label("simulated"),
            )
            .where(ledger.c.at_s >= since_s)
            .group_by(group)
            .order_by(group)
        )
        if until_s is not None:
            statement = statement.where(ledger.c.at_s < until_s)
        with self._engine.connect() as connection:
            return tuple(
                LedgerTotal(
                    group="<none>" if row.group_name is None else row.group_name,
                    requests=row.requests,
                    failed=row.failed,
                    spilled=row.spilled,
                    input_tokens=row.input_tokens,
                    cached_input_tokens=row.cached_input_tokens,
                    output_tokens=row.output_tokens,
                    bought_nanousd=row.bought_nanousd,
                    own_nanousd=row.own_nanousd,
                    simulated=row.simulated,
                )
                for row in connection.execute(statement)
            )

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
