"""Fault group F: a gateway is told to stop while it answers."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults import books, caller
from tests.faults.caller import ANSWERED, BROKEN, Told
from tests.faults.gateway_process import POOL, GatewayProcess
from tests.faults.play import play
from tests.faults.rows import Row, row
from tests.faults.second_gateway import (
    exit_code,
    first_words,
    money_is_settled,
    second_gateway,
    takes_connections,
    turns_unready,
)
from tests.faults.stub_scripts import answer, by_kind
from tests.faults.world import World, world

pytestmark = [pytest.mark.faults, pytest.mark.timeout(120)]

BOUGHT = "stub-openai"
OUTSIDE = {BOUGHT: "openai"}
STREAMS, WAVE = 200, 20
LEAD_S, UNREADY_S, AT_ONCE_S, RECOVERED_S = 2.0, 0.1, 1.0, 20.0


def _model(number: int) -> str:
    """Three of four go to the own pool, the others are bought."""
    return POOL if number % 4 else BOUGHT


async def _opened(here: World, open_one: Callable[[int], asyncio.Task[Told]]) -> list[asyncio.Task[Told]]:
    """All streams, opened in waves, once each has said something."""
    before, tasks = len(here.calls), list[asyncio.Task[Told]]()
    for first in range(0, STREAMS, WAVE):
        tasks += [open_one(number) for number in range(first, first + WAVE)]
        await asyncio.sleep(0.05)  # each within the time that a reservation may take, on one core
    await first_words(here, STREAMS, before)
    return tasks


async def _served_in_the_lead(here: World, line: Row, gateway: GatewayProcess, until_s: float) -> None:
    """New requests on new connections are answered, and the process calls itself healthy."""
    served = 0
    while time.monotonic() < until_s:
        told = [await here.ask(at=gateway, stream=False, model=model) for model in (POOL, BOUGHT)]
        assert {one.end for one in told} == {ANSWERED}
        assert {one.headers["connection"] for one in told} == {"close"}
        assert (await gateway.page("/healthz")).startswith("ok")
        served += len(told)
        await asyncio.sleep(0.1)
    line.figures["served_in_lead"] = served
    assert served >= 10


def test_f1_sigterm_with_200_streams(tmp_path: Path) -> None:
    """Unready at once, new requests are served for the lead, then the port is closed, and every stream ends whole."""

    async def scene() -> None:
        async with (
            world(tmp_path / "f1", engines=2, providers=OUTSIDE) as here,
            row(here, "F1", f"SIGTERM with {STREAMS} streams") as line,
            second_gateway(here, drain_lead_s=LEAD_S, drain_s=15.0) as stopped,
        ):
            for stub in here.stubs:
                stub.script = by_kind(stream=answer(tokens=60, gap_s=0.1), unary=answer())
            streams = await _opened(here, lambda number: here.asking(at=stopped, model=_model(number)))
            line.injected()
            told_s = time.monotonic()
            line.within("unready_s", await turns_unready(stopped), UNREADY_S)
            line.detected()
            await _served_in_the_lead(here, line, stopped, told_s + 0.8 * LEAD_S)
            await asyncio.sleep(told_s + LEAD_S + 0.3 - time.monotonic())
            assert not takes_connections(stopped)
            assert {one.end for one in await here.ask_many(5, stream=False)} == {ANSWERED}, "the other gateway"
            assert not any(task.done() for task in streams), "they were too short to show anything"
            ends = await asyncio.gather(*streams)
            assert {told.end for told in ends} == {ANSWERED}
            last_s = max(told.ended_s for told in ends)
            assert await exit_code(stopped) == 0
            line.healed()
            line.figures["gone_s"] = round(time.monotonic() - last_s, 2)
            line.figures["settled_s"] = round(await money_is_settled(here, 1.0), 2)
            rows = await here.ledger()
            assert {told.request_id for told in ends} <= rows.keys()

    play(scene())


@pytest.mark.parametrize("ends_by", ["its deadline", "a second SIGTERM"])
def test_f1_streams_that_outlast_the_drain(ends_by: str, tmp_path: Path) -> None:
    """None is cut before; then each ends in an error that says why, what it used is booked, and the exit is clean."""

    async def scene() -> None:
        drain_s = 2.0 if ends_by == "its deadline" else 30.0
        async with (
            world(tmp_path / "f1", engines=2, providers=OUTSIDE) as here,
            row(here, "F1", f"drain ends by {ends_by}") as line,
            second_gateway(here, drain_s=drain_s) as stopped,
        ):
            for stub in here.stubs:
                stub.script = by_kind(stream=answer(tokens=100, gap_s=0.1), unary=answer())
            streams = await _opened(here, lambda number: here.asking(at=stopped, model=_model(number)))
            line.injected()
            told_s = time.monotonic()
            await turns_unready(stopped)
            line.detected()
            await asyncio.sleep(told_s + 1.7 - time.monotonic())
            assert not any(task.done() for task in streams), "cut before its time"
            if ends_by == "a second SIGTERM":
                stopped.process.send_signal(signal.SIGTERM)
            due_s = time.monotonic() if drain_s > 2.0 else told_s + drain_s
            ends = await asyncio.gather(*streams)
            assert {(told.end, told.error["code"]) for told in ends} == {(BROKEN, "drain_timeout")}
            line.within("cut_s", max(told.ended_s for told in ends) - due_s, AT_ONCE_S)
            assert await exit_code(stopped) == 0
            line.healed()
            await money_is_settled(here, 1.0)
            rows = await here.ledger()
            assert {told.request_id for told in ends} <= rows.keys(), "what was used is not written down"

    play(scene())


def test_f1_sigkill_at_the_end_of_grace(tmp_path: Path) -> None:
    """A drain that is killed loses no purchase: another gateway bills each, as an estimate that says so."""

    async def scene() -> None:
        async with (
            world(tmp_path / "f1", engines=2, providers=OUTSIDE) as here,
            row(here, "F1", "SIGKILL in the drain") as line,
            second_gateway(here, drain_s=30.0) as stopped,
        ):
            for stub in here.stubs:
                stub.script = by_kind(stream=answer(tokens=100, gap_s=0.1), unary=answer())
            request = {model: here.request(stream=True, model=model) for model in (POOL, BOUGHT)}
            here.offered += STREAMS
            asks = await _opened(
                here,
                lambda number: asyncio.create_task(caller.ask(stopped.port, request[_model(number)], stream=True)),
            )
            await turns_unready(stopped)
            await asyncio.sleep(0.5)
            line.injected()
            stopped.process.kill()
            assert await exit_code(stopped) == -signal.SIGKILL
            await asyncio.gather(*asks)  # cut, as the process is gone: nobody is left to say it
            assert {one.end for one in await here.ask_many(5, stream=False)} == {ANSWERED}, "the other gateway"
            line.detected()
            line.figures["settled_s"] = round(await money_is_settled(here, RECOVERED_S), 1)
            line.healed()
            rows = books.read(here.gateway.database)
            bought = [call.request_id for call in here.providers[0].calls[-STREAMS // 4 :]]
            assert len(bought) == STREAMS // 4
            assert all(rows[name].outcome_unknown for name in bought)
            line.figures["bought"] = len(bought)

    play(scene())
