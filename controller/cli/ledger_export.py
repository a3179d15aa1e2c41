"""`spillway ledger export`: every finished request of a span as CSV or Parquet."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from controller.cli.cluster_options import also_on_cluster
from controller.cli.errors import EXIT_USAGE, CliError
from controller.cli.ledger import AS_JSON, CONFIG, SINCE, STATE_DIR, UNTIL

if TYPE_CHECKING:
    from controller.adapters.ledger_export import ExportRows

EPILOG = "Examples: spillway ledger export --since 7d --out week.csv    spillway ledger export --out all.parquet"


class Format(Enum):
    """What can be written."""

    CSV = "csv"
    PARQUET = "parquet"


@also_on_cluster("cluster_export:export", by_database=True)
def export(
    *,
    since: str = SINCE,
    until: str = UNTIL,
    out: Path | None = typer.Option(None, "--out", "--output", "-o", help="file to write [default: stdout, as CSV]"),
    form: Format | None = typer.Option(None, "--format", help="[default: by the ending of --out, else csv]"),
    config: Path | None = CONFIG,
    state_dir: Path | None = STATE_DIR,
    as_json: bool = AS_JSON,
) -> None:
    """Write one row per finished request. There is no request text in the ledger, so none is exported.

    The file is whole or not there: it takes its name once the last row is on the disk.
    """
    from controller.cli.ledger import open_reader, span_s
    from controller.cli.output import emit_json, say

    begin_s, end_s = span_s(since, until)
    kind = form or (Format.PARQUET if out is not None and out.suffix == ".parquet" else Format.CSV)
    if out is None and (kind is Format.PARQUET or as_json):
        raise CliError("this needs a file", "Parquet and --json do not go to stdout with the rows", "--out FILE",
                       exit_code=EXIT_USAGE)  # fmt: skip
    if out is not None and not out.absolute().parent.is_dir():
        raise CliError(f"--out {out}", f"there is no folder {out.absolute().parent}", exit_code=EXIT_USAGE)
    reader = open_reader(config, state_dir)
    try:
        rows = reader.export_rows(since_s=begin_s, until_s=end_s)
        count = _to_stdout(rows) if out is None else _to_file(rows, kind, out)
    finally:
        reader.close()
    if as_json:
        emit_json("ledger_export", {"file": out, "format": kind.value, "rows": count})
    elif out is not None:
        say("ok", f"{count} rows in {out}")


def _to_stdout(rows: ExportRows) -> int:
    from controller.adapters.ledger_export import write_csv

    return write_csv(sys.stdout, rows.chunks())


def _to_file(rows: ExportRows, kind: Format, out: Path) -> int:
    from controller.adapters.ledger_export import write_csv, write_whole

    with _progress(rows, out) as told:
        if kind is Format.CSV:

            def write(draft: Path) -> int:
                with draft.open("w", encoding="utf-8", newline="") as file:
                    return write_csv(file, rows.chunks(), told)
        else:
            from controller.adapters.ledger_parquet import write_parquet

            def write(draft: Path) -> int:
                return write_parquet(draft, rows.chunks(), told)

        try:
            return write_whole(out, write)
        except OSError as error:
            raise CliError(f"{out} cannot be written", str(error.strerror)) from error


@contextmanager
def _progress(rows: ExportRows, out: Path) -> Iterator[Callable[[int], None]]:
    """On a terminal a bar with the time that is left; elsewhere nothing moves."""
    from controller.cli.output import words

    if not words().is_terminal:
        yield lambda _rows: None
        return
    from rich.progress import Progress

    with Progress(console=words(), transient=True) as bar:
        task = bar.add_task(out.name, total=rows.count())
        yield lambda done: bar.update(task, completed=done)
