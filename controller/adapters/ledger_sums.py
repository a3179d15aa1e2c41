"""Sums over the ledger by any of its dimensions, made by the database; `LedgerReader` and the CLI call this."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from sqlalchemy import ColumnElement, Connection, Row, func, literal, select

from controller.adapters.database_tables import ledger
from controller.core.requests import TargetKind
from controller.core.usage_check import UsageLine

By = Literal["tenant", "key", "model", "target", "pool", "task", "day", "month"]
BYS: tuple[By, ...] = get_args(By)
NO_GROUP = "<none>"

_EXTERNAL = ledger.c.target_kind == TargetKind.EXTERNAL.value
_OWN = ledger.c.target_kind == TargetKind.OWN.value
_COLUMNS: dict[str, ColumnElement[str | None]] = {
    "tenant": ledger.c.tenant,
    "key": ledger.c.key_id,
    "model": ledger.c.model_key,
    "target": ledger.c.target,
    "pool": ledger.c.home_pool,
    "task": ledger.c.task,
}
_FORMATS = {"day": ("%Y-%m-%d", "YYYY-MM-DD"), "month": ("%Y-%m", "YYYY-MM")}


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerTotal:
    """Sums over one group of requests. `bought_nanousd` is real money, `own_nanousd` own pools at planning prices."""

    groups: tuple[str, ...]  # one for each dimension asked for
    requests: int
    failed: int
    spilled: int
    input_tokens: int
    cached_input_tokens: int
    output_tokens: int
    gpu_s: float
    bought_nanousd: int
    own_nanousd: int
    simulated: int

    @property
    def group(self) -> str:
        """The groups in one text."""
        return " / ".join(self.groups)


def _period(by: str, dialect: str) -> ColumnElement[str | None]:
    for_sqlite, for_postgresql = _FORMATS[by]
    if dialect == "sqlite":
        return func.strftime(for_sqlite, ledger.c.at_s, "unixepoch")
    return func.to_char(func.timezone("UTC", func.to_timestamp(ledger.c.at_s)), for_postgresql)


def dimension(by: str, dialect: str) -> ColumnElement[str | None]:
    """The expression that a request is grouped by; days and months are those of UTC."""
    return _period(by, dialect) if by in _FORMATS else _COLUMNS[by]


def _sum_if(condition: ColumnElement[bool], amount: ColumnElement[int]) -> ColumnElement[int]:
    return func.coalesce(func.sum(amount).filter(condition), 0)


def totals(
    connection: Connection, by: Sequence[By], *, since_s: float = 0.0, until_s: float | None = None
) -> tuple[LedgerTotal, ...]:
    """Sums for each combination of the dimensions, in their order; without any, one for all. None is `<none>`."""
    groups = [dimension(name, connection.dialect.name).label(f"by_{name}") for name in by]
    statement = (
        select(
            *groups,
            func.count().label("requests"),
            func.count().filter(ledger.c.status >= 400).label("failed"),
            func.count().filter(ledger.c.spilled).label("spilled"),
            func.coalesce(func.sum(ledger.c.input_tokens), 0).label("input_tokens"),
            func.coalesce(func.sum(ledger.c.cached_input_tokens), 0).label("cached_input_tokens"),
            func.coalesce(func.sum(ledger.c.output_tokens), 0).label("output_tokens"),
            func.coalesce(func.sum(ledger.c.gpu_s), 0.0).label("gpu_s"),
            _sum_if(_EXTERNAL, ledger.c.cost_nanousd).label("bought_nanousd"),
            _sum_if(_OWN, ledger.c.cost_nanousd).label("own_nanousd"),
            func.count().filter(ledger.c.simulated).label("simulated"),
        )
        .where(ledger.c.at_s >= since_s)
        .group_by(*groups)
        .order_by(*groups)
    )
    if until_s is not None:
        statement = statement.where(ledger.c.at_s < until_s)
    return tuple(_total(row, by) for row in connection.execute(statement))


def _total(row: Row[*tuple[Any, ...]], by: Sequence[By]) -> LedgerTotal:
    named = (getattr(row, f"by_{name}") for name in by)
    return LedgerTotal(
        groups=tuple(NO_GROUP if name is None else str(name) for name in named),
        requests=row.requests,
        failed=row.failed,
        spilled=row.spilled,
        input_tokens=int(row.input_tokens),  # PostgreSQL sums big integers to decimals
        cached_input_tokens=int(row.cached_input_tokens),
        output_tokens=int(row.output_tokens),
        gpu_s=float(row.gpu_s),
        bought_nanousd=int(row.bought_nanousd),
        own_nanousd=int(row.own_nanousd),
        simulated=row.simulated,
    )


def bought(
    connection: Connection, providers: Sequence[str], *, since_s: float, until_s: float
) -> tuple[UsageLine, ...]:
    """What was bought of these providers by UTC day and model id; what simulated ones answered was not."""
    day = _period("day", connection.dialect.name).label("day")
    statement = (
        select(
            day,
            ledger.c.model_id,
            func.count().label("requests"),
            func.sum(ledger.c.input_tokens).label("input_tokens"),
            func.sum(ledger.c.cached_input_tokens).label("cached_input_tokens"),
            func.sum(ledger.c.output_tokens).label("output_tokens"),
            func.sum(ledger.c.cost_nanousd).label("cost_nanousd"),
            func.count().filter(ledger.c.usage_estimated).label("estimated"),
        )
        .where(_EXTERNAL, ledger.c.target.in_(providers), ledger.c.simulated == literal(value=False))
        .where(ledger.c.at_s >= since_s, ledger.c.at_s < until_s)
        .group_by(day, ledger.c.model_id)
        .order_by(day, ledger.c.model_id)
    )
    return tuple(
        UsageLine(
            day=row.day,
            model=row.model_id,
            requests=row.requests,
            input_tokens=int(row.input_tokens),
            cached_input_tokens=int(row.cached_input_tokens),
            output_tokens=int(row.output_tokens),
            cost_nanousd=int(row.cost_nanousd),
            estimated=row.estimated,
        )
        for row in connection.execute(statement)
    )
