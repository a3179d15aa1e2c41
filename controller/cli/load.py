"""`spillway load`: plays recorded traffic against the gateway and says how it went."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from controller.cli.errors import EXIT_INTERRUPTED, EXIT_KEY, EXIT_USAGE, CliError
from controller.cli.keys import mistyped
from controller.cli.state import has_state, no_state
from controller.core.keys import is_mistyped

if TYPE_CHECKING:
    from controller.adapters.local_http import ChatClient
    from controller.cli.traffic import Player, Summary
    from controller.config.settings import Settings
    from controller.replay.traces import TraceRequest

EPILOG = (
    "Examples: spillway load --every 3    spillway load --trace mine.csv --model auto --speed 2    "
    "spillway load --for 30 --json"
)
TOLD_EVERY_S = 5.0
SHIPPED = "azure-code-2023"


def register(app: typer.Typer) -> None:
    """Afterwards `app` has `load`."""
    app.command("load", epilog=EPILOG)(load)


def load(
    *,
    trace: str = typer.Option(SHIPPED, help="the trace that ships, or a CSV file in the Azure schema"),
    model: str = typer.Option("llama-8b", help="what every request asks for: a pool, a catalogue key, auto"),
    every: int = typer.Option(1, min=1, max=10_000, help="send every N-th request only"),
    speed: float = typer.Option(1.0, min=0.01, max=100, help="2 plays the trace in half the time"),
    seconds: float | None = typer.Option(None, "--for", min=0.1, help="stop sending after so many seconds"),
    config: Path | None = typer.Option(None, "--config", "-c", help="spillway.yaml to use"),
    state_dir: Path | None = typer.Option(None, help="state folder of the system [default: .spillway]"),
    as_json: bool = typer.Option(False, "--json", help="one JSON document on stdout"),
) -> None:
    """Play recorded traffic against a running gateway. Exit code 1 when a request was not answered whole.

    The key is that of `spillway up`, or the one in SPILLWAY_API_KEY.
    """
    from controller.cli.traffic import summarise
    from controller.cli.wiring import open_chat_client, settings_from
    from controller.replay.traces import thinned

    rows = thinned(_rows(trace), every)
    if seconds is not None:
        rows = tuple(row for row in rows if row.arrival_s / speed <= seconds)
    settings = settings_from(config, state_dir)
    client = open_chat_client(base_url(settings), key_text(settings))
    player, interrupted = asyncio.run(_play(client, rows, model, speed))
    _tell(summarise(player.played), as_json=as_json)
    if interrupted:
        raise typer.Exit(EXIT_INTERRUPTED)
    if any(not one.answer.complete for one in player.played):
        raise typer.Exit(1)


def _rows(trace: str) -> Sequence[TraceRequest]:
    from controller.core.errors import TraceError
    from controller.replay.traces import read_azure, shipped_slice

    if trace == SHIPPED:
        return shipped_slice()
    try:
        with Path(trace).open(encoding="utf-8") as file:
            return read_azure(file)
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else "it is not UTF-8 text"
        fix = f"name a CSV file, or {SHIPPED}"
        raise CliError(f"cannot read the trace {trace}", why, fix, exit_code=EXIT_USAGE) from error
    except TraceError as error:
        raise CliError(f"{trace} is no trace", str(error), exit_code=EXIT_USAGE) from error


def base_url(settings: Settings) -> str:
    """Where the gateway of the state folder listens: as `up` says, else as configured."""
    from controller.cli.leftovers import read_record, running_up

    if running_up(settings.state_dir) is not None:
        record = read_record(settings.state_dir / "run" / "up.json")
        if isinstance(record, dict) and record.get("gateway_url"):
            return f"{record['gateway_url']}/v1"
    return f"http://{settings.gateway.host}:{settings.gateway.port}/v1"


def key_text(settings: Settings) -> str:
    """The key to show: from the environment, else the one `up` keeps."""
    text = os.environ.get("SPILLWAY_API_KEY", "")
    file = settings.state_dir / "up.key"
    if not text and file.exists():
        text = file.read_text(encoding="ascii", errors="replace").strip()
    if not text:
        if not has_state(settings):
            raise no_state(settings, or_else=", or: export SPILLWAY_API_KEY=...", exit_code=EXIT_KEY)
        why = f"SPILLWAY_API_KEY is not set and there is no {file}"
        raise CliError("no API key", why, "export SPILLWAY_API_KEY=$(spillway keys create load)", exit_code=EXIT_KEY)
    if is_mistyped(text):
        raise mistyped("SPILLWAY_API_KEY")
    return text


async def _play(client: ChatClient, rows: Sequence[TraceRequest], model: str, speed: float) -> tuple[Player, bool]:
    from controller.cli.signals import stop_signals
    from controller.cli.traffic import Ask, Player

    with stop_signals() as signals:
        async with client, asyncio.TaskGroup() as group:
            player = Player(client, [Ask(row=row, model=model) for row in rows], speed=speed)
            telling = group.create_task(_progress(player, len(rows)), name="progress")
            playing = group.create_task(player.run(), name="player")
            while not playing.done():
                if signals.count:
                    player.stop()
                if signals.count > 1:
                    playing.cancel()
                await asyncio.wait([playing], timeout=0.1)
            telling.cancel()
        return player, signals.count > 0


async def _progress(player: Player, total: int) -> None:
    """A line every few seconds, so that nobody wonders."""
    from controller.cli.output import say

    due_s = time.monotonic() + TOLD_EVERY_S
    while True:
        await asyncio.sleep(max(0.0, due_s - time.monotonic()))
        due_s += TOLD_EVERY_S
        ended = len(player.played)
        spilled = sum(1 for one in player.played if "x-spillway-spilled" in one.answer.headers)
        say("load", f"{player.sent} of {total} sent, {ended} ended, {player.open} open, {spilled} spilled")


def _tell(summary: Summary, *, as_json: bool) -> None:
    from controller.cli.output import emit_json, say, table

    if as_json:
        emit_json("load", summary)
        return
    rows = [
        ["sent", str(summary.sent)],
        ["answered", f"{summary.answered} ({summary.simulated} simulated)"],
        ["spilled", str(summary.spilled)],
        ["failed", str(summary.failed)],
        ["by target", ", ".join(f"{name} {count}" for name, count in summary.by_target.items()) or "none"],
        ["tokens", f"{summary.input_tokens} in, {summary.output_tokens} out"],
        ["TTFT p50, p95, p99", ", ".join(map(_ms, (summary.ttft_p50_s, summary.ttft_p95_s, summary.ttft_p99_s)))],
        ["E2E p50, p95", ", ".join(map(_ms, (summary.e2e_p50_s, summary.e2e_p95_s)))],
    ]
    table("", ["FIGURE", "VALUE"], rows)
    for words, count in summary.errors.items():
        say("error", f"{count} times {words}")
    say("next", "spillway request --last 20    spillway ledger report --by target")


def _ms(value_s: float | None) -> str:
    return "<unknown>" if value_s is None else f"{value_s * 1000:,.0f} ms"
