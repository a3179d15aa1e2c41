"""Reading the ledger: one request, totals, export. The CLI opens the file by `open_reader`, gateway running or not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sqlalchemy import Engine, select

from controller.adapters.database import Place, open_database
from controller.adapters.database_tables import ledger, rate_minute, spend
from controller.adapters.ledger_export import ExportRows
from controller.adapters.ledger_rows import row_entry
from controller.adapters.ledger_sums import By, LedgerTotal, bought, totals
from controller.core.ledger import LedgerEntry
from controller.core.rate_limits import Amounts
from controller.core.usage_check import UsageLine
from controller.routing.budget import SpendRow, hour_of, periods

EXPORT_CHUNK_ROWS = 1_000


class LedgerReader:
    """Queries over the ledger; synchronous, never for the event loop."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def find(self, request_id: str) -> LedgerEntry | None:
        """The entry of one request, or None when it is unknown or not yet finished."""
        with self._engine.connect() as connection:
            row = connection.execute(select(ledger).where(ledger.c.request_id == request_id)).one_or_none()
            return None if row is None else row_entry(row._mapping)

    def recent(self, count: int) -> tuple[LedgerEntry, ...]:
        """The newest entries, newest first."""
        with self._engine.connect() as connection:
            rows = connection.execute(select(ledger).order_by(ledger.c.at_s.desc()).limit(count))
            return tuple(row_entry(row._mapping) for row in rows)

    def entries(self, *, since_s: float = 0.0, until_s: float | None = None) -> Iterator[LedgerEntry]:
        """Every entry of the span, oldest first, in chunks so that memory stays small."""
        with self._engine.connect().execution_options(yield_per=EXPORT_CHUNK_ROWS) as connection:
            statement = select(ledger).where(ledger.c.at_s >= since_s).order_by(ledger.c.at_s)
            if until_s is not None:
                statement = statement.where(ledger.c.at_s < until_s)
            for row in connection.execute(statement):
                yield row_entry(row._mapping)

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

    def spend(self, at_s: float) -> dict[str, tuple[SpendRow, SpendRow]]:
        """What each tenant has bought and set aside in the UTC day and in the month of an instant."""
        day, month = periods(at_s)
        found: dict[str, tuple[SpendRow, SpendRow]] = {}
        with self._engine.connect() as connection:
            for row in connection.execute(select(spend).where(spend.c.period.in_((day, month)))):
                sums = found.setdefault(row.tenant, (SpendRow(), SpendRow()))[0 if row.period == day else 1]
                sums.spent_nanousd, sums.reserved_nanousd = row.spent_nanousd, row.reserved_nanousd
        return found

    def spent_in_hour(self, at_s: float) -> dict[str, SpendRow]:
        """What was bought and set aside for what each pool spills, in the UTC hour of an instant."""
        with self._engine.connect() as connection:
            rows = connection.execute(select(spend).where(spend.c.period == hour_of(at_s)))
            return {row.tenant: SpendRow(row.spent_nanousd, row.reserved_nanousd) for row in rows}

    def granted(self, minute: int) -> dict[str, Amounts]:
        """Requests and tokens of the UTC minute that gateways have for each tenant, spent or not."""
        with self._engine.connect() as connection:
            rows = connection.execute(select(rate_minute).where(rate_minute.c.minute == minute))
            return {row.tenant: Amounts(requests=row.requests, tokens=row.tokens) for row in rows}

    def close(self) -> None:
        """Afterwards no connection is open."""
        self._engine.dispose()


def open_reader(place: Place) -> LedgerReader:
    """A reader on the database; it may be in use by gateways."""
    return LedgerReader(open_database(place))
