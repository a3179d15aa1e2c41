"""Fault group E, outages: the database is locked, restarts, hangs, or has no connection left."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import psutil
import psycopg
import pytest

from controller.config.schema import DATABASE_VARIABLE
from tests.adapters.postgres_server import PostgresServer, running_postgres
from tests.faults.caller import ANSWERED, REFUSED, Told
from tests.faults.gateway_process import Setup
from tests.faults.play import play
from tests.faults.rows import Row, row
from tests.faults.second_gateway import money_is_settled
from tests.faults.stub_scripts import answer
from tests.faults.world import World, eventually, world

pytestmark = [pytest.mark.faults, pytest.mark.timeout(120)]

BOUGHT = "stub-openai"
OUTSIDE = {BOUGHT: "openai"}
UNDER_WAY = 3
# timeouts.ledger_s is 50 ms; as much again for the request itself
REFUSED_WITHIN_S = 0.1
BACK_WITHIN_S = 5.0
Outage = Callable[[], AbstractAsyncContextManager[None]]


async def _own_alone(here: World, line: Row, seconds: float) -> None:
    """For so long own pools answer everything, and every purchase is refused without being waited for."""
    until_s = time.monotonic() + seconds
    own, bought = [], []
    while time.monotonic() < until_s:
        own += await here.ask_many(3, stream=False)
        bought.append(await here.ask(stream=False, model=BOUGHT))
        line.detected()
        await asyncio.sleep(0.1)
    assert {one.end for one in own} == {ANSWERED}
    assert {one.end for one in bought} == {REFUSED}
    assert {one.error["code"] for one in bought} == {"no_target_available"}
    assert all("ledger" in str(one.error["message"]) for one in bought), bought[0].error
    line.within("slowest_refusal_s", max(one.took_s for one in bought), REFUSED_WITHIN_S)


async def _under_way(here: World) -> list[asyncio.Task[Told]]:
    """Purchases with their first tokens; one that a busy machine refused is made again."""
    (provider,) = here.providers
    before, asked = len(provider.calls), list[asyncio.Task[Told]]()

    def begun() -> bool:
        asked[:] = [task for task in asked if not task.done()]
        asked.extend(here.asking(stream=True, model=BOUGHT) for _ in range(UNDER_WAY - len(asked)))
        return sum(call.made_tokens > 0 for call in provider.calls[before:]) >= UNDER_WAY

    provider.script = answer(gap_s=0.3)
    await eventually(begun, within_s=5.0)
    provider.script = answer()
    return asked


async def _survives(here: World, line: Row, outage: Outage, seconds: float) -> None:
    """What was bought when the outage began is booked after it, to the token; then all is as before."""
    under_way = await _under_way(here)
    async with outage():
        line.injected()
        await _own_alone(here, line, seconds)
        told = await asyncio.gather(*under_way)
    assert {one.end for one in told} == {ANSWERED}

    async def buys_again() -> bool:
        return (await here.ask(stream=False, model=BOUGHT)).end == ANSWERED

    back_s = await eventually(buys_again, within_s=BACK_WITHIN_S, every_s=0.1)
    line.figures["back_s"] = round(back_s, 1)
    await money_is_settled(here, within_s=BACK_WITHIN_S)
    rows = await here.ledger()
    assert all(one.request_id in rows for one in here.told if one.end == ANSWERED)
    line.healed()


@contextlib.asynccontextmanager
async def _locked(database: Path) -> AsyncIterator[None]:
    connection = sqlite3.connect(database, isolation_level=None, timeout=5)
    connection.execute("BEGIN EXCLUSIVE")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")
        connection.close()


def test_e4_the_database_is_locked(tmp_path: Path) -> None:
    """Nobody waits for it, own pools go on, purchases are refused, and no row is lost."""

    async def scene() -> None:
        async with (
            world(tmp_path / "e4", engines=1, providers=OUTSIDE) as here,
            row(here, "E4", "SQLite locked for 10 s") as line,
        ):
            await _survives(here, line, lambda: _locked(here.gateway.database), 10.0)

    play(scene())


@contextlib.asynccontextmanager
async def _killed(server: PostgresServer, _url: str) -> AsyncIterator[None]:
    await asyncio.to_thread(server.stop, "immediate")
    try:
        yield
    finally:
        await asyncio.to_thread(server.start)


@contextlib.asynccontextmanager
async def _frozen(server: PostgresServer, _url: str) -> AsyncIterator[None]:
    postmaster = psutil.Process(server.pid())
    postmaster.suspend()  # first, so that it makes no child meanwhile
    stopped = [postmaster, *postmaster.children(recursive=True)]
    try:
        for process in stopped[1:]:
            process.suspend()
        yield
    finally:
        for process in stopped:
            process.send_signal(signal.SIGCONT)


@contextlib.contextmanager
def _taken(server: PostgresServer, url: str) -> Iterator[None]:
    """Every connection is somebody else's; those of the gateway were ended."""
    others = "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'spillway'"
    alone = 0  # looks in a row that found nobody else: one who is just being let in has no name yet
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(psycopg.connect(url, autocommit=True))
        deadline_s = time.monotonic() + 10.0
        while time.monotonic() < deadline_s:
            try:
                stack.enter_context(psycopg.connect(url))
                alone = 0
            except psycopg.OperationalError:
                alone = 0 if first.execute(others).fetchall() else alone + 1
                if alone == 5:
                    break
                time.sleep(0.05)
        else:
            raise AssertionError("the gateway still has a connection")
        yield


@contextlib.asynccontextmanager
async def _exhausted(server: PostgresServer, url: str) -> AsyncIterator[None]:
    taken = _taken(server, url)
    await asyncio.to_thread(taken.__enter__)
    try:
        yield
    finally:
        await asyncio.to_thread(taken.__exit__, None, None, None)


OUTAGES = {
    "restarted": (_killed, "PostgreSQL killed and started again"),
    "hung": (_frozen, "PostgreSQL hangs for 4 s"),
    "exhausted": (_exhausted, "PostgreSQL has no connection left"),
}


@pytest.mark.parametrize(("outage", "what"), OUTAGES.values(), ids=OUTAGES.keys())
def test_e4_postgresql_is_away(
    outage: Callable[[PostgresServer, str], AbstractAsyncContextManager[None]], what: str, tmp_path: Path
) -> None:
    """Nobody waits for it, own pools go on, purchases are refused; seconds after it is back all is as before."""

    async def scene(server: PostgresServer, url: str) -> None:
        setup = Setup(environ={DATABASE_VARIABLE: url})
        async with (
            world(tmp_path / "e4", engines=1, providers=OUTSIDE, setup=setup) as here,
            row(here, "E4", what) as line,
        ):
            await _survives(here, line, lambda: outage(server, url), 4.0)

    with running_postgres() as server:
        play(scene(server, server.database()))
