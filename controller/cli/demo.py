"""`spillway demo`: real traffic against the whole system on this machine, told as it happens, judged at the end."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from controller.cli.errors import EXIT_FAILED, EXIT_INTERRUPTED

if TYPE_CHECKING:
    from controller.adapters.local_http import LocalHttp
    from controller.cli.demo_story import Line, Look, Story
    from controller.cli.demo_verdict import Check, Evidence
    from controller.cli.traffic import Ask, Player
    from controller.cli.up import System
    from controller.core.fleet import FleetView
    from controller.replay.traces import TraceRequest

EPILOG = "Examples: spillway demo    spillway demo --keep    spillway demo --json > demo.json"
EVERY = 2  # of the shipped trace: what one A10G replica serves comfortably in its quiet minutes
LOOK_EVERY_S = 0.25
TOLD_EVERY_S = 10.0
SETTLE_S = 75.0
BOOKS_S = 5.0
# A tenth of the planned volume is third-tier work, which stays external; two tenths are second-tier.
MIX = ("simple",) * 7 + ("medium",) * 2 + ("critical",)
LONG_ANSWERS, LONG_TOKENS, LONG_AT_S = 6, 900, 100.0
HIDDEN = ("_API_KEY", "_ENDPOINT")  # the demo buys nothing and uses nobody's servers
STYLES = {"saturated": "yellow", "spill": "yellow", "routing": "bold magenta", "scale": "bold cyan", "ready": "green"}


def register(app: typer.Typer) -> None:
    """Afterwards `app` has `demo`."""
    app.command("demo", epilog=EPILOG)(demo)


def demo(
    *,
    keep: bool = typer.Option(False, "--keep", help="keep the state folder (ledger, logs) afterwards"),
    as_json: bool = typer.Option(False, "--json", help="the verdict as one JSON document on stdout"),
) -> None:
    """Replay two bursty minutes of a real service and watch a pool spill, grow, un-spill and shrink.

    Everything is simulated but the traffic, the processes and the sockets. Takes about three minutes. Exit code 1 when
    one of the checks at the end fails; then the state folder is kept.
    """
    from controller.cli.up import running_system

    folder = Path(tempfile.mkdtemp(prefix="spillway-demo-"))
    passed = False
    try:
        with ExitStack() as stack:
            config = stack.enter_context(as_file(files("controller.config").joinpath("demo.yaml")))
            say = _quiet if as_json else _say
            system = stack.enter_context(running_system("sim", config, folder / "state", _environ(), say=say))
            http = _http(stack)
            show = Show(quiet=as_json)
            checks = asyncio.run(Demo(system, http, show).run())
            _verdict(checks, as_json=as_json)
            passed = all(check.passed for check in checks)
            interrupted = system.signals.count > 0
    finally:
        if keep or not passed:
            _say("kept", f"ledger and logs in {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    if not passed:
        raise typer.Exit(EXIT_INTERRUPTED if interrupted else EXIT_FAILED)


def _environ() -> Mapping[str, str]:
    """This environment without keys and endpoints, and with ports that are free."""
    from controller.cli.overrides import PORT
    from controller.cli.preflight import free_base_port

    kept = {name: value for name, value in os.environ.items() if not name.endswith(HIDDEN) and name != "AI_PHASE"}
    return {**kept, PORT: str(free_base_port())}


def _http(stack: ExitStack) -> LocalHttp:
    from controller.cli.wiring import open_local_http

    http = open_local_http()
    stack.callback(http.close)
    return http


def _say(label: str, text: str) -> None:
    from controller.cli.output import say

    say(label, text)


def _quiet(_label: str, _text: str) -> None:
    return


class Show:
    """Prints the story: seconds since the start, a coloured word, the rest."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet

    def line(self, line: Line) -> None:
        """One line of it."""
        if self._quiet:
            return
        from rich.text import Text

        from controller.cli.output import console

        style = STYLES.get(line.label, "bold" if line.label != "so far" else "dim")
        console().print(Text.assemble(f"{line.after_s:6.1f} s  ", (f"{line.label:<10}", style), line.text))


