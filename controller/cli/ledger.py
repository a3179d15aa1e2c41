"""`spillway ledger`: sums over finished requests, their export, and the check against providers' own accounts."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from controller.cli.cluster_options import also_on_cluster
from controller.cli.errors import EXIT_USAGE, CliError
from controller.cli.pool_words import SPAN_S

if TYPE_CHECKING:
    from controller.adapters.ledger_reader import LedgerReader
    from controller.adapters.ledger_sums import By, LedgerTotal

CONFIG = typer.Option(None, "--config", "-c", help="spillway.yaml to use")
STATE_DIR = typer.Option(None, "--state-dir", help="where keys and ledger lie [default: .spillway]")
SINCE = typer.Option("all", "--since", help="all, or a span such as 30m, 24h, 7d, or a UTC date such as 2026-11-23")
UNTIL = typer.Option("now", "--until", help="where it ends, not included: now, or what --since takes")
AS_JSON = typer.Option(False, "--json", help="one JSON document on stdout")


def register(app: typer.Typer) -> None:
    """Afterwards `app` has `ledger report|export|verify`."""
    from controller.cli import ledger_export, ledger_verify

    ledger = typer.Typer(help="Sum up, export and check what was served.", no_args_is_help=True, rich_markup_mode=None)
    ledger.command("report", epilog="Example: spillway ledger report --by tenant,model,day --since 7d")(report)
    ledger.command("export", epilog=ledger_export.EPILOG)(ledger_export.export)
    ledger.command("verify", epilog=ledger_verify.EPILOG)(ledger_verify.verify)
    app.add_typer(ledger, name="ledger")


def open_reader(config: Path | None, state_dir: Path | None) -> LedgerReader:
    """A reader on the ledger of the configured state folder; refused when nothing was ever served from it."""
    from controller.cli.state import require_state
    from controller.cli.wiring import open_ledger_reader, settings_from

    settings = settings_from(config, state_dir)
    reader = open_ledger_reader(settings)
    if reader is None:
        require_state(settings)
        raise CliError("there is no ledger yet", f"nothing in {settings.state_dir}", "spillway up")
    return reader


def instant_s(text: str, option: str, *, now_s: float) -> float:
    """Unix seconds of a span back from now such as `24h`, or of a UTC date."""
    if text == "all":
        return 0.0
    if text == "now":
        return now_s
    if span := re.fullmatch(r"(\d{1,6})([smhd])", text):
        return now_s - int(span[1]) * SPAN_S[span[2]]
    try:
        return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()
    except ValueError:
        raise CliError(
            f"{option} '{text}' is not a time", "use all, now, 30m, 24h, 7d or a UTC date such as 2026-11-23",
            exit_code=EXIT_USAGE,
        ) from None  # fmt: skip


def span_s(since: str, until: str) -> tuple[float, float | None]:
    """Where it begins and ends; no end is None, so that what is served meanwhile counts."""
    now_s = time.time()
    begin_s = instant_s(since, "--since", now_s=now_s)
    end_s = None if until == "now" else instant_s(until, "--until", now_s=now_s)
    if end_s is not None and end_s <= begin_s:
        raise CliError(
            f"--until '{until}' is not after --since '{since}'", "nothing lies between", exit_code=EXIT_USAGE
        )
    return begin_s, end_s


def dimensions(text: str) -> tuple[By, ...]:
    """The dimensions named, in their order."""
    from controller.adapters.ledger_sums import BYS

    known: dict[str, By] = {name: name for name in BYS}
    wanted = [name.strip() for name in text.split(",")]
    for name in wanted:
        if name not in known:
            raise CliError(
                f"--by '{text}': '{name}' is not known", f"use any of {', '.join(BYS)}, with commas between",
                exit_code=EXIT_USAGE,
            )  # fmt: skip
        if wanted.count(name) > 1:
            raise CliError(f"--by '{text}' names {name} twice", exit_code=EXIT_USAGE)
    return tuple(known[name] for name in wanted)


def _usd(amount_nanousd: int) -> Decimal:
    from controller.core.money import usd

    return usd(amount_nanousd)


def _shown(total: LedgerTotal, by: tuple[By, ...]) -> dict[str, object]:
    return {
        **dict(zip(by, total.groups, strict=True)),
        "requests": total.requests,
        "failed": total.failed,
        "spilled": total.spilled,
        "input_tokens": total.input_tokens,
        "cached_input_tokens": total.cached_input_tokens,
        "output_tokens": total.output_tokens,
        "gpu_s": round(total.gpu_s, 3),
        "bought_usd": f"{_usd(total.bought_nanousd):f}",
        "own_usd": f"{_usd(total.own_nanousd):f}",
        "simulated": total.simulated,
    }


@also_on_cluster("cluster_gateway:report", by_database=True)
def report(
    by: str = typer.Option("target", help="any of tenant,key,model,target,pool,task,day,month, with commas between"),
    *,
    since: str = SINCE,
    until: str = UNTIL,
    config: Path | None = CONFIG,
    state_dir: Path | None = STATE_DIR,
    as_json: bool = AS_JSON,
) -> None:
    """Sum requests, tokens and money. BOUGHT is real spend; OWN values own pools at planning prices."""
    from controller.cli.output import emit_json, say, table

    groups, (begin_s, end_s) = dimensions(by), span_s(since, until)
    reader = open_reader(config, state_dir)
    try:
        totals = reader.totals(by=groups, since_s=begin_s, until_s=end_s)
        whole = reader.totals(since_s=begin_s, until_s=end_s)[0]
    finally:
        reader.close()
    if as_json:
        shown = [_shown(total, groups) for total in totals]
        emit_json("ledger_report", {"by": groups, "totals": shown, "total": _shown(whole, ())})
        return
    if not totals:
        say("note", "nothing was served in this span")
        return
    sums = ["REQUESTS", "FAILED", "SPILLED", "TOKENS IN", "CACHED", "TOKENS OUT", "GPU S", "BOUGHT $", "OWN $"]
    last = ["TOTAL", *[""] * (len(groups) - 1), *_sums(whole)]
    rows = [[*total.groups, *_sums(total)] for total in totals]
    table("", [*(group.upper() for group in groups), *sums], [*rows, last] if len(rows) > 1 else rows)
    if whole.simulated:
        say("note", f"{whole.simulated} of these requests were answered by simulated engines or providers")


def _sums(total: LedgerTotal) -> list[str]:
    counts = (total.requests, total.failed, total.spilled, total.input_tokens, total.cached_input_tokens)
    money = (_usd(total.bought_nanousd), _usd(total.own_nanousd))
    gpu = f"{total.gpu_s:.1f}"
    return [*map(str, counts), str(total.output_tokens), gpu, *(f"{amount:.6f}" for amount in money)]
