"""The ledger in the hands of a process that lives long: opened at the first look, its failures are ours."""

from __future__ import annotations

from pathlib import Path

import pytest

from controller.adapters.database import DatabaseUnavailable
from controller.adapters.open_books import OpenBooks


def test_it_is_opened_once_and_closed(tmp_path: Path) -> None:
    """The same reader for every look; another one after it was closed."""
    books = OpenBooks(tmp_path / "spillway.db")
    assert not (tmp_path / "spillway.db").exists()
    first = books.read(lambda reader: reader)
    assert books.read(lambda reader: (reader is first, reader.recent(1))) == (True, ())
    books.close()
    assert books.read(lambda reader: reader is not first)
    books.close()
    books.close()


def test_what_the_database_cannot_say_is_one_error(tmp_path: Path) -> None:
    """Whatever is wrong with it, callers know `DatabaseUnavailable`; afterwards it may be read again."""
    books = OpenBooks(tmp_path / "spillway.db")
    engine = books.read(lambda reader: reader._engine)
    with engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE ledger RENAME TO elsewhere")
    with pytest.raises(DatabaseUnavailable, match="the ledger cannot be read: OperationalError"):
        books.read(lambda reader: reader.totals())
    with engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE elsewhere RENAME TO ledger")
    assert books.read(lambda reader: reader.recent(1)) == ()
    books.close()