class Demo:
    """One run against a ready system."""

    def __init__(self, system: System, http: LocalHttp, show: Show) -> None:
        self._system = system
        self._http = http
        self._show = show
        self._spill_told = False
        self._started_s = 0.0

    async def run(self) -> tuple[Check, ...]:
        """Play, watch until all is quiet again, judge."""
        from controller.cli.demo_story import Story
        from controller.cli.demo_verdict import judge
        from controller.cli.traffic import Player
        from controller.cli.wiring import open_chat_client
        from controller.replay.traces import shipped_slice, thinned

        rows = thinned(shipped_slice(), EVERY)
        asks = _asks(rows)
        client = open_chat_client(f"{self._system.supervisor.gateway_url}/v1", self._system.key)
        self._started_s = time.monotonic()
        story = Story(await self._look())
        words = f"{len(rows)} requests of a code assistant (Azure 2023), {rows[-1].arrival_s:.0f} s, bursts and all"
        self._tell("traffic", f"{words}; simple, medium and critical work as 7 : 2 : 1")
        long = f"{LONG_ANSWERS} answers of {LONG_TOKENS} tokens start at {LONG_AT_S:.0f} s"
        self._tell("traffic", f"{long}, so that the scale-down meets open streams")
        async with client, asyncio.TaskGroup() as group:
            player = Player(client, asks)
            playing = group.create_task(player.run(), name="player")
            await self._watch(story, player, playing)
        self._tell("settled", "one replica per pool, nothing spills, nothing is open")
        return judge(await self._evidence(player, story))

    def _tell(self, label: str, text: str) -> None:
        from controller.cli.demo_story import Line

        self._show.line(Line(after_s=time.monotonic() - self._started_s, label=label, text=text))

    async def _look(self) -> Look:
        from controller.cli.demo_story import Look

        view, loads = await asyncio.to_thread(self._read)
        pools = loads.get("pools", {}) if isinstance(loads, dict) else {}
        return Look(
            after_s=time.monotonic() - self._started_s,
            unix_s=time.time(),
            view=view,
            router_warming={name: int(pool["warming"]) for name, pool in pools.items()},
        )

    def _read(self) -> tuple[FleetView, object | None]:
        from controller.core.fleet import FleetView

        supervisor = self._system.supervisor
        return supervisor.view() or FleetView(), self._http.get_json(f"{supervisor.admin_url}/v1/loads")

    async def _watch(self, story: Story, player: Player, playing: asyncio.Task[None]) -> None:
        """Tells the story until the traffic is over and every pool is back to its least size."""
        from controller.cli.demo_story import is_settled

        least = {name: pool.scale.min_replicas for name, pool in self._system.settings.pools.items()}
        told_s, deadline_s = TOLD_EVERY_S, float("inf")
        while True:
            look = await self._look()
            for line in story.look(look):
                self._show.line(line)
            await self._tell_first_spill(player)
            if look.after_s >= told_s:
                told_s += TOLD_EVERY_S
                self._tell("so far", _so_far(player, look))
            if self._system.signals.count:
                player.stop()
                return
            if playing.done() and deadline_s == float("inf"):
                deadline_s = look.after_s + SETTLE_S
                self._tell("traffic", f"the last of {player.sent} requests has been answered")
            if playing.done() and (is_settled(look.view, least) or look.after_s > deadline_s):
                return
            self._system.supervisor.keep_alive()
            await asyncio.sleep(LOOK_EVERY_S)

    async def _tell_first_spill(self, player: Player) -> None:
        """The moment the demo is about: the first request that did not wait for a full pool."""
        from controller.cli.demo_books import first_spilled

        spilled = [one for one in player.played if "x-spillway-spilled" in one.answer.headers and one.request_id]
        if self._spill_told or not spilled:
            return
        first = min(spilled, key=lambda one: one.sent_after_s)
        entry = await asyncio.to_thread(first_spilled, self._system, str(first.request_id))
        if entry is None or not entry.attempts:
            return
        self._spill_told = True
        at_s, after_ms = first.sent_after_s, entry.attempts[-1].started_after_s * 1000
        ttft = "unknown" if entry.ttft_s is None else f"{entry.ttft_s * 1000:.0f} ms"
        self._tell("saturated", f"at {at_s:.1f} s: {entry.reason}")
        words = f"that request left for {entry.target} {after_ms:.1f} ms after it was accepted"
        self._tell("spill", f"the first of them: {words}; its first token came after {ttft}")

    async def _evidence(self, player: Player, story: Story) -> Evidence:
        from controller.cli.demo_books import collect

        return await asyncio.to_thread(collect, self._system, self._http, player.played, story.pools, BOOKS_S)


def _asks(rows: Sequence[TraceRequest]) -> list[Ask]:
    """The trace as work of all three tiers, and a few long answers late in it."""
    from controller.cli.traffic import Ask
    from controller.replay.traces import TraceRequest

    long = TraceRequest(arrival_s=LONG_AT_S, input_tokens=64, output_tokens=LONG_TOKENS)
    asks = [Ask(row=row, model="auto", complexity=MIX[number % len(MIX)]) for number, row in enumerate(rows)]
    asks += [Ask(row=long, model="auto", complexity="simple")] * LONG_ANSWERS
    return sorted(asks, key=lambda ask: ask.row.arrival_s)


def _so_far(player: Player, look: Look) -> str:
    from controller.core.fleet import ReplicaState

    spilled = sum(1 for one in player.played if "x-spillway-spilled" in one.answer.headers)
    states = (ReplicaState.READY, ReplicaState.WARMING, ReplicaState.DRAINING)
    pools = "; ".join(
        f"{name} {pool.count(ReplicaState.READY)} ready"
        + "".join(f", {count} {state}" for state in states[1:] if (count := pool.count(state)))
        for name, pool in look.view.pools.items()
    )
    return f"{player.sent} sent, {len(player.played)} answered, {player.open} open, {spilled} spilled; {pools}"


def _verdict(checks: tuple[Check, ...], *, as_json: bool) -> None:
    from controller.cli.output import console, emit_json

    if as_json:
        emit_json("demo", {"passed": all(check.passed for check in checks), "checks": checks})
        return
    from rich.text import Text

    console().print("\nVerdict")
    for check in checks:
        mark = ("  pass  ", "green") if check.passed else ("  FAIL  ", "bold red")
        console().print(Text.assemble(mark, f"{check.name}: {check.figures}"))
