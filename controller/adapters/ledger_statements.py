"""Statements over many rows or keys as the text that the driver takes, compiled once for each of a few sizes.

SQLAlchemy writes them, for either database; running them costs no more than the driver does. A statement lets go of the
interpreter's lock once, however many rows it has, so fewer of them disturb the event loop less.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import chain
from typing import Any

from sqlalchemy import BindParameter, Connection, Dialect, Table, bindparam
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql import ClauseElement

Row = tuple[object, ...]
Parameters = Sequence[BindParameter[object]]

_postgresql: Callable[[], Dialect] = partial(postgresql.psycopg.dialect, paramstyle="format")
_sqlite: Callable[[], Dialect] = partial(sqlite.dialect, paramstyle="qmark")

# at most a sixth is said twice; a driver keeps 128 texts, for three tables
_ROWS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 16, 18, 20, 24, 28, 32, 36, 40, 48, 56, 64)
_KEYS = (1, 4, 16, 64)


def driver_text(statement: ClauseElement, dialect: Dialect, columns: Sequence[str] | None = None) -> str:
    """The statement with positional parameters, in the order in which it was given them."""
    positional = (_sqlite if dialect.name == "sqlite" else _postgresql)()
    return str(statement.compile(dialect=positional, column_keys=columns))


class Inserter:
    """Inserts rows of one table, ignoring those that are there already."""

    def __init__(self, table: Table, dialect: Dialect) -> None:
        insert = sqlite.insert if dialect.name == "sqlite" else postgresql.insert
        names = [column.name for column in table.columns]
        single = driver_text(insert(table).on_conflict_do_nothing(), dialect, names)
        head, _, rest = single.partition(" VALUES ")
        values, _, tail = rest.partition(" ON CONFLICT ")
        self._sql = {size: f"{head} VALUES {', '.join([values] * size)} ON CONFLICT {tail}" for size in _ROWS}

    def insert(self, connection: Connection, rows: Sequence[Row]) -> None:
        """Afterwards each row is there, this one or an older one of the same key."""
        for size, filled in _parts(rows, _ROWS):
            connection.exec_driver_sql(self._sql[size], filled)


class ByKeys:
    """One statement over rows that are named by their keys, of one column or several."""

    def __init__(
        self, dialect: Dialect, statement: Callable[[Sequence[Parameters]], ClauseElement], width: int = 1
    ) -> None:
        self._sql = {size: driver_text(statement(_parameters(size, width)), dialect) for size in _KEYS}

    def run(self, connection: Connection, keys: Sequence[Row]) -> list[tuple[Any, ...]]:
        """What it returns for all of them, part by part in the order of the keys."""
        found: list[tuple[Any, ...]] = []
        for size, filled in _parts(keys, _KEYS):
            result = connection.exec_driver_sql(self._sql[size], filled)
            if result.returns_rows:
                found.extend(result.all())
        return found


def _parts(rows: Sequence[Row], sizes: Sequence[int]) -> Iterator[tuple[int, Row]]:
    """Parts of one of these sizes, as parameters in a row; the last row fills up the last part, as twice is once."""
    for done in range(0, len(rows), sizes[-1]):
        part = rows[done : done + sizes[-1]]
        size = next(size for size in sizes if size >= len(part))
        yield size, tuple(chain.from_iterable((*part, *[part[-1]] * (size - len(part)))))


def _parameters(size: int, width: int) -> list[Parameters]:
    return [[bindparam(f"key_{row}_{column}") for column in range(width)] for row in range(size)]
