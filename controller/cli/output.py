"""Where commands write: data on stdout, words on stderr; rich on a terminal, plain text elsewhere.

`NO_COLOR`, `FORCE_COLOR`, `TERM=dumb` and `COLUMNS` are honoured by rich itself.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from functools import cache
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

SCHEMA = "spillway.dev/cli/v1"
STYLES = {"error": "bold red", "warning": "yellow", "fix": "cyan", "next": "cyan", "ok": "green"}


@cache
def console() -> Console:
    """Stdout: data only."""
    from rich.console import Console

    return Console(highlight=False, soft_wrap=True)


@cache
def words() -> Console:
    """Stderr: everything said to a person."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, soft_wrap=True)


def say(label: str, text: str) -> None:
    """One line on stderr, led by a coloured word such as `error` or `next`."""
    from rich.text import Text

    words().print(Text.assemble((f"{label}: ", STYLES.get(label, "bold")), text))


@contextmanager
def told_while(
    label: str, text: str | Callable[[], str], *, first_s: float = 1.0, every_s: float = 5.0
) -> Iterator[None]:
    """While the block runs: the line on stderr after a second, then how long it has been, so that nobody wonders.

    A text that changes is asked for each time.
    """
    done = Event()

    def tell() -> None:
        started_s, due_s = time.monotonic(), first_s
        while not done.wait(max(0.0, started_s + due_s - time.monotonic())):
            now = text if isinstance(text, str) else text()
            say(label, now if due_s == first_s else f"{now}, for {due_s:.0f} s now")
            due_s = due_s + every_s if due_s > first_s else every_s

    teller = Thread(target=tell, name="told_while", daemon=True)
    teller.start()
    try:
        yield
    finally:
        done.set()
        teller.join()


def plain(value: object) -> object:
    """The value as JSON can carry it: dataclasses by field, money as text, times as ISO 8601."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, frozenset | set):
        return sorted(str(plain(item)) for item in value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [plain(item) for item in value]
    if isinstance(value, Decimal | Path):
        return str(value)
    if isinstance(value, datetime | date):
        return value.isoformat()
    return value


def emit_json(kind: str, data: object) -> None:
    """One JSON document on stdout, on one line (so that a watch is NDJSON)."""
    document = {"schema": SCHEMA, "kind": kind, "data": plain(data)}
    sys.stdout.write(json.dumps(document, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def grid(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """A table without frames, so that it pastes and pipes well."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    made = Table(title=title or None, title_justify="left", box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for column in columns:
        made.add_column(column, overflow="fold")
    for row in rows:
        made.add_row(*(Text(cell) for cell in row))
    return made


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """The same on stdout; in a pipe no cell is ever folded, so that names can be searched for and cut out."""
    if console().is_terminal:
        console().print(grid(title, columns, rows), soft_wrap=False)
        return
    if title:
        console().print(title, markup=False)
    console().print(aligned(columns, rows))


def aligned(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Text:
    """Columns as wide as their widest cell, two blanks apart, as kubectl has them; a line is never broken."""
    from rich.cells import cell_len
    from rich.text import Text

    lines = [list(columns), *(list(row) for row in rows)]
    widths = [max(cell_len(line[place]) for line in lines) for place in range(len(columns))]
    padded = [
        [cell + " " * (width - cell_len(cell)) for cell, width in zip(line, widths, strict=True)] for line in lines
    ]
    text = Text("\n".join("  ".join(line).rstrip() for line in padded), no_wrap=True)
    text.stylize("bold", 0, len("  ".join(padded[0]).rstrip()))
    return text
