"""A reader of the ledger in a process that lives long: opened when somebody first asks, kept until the end."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import TypeVar

from sqlalchemy.exc import SQLAlchemyError

from controller.adapters.database import DatabaseUnavailable, Place
from controller.adapters.ledger_reader import LedgerReader, open_reader

T = TypeVar("T")


class OpenBooks:
    """One per process; synchronous, for threads."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._lock = Lock()
        self._reader: LedgerReader | None = None

    def read(self, look: Callable[[LedgerReader], T]) -> T:
        """What `look` finds; DatabaseUnavailable where the database does not answer."""
        try:
            with self._lock:
                if self._reader is None:
                    self._reader = open_reader(self._place)
                return look(self._reader)
        except SQLAlchemyError as error:
            raise DatabaseUnavailable(f"the ledger cannot be read: {type(error).__name__}") from error

    def close(self) -> None:
        """Afterwards no connection is open."""
        with self._lock:
            if self._reader is not None:
                self._reader.close()
            self._reader = None
