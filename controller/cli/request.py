"""`spillway request ID`: what happened to one request, from the ledger. Never its text: the ledger has none."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from controller.cli.cluster_options import also_on_cluster
from controller.cli.errors import CliError

if TYPE_CHECKING:
    from controller.core.ledger import AttemptRecord, LedgerEntry

CONFIG = typer.Option(None, "--config", "-c", help="spillway.yaml to use")
STATE_DIR = typer.Option(None, "--state-dir", help="where keys and ledger lie [default: .spillway]")


def register(app: typer.Typer) -> None:
    """Afterwards `app` has `request`."""
    epilog = "Examples: spillway request --last 10    spillway request req-0123abcd --json"
    app.command("request", help="Tell what happened to one request, or list the last ones.", epilog=epilog)(request)


@also_on_cluster("cluster_gateway:request", by_database=True)
def request(
    request_id: str | None = typer.Argument(None, help="the x-request-id of the answer; without it, the last requests"),
    last: int = typer.Option(20, help="how many to list", min=1, max=1_000),
    config: Path | None = CONFIG,
    state_dir: Path | None = STATE_DIR,
    as_json: bool = typer.Option(False, "--json", help="one JSON document on stdout"),
) -> None:
    """Tell what happened to one request: chain, tries, TTFT, tokens, cost, reasons; never its text."""
    from controller.cli.ledger import open_reader

    reader = open_reader(config, state_dir)
    try:
        if request_id is None:
            _list(reader.recent(last), as_json=as_json)
            return
        entry = reader.find(request_id)
    finally:
        reader.close()
    if entry is None:
        raise CliError(
            f"no finished request '{request_id}'", "unknown, or still under way", "spillway request --last 20"
        )
    _tell(entry, as_json=as_json)


def _list(entries: tuple[LedgerEntry, ...], *, as_json: bool) -> None:
    from controller.cli.output import emit_json, say, table

    if as_json:
        emit_json("requests", [_shown(entry) for entry in entries])
        return
    rows = [_summary_row(entry) for entry in entries]
    table("", ["ID", "AT", "STATUS", "TARGET", "MODEL", "SPILLED", "TTFT", "COST"], rows)
    if entries:
        say("next", f"spillway request {entries[0].request_id}")


def _summary_row(entry: LedgerEntry) -> list[str]:
    return [
        entry.request_id,
        _instant(entry.at_s),
        str(entry.status),
        entry.target or "<none>",
        entry.model_key or "<none>",
        "yes" if entry.spilled else "no",
        _seconds(entry.ttft_s),
        _dollars(entry.cost_nanousd),
    ]


def _shown(entry: LedgerEntry) -> dict[str, object]:
    from dataclasses import fields

    from controller.core.money import usd

    document: dict[str, object] = {field.name: getattr(entry, field.name) for field in fields(entry)}
    return {**document, "at": _instant(entry.at_s), "cost_usd": f"{usd(entry.cost_nanousd):f}"}


def _instant(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _seconds(value_s: float | None) -> str:
    if value_s is None:
        return "<unknown>"
    return f"{value_s * 1000:.0f} ms" if value_s < 1 else f"{value_s:.2f} s"


def _dollars(amount_nanousd: int) -> str:
    from controller.core.money import usd

    return f"${usd(amount_nanousd):.6f}"


def _tell(entry: LedgerEntry, *, as_json: bool) -> None:
    from controller.cli.output import console, emit_json

    if as_json:
        emit_json("request", _shown(entry))
        return
    lines = _lines(entry) + [_try(ordinal, attempt) for ordinal, attempt in enumerate(entry.attempts, start=1)]
    width = max(len(label) for label, _ in lines)
    for label, text in lines:
        console().print(f"{label:<{width}}  {text}", markup=False)


def _lines(entry: LedgerEntry) -> list[tuple[str, str]]:
    usage = entry.usage
    estimated = ", estimated" if usage.estimated else ""
    kind = "" if entry.target_kind is None else f" ({entry.target_kind.value})"
    lines = [
        ("request", entry.request_id),
        ("accepted", _instant(entry.at_s)),
        ("tenant", f"{entry.tenant}, key {entry.key_id}"),
        ("asked for", f"{entry.requested_model}, {entry.operation}{', streamed' if entry.stream else ''}"),
        ("judged", f"task {entry.task or '<unset>'}, {entry.complexity}"),
        ("considered", " > ".join(entry.chain) or "<none>"),
        ("belongs to", entry.home_pool or "<none>"),
        ("answered by", f"{entry.target or '<none>'}{kind}{', simulated' if entry.simulated else ''}"),
        ("model", f"{entry.model_key or '<none>'} ({entry.model_id or '<none>'})"),
        ("why", entry.reason + (", spilled" if entry.spilled else "")),
        ("status", str(entry.status) + (f", {entry.error}" if entry.error else "")),
        ("TTFT", f"{_seconds(entry.ttft_s)}, predicted {_seconds(entry.predicted_ttft_s)}"),
        ("took", _seconds(entry.e2e_s)),
        (
            "tokens",
            f"{usage.input_tokens} in ({usage.cached_input_tokens} cached), {usage.output_tokens} out{estimated}",
        ),
        ("cost", _cost(entry)),
    ]
    if entry.replica_id is not None:
        lines.insert(8, ("replica", entry.replica_id))
    return lines


def _cost(entry: LedgerEntry) -> str:
    own = entry.target_kind is not None and entry.target_kind.value == "own"
    return f"{_dollars(entry.cost_nanousd)}{' at the planning price of own pools' if own else ''}"


def _try(ordinal: int, attempt: AttemptRecord) -> tuple[str, str]:
    where = attempt.target if attempt.replica_id is None else f"{attempt.target}, replica {attempt.replica_id}"
    status = "" if attempt.status is None else f" {attempt.status}"
    times = f"began after {_seconds(attempt.started_after_s)}, took {_seconds(attempt.took_s)}"
    return f"try {ordinal}", f"{where} ({attempt.model_key}): {attempt.outcome}{status}; {times}"
