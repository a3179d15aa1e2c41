"""`spillway ledger verify`: the ledger against what the providers say they served and billed."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from controller.cli.cluster_options import also_on_cluster
from controller.cli.errors import EXIT_FAILED, EXIT_USAGE, CliError
from controller.cli.ledger import AS_JSON, CONFIG, STATE_DIR
from controller.routing.budget import DAY_S

if TYPE_CHECKING:
    from controller.adapters.usage_exports import UsageExport
    from controller.core.usage_check import Difference, UsageLine

EPILOG = (
    "Examples: spillway ledger verify completions_usage_2026-11.csv cost_2026-11.csv    "
    "spillway ledger verify usage_report.json --tolerance-percent 0.5"
)
EQUAL, DRIFT, UNCHECKED = "equal", "drift", "could_not_check"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """What came of it."""

    provider: str
    days: str
    tolerance_percent: float
    found: tuple[Difference, ...]
    verdict: str
    why: str


@also_on_cluster("cluster_gateway:verify", by_database=True)
def verify(
    files: list[Path] = typer.Argument(..., help="usage or cost exports of OpenAI or Anthropic, JSON or CSV"),
    *,
    tolerance_percent: float = typer.Option(
        1.0, min=0, max=100, help="how far apart a figure may be; cents that the provider rounds are allowed for"
    ),
    provider: str | None = typer.Option(None, "--provider", help="whose rows to compare [default: by the file]"),
    config: Path | None = CONFIG,
    state_dir: Path | None = STATE_DIR,
    as_json: bool = AS_JSON,
) -> None:
    """Compare tokens, requests and USD per model and day with a provider's own export.

    Exit code 0: equal within the tolerance; 1: they differ, or nothing could be compared; 2: a file is not an export.
    Days that have not ended are left out, and so is what simulated providers answered.
    """
    from controller.core.usage_check import compare

    exports = _exports(files)
    name = provider or exports[0].provider
    theirs, since_s, until_s = _ended(exports, time.time())
    ours = _bought(name, config, state_dir, since_s, until_s) if until_s > since_s else ()
    found = compare(ours, theirs, tolerance_ratio=tolerance_percent / 100)
    verdict, why = _verdict(found, ours, theirs, has_ended=until_s > since_s)
    check = Check(
        provider=name,
        days=_days(since_s, until_s),
        tolerance_percent=tolerance_percent,
        found=found,
        verdict=verdict,
        why=why,
    )
    (_emit if as_json else _show)(check)
    if verdict != EQUAL:
        raise typer.Exit(EXIT_FAILED)


def _exports(files: list[Path]) -> list[UsageExport]:
    from controller.adapters.usage_exports import UsageExportError, read_export

    try:
        exports = [read_export(file) for file in files]
    except UsageExportError as error:
        raise CliError("could not check", str(error), exit_code=EXIT_USAGE) from error
    if len({export.provider for export in exports}) > 1:
        raise CliError("these files are of different providers", "compare one provider at a time", exit_code=EXIT_USAGE)
    return exports


def _ended(exports: list[UsageExport], now_s: float) -> tuple[list[UsageLine], float, float]:
    """Lines of days that are over, and their span; providers still count the others."""
    today = datetime.fromtimestamp(now_s, UTC).strftime("%Y-%m-%d")
    since_s = min(export.since_s for export in exports)
    until_s = min(max(export.until_s for export in exports), now_s // DAY_S * DAY_S)
    return [line for export in exports for line in export.lines if line.day < today], since_s, until_s


def _bought(
    name: str, config: Path | None, state_dir: Path | None, since_s: float, until_s: float
) -> tuple[UsageLine, ...]:
    from controller.cli.ledger import open_reader
    from controller.cli.wiring import settings_from

    known = settings_from(config, state_dir).providers
    if name not in known:
        raise CliError(f"no provider '{name}'", f"configured are {', '.join(known)}", "--provider NAME",
                       exit_code=EXIT_USAGE)  # fmt: skip
    reader = open_reader(config, state_dir)
    try:
        return reader.bought([name], since_s=since_s, until_s=until_s)
    finally:
        reader.close()


def _verdict(
    found: tuple[Difference, ...], ours: tuple[UsageLine, ...], theirs: list[UsageLine], *, has_ended: bool
) -> tuple[str, str]:
    if not has_ended:
        return UNCHECKED, "no day in these files has ended yet"
    if not found and ours:
        return DRIFT, "the ledger has purchases of these days, the export has none"
    if not found or not (ours or theirs):
        return UNCHECKED, "neither side has anything for these days"
    drifts = sum(difference.is_drift for difference in found)
    if drifts:
        return DRIFT, f"{drifts} of {len(found)} figures differ by more than the tolerance"
    return EQUAL, f"{len(found)} figures agree"


def _days(since_s: float, until_s: float) -> str:
    begin, last = (
        datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%d") for at_s in (since_s, max(since_s, until_s - 1))
    )
    return begin if begin == last else f"{begin} to {last}"


def _amount(figure: str, value: int) -> str:
    from controller.core.money import usd

    return f"{usd(value):f}" if figure == "cost_nanousd" else str(value)


def _emit(check: Check) -> None:
    from controller.cli.output import emit_json

    figures = [
        {
            "day": difference.day,
            "model": difference.model,
            "figure": _figure(difference.figure),
            "ledger": _amount(difference.figure, difference.ours),
            "provider": _amount(difference.figure, difference.theirs),
            "is_drift": difference.is_drift,
            "estimated_requests": difference.estimated,
        }
        for difference in check.found
    ]
    document = {
        "verdict": check.verdict,
        "why": check.why,
        "provider": check.provider,
        "days": check.days,
        "tolerance_percent": check.tolerance_percent,
        "figures": figures,
    }
    emit_json("ledger_verify", document)


def _figure(name: str) -> str:
    return "cost_usd" if name == "cost_nanousd" else name


def _show(check: Check) -> None:
    from controller.cli.output import say, table

    drifts = [difference for difference in check.found if difference.is_drift]
    if drifts:
        columns = ["DAY", "MODEL", "FIGURE", "LEDGER", "PROVIDER", "OFF BY", "ESTIMATED"]
        table("", columns, [_row(difference) for difference in drifts])
    label = {EQUAL: "ok", DRIFT: "error", UNCHECKED: "warning"}[check.verdict]
    said = check.verdict.replace("_", " ")
    say(label, f"{check.provider}, {check.days}: {said}: {check.why} (tolerance {check.tolerance_percent:g} %)")


def _row(difference: Difference) -> list[str]:
    most = max(difference.ours, difference.theirs)
    off = (difference.ours - difference.theirs) / most * 100
    return [
        difference.day,
        difference.model or "<all>",
        _figure(difference.figure),
        _amount(difference.figure, difference.ours),
        _amount(difference.figure, difference.theirs),
        f"{off:+.1f} %",
        str(difference.estimated),
    ]
