"""`spillway ledger`: sums over finished requests, and their export."""

from __future__ import annotations

import csv
import re
import sys
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import typer

from controller.cli.errors import EXIT_USAGE, CliError

if TYPE_CHECKING:
    from controller.adapters.ledger_reader import By, LedgerReader, LedgerTotal
    from controller.core.ledger import LedgerEntry

CONFIG = typer.Option(None, "--config", "-c", help="spillway.yaml to use")
STATE_DIR = typer.Option(None, "--state-dir", help="where keys and ledger lie [default: .spillway]")
SINCE = typer.Option("all", "--since", help="all, or a span such as 30m, 24h, 7d, or a UTC date such as 2026-11-23")

SPAN_S = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
EXPORT_COLUMNS = (
    "request_id", "at", "tenant", "key_id", "operation", "requested_model", "task", "complexity", "status",
    "target_kind", "target", "model_key", "model_id", "replica_id", "input_tokens", "cached_input_tokens",
    "output_tokens", "usage_estimated", "cost_usd", "spilled", "reason", "attempts", "predicted_ttft_s", "ttft_s",
    "e2e_s", "error", "simulated", "stream",
)  # fmt: skip


def register(app: typer.Typer) -> None:
    """Afterwards `app` has `ledger report|export`."""
    ledger = typer.Typer(help="Sum up and export what was served.", no_args_is_help=True, rich_markup_mode=None)
    ledger.command("report", epilog="Example: spillway ledger report --by target --since 24h")(report)
    ledger.command("export", epilog="Example: spillway ledger export --since 7d --output week.csv")(export)
    app.add_typer(ledger, name="ledger")


def open_reader(config: Path | None, state_dir: Path | None) -> LedgerReader:
    """A reader on the ledger of the configured state folder; refused when nothing was ever served from it."""
    from controller.cli.wiring import open_ledger_reader, settings_from

    settings = settings_from(config, state_dir)
    reader = open_ledger_reader(settings)
    if reader is None:
        raise CliError("there is no ledger yet", f"nothing in {settings.state_dir}", "spillway up")
    return reader


def since_s(text: str, *, now_s: float) -> float:
    """Unix seconds where a span such as `24h` or a UTC date begins."""
    if text == "all":
        return 0.0
    if span := re.fullmatch(r"(\d{1,6})([smhd])", text):
        return now_s - int(span[1]) * SPAN_S[span[2]]
    try:
        return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()
    except ValueError:
        raise CliError(
            f"--since '{text}' is not a time", "use all, 30m, 24h, 7d or a UTC date such as 2026-11-23",
            exit_code=EXIT_USAGE,
        ) from None  # fmt: skip


def _by(text: str) -> By:
    from controller.adapters.ledger_reader import BYS

    for known in BYS:
        if text == known:
            return known
    raise CliError(f"--by '{text}' is not known", f"use one of {', '.join(BYS)}", exit_code=EXIT_USAGE)


def _usd(amount_nanousd: int) -> Decimal:
    from controller.core.money import usd

    return usd(amount_nanousd)


def _shown(total: LedgerTotal) -> dict[str, object]:
    return {
        "group": total.group,
        "requests": total.requests,
        "failed": total.failed,
        "spilled": total.spilled,
        "input_tokens": total.input_tokens,
        "cached_input_tokens": total.cached_input_tokens,
        "output_tokens": total.output_tokens,
        "bought_usd": f"{_usd(total.bought_nanousd):f}",
        "own_usd": f"{_usd(total.own_nanousd):f}",
        "simulated": total.simulated,
    }


def report(
    by: str = typer.Option("target", help="tenant | model | target | day"),
    since: str = SINCE,
    config: Path | None = CONFIG,
    state_dir: Path | None = STATE_DIR,
    as_json: bool = typer.Option(False, "--json", help="one JSON document on stdout"),
) -> None:
    """Sum requests, tokens and money. BOUGHT is real spend; OWN values own pools at planning prices."""
    from controller.cli.output import emit_json, say, table

    group, start_s = _by(by), since_s(since, now_s=time.time())
    reader = open_reader(config, state_dir)
    try:
        totals = reader.totals(by=group, since_s=start_s)
    finally:
        reader.close()
    if as_json:
        emit_json("ledger_report", {"by": group, "totals": [_shown(total) for total in totals]})
        return
    if not totals:
        say("note", "nothing was served in this span")
        return
    columns = [group.upper(), "REQUESTS", "FAILED", "SPILLED", "TOKENS IN", "CACHED", "TOKENS OUT", "BOUGHT $", "OWN $"]
    table("", columns, [_row(total) for total in totals])
    if simulated := sum(total.simulated for total in totals):
        say("note", f"{simulated} of these requests were answered by simulated engines or providers")


def _row(total: LedgerTotal) -> list[str]:
    counts = (total.requests, total.failed, total.spilled, total.input_tokens, total.cached_input_tokens)
    money = (_usd(total.bought_nanousd), _usd(total.own_nanousd))
    return [total.group, *map(str, counts), str(total.output_tokens), *(f"{amount:.6f}" for amount in money)]


def export(
    since: str = SINCE,
    output: Path | None = typer.Option(None, "--output", "-o", help="file to write [default: stdout]"),
    config: Path | None = CONFIG,
    state_dir: Path | None = STATE_DIR,
) -> None:
    """Write one CSV row per finished request. There is no request text in the ledger, so none is exported."""
    from controller.cli.output import say

    start_s = since_s(since, now_s=time.time())
    reader = open_reader(config, state_dir)
    try:
        entries = reader.entries(since_s=start_s)
        if output is None:
            write_csv(sys.stdout, entries)
            return
        with output.open("w", encoding="utf-8", newline="") as file:
            say("ok", f"{write_csv(file, entries)} rows in {output}")
    finally:
        reader.close()


def write_csv(file: TextIO, entries: Iterable[LedgerEntry]) -> int:
    """The number of rows written, below a header."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(EXPORT_COLUMNS)
    count = 0
    for entry in entries:
        writer.writerow(_cells(entry))
        count += 1
    return count


def _cells(entry: LedgerEntry) -> list[object]:
    derived: dict[str, object] = {
        "at": datetime.fromtimestamp(entry.at_s, UTC).isoformat(timespec="milliseconds"),
        "target_kind": None if entry.target_kind is None else entry.target_kind.value,
        "input_tokens": entry.usage.input_tokens,
        "cached_input_tokens": entry.usage.cached_input_tokens,
        "output_tokens": entry.usage.output_tokens,
        "usage_estimated": entry.usage.estimated,
        "cost_usd": f"{_usd(entry.cost_nanousd):f}",
        "attempts": len(entry.attempts),
    }
    return [derived[name] if name in derived else getattr(entry, name) for name in EXPORT_COLUMNS]
