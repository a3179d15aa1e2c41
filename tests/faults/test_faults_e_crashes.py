"""Fault group E, crashes: what the books say after a kill or a power cut."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import sqlite3
import time
from pathlib import Path

import pytest

from tests.faults import books, caller, gateway_process
from tests.faults.gateway_process import Setup
from tests.faults.play import play
from tests.faults.rows import Row, row
from tests.faults.stub_scripts import answer
from tests.faults.world import POOL, World, eventually, world

pytestmark = [pytest.mark.faults, pytest.mark.timeout(120)]

PROVIDER = "stub-openai"
OUTSIDE = {PROVIDER: "openai"}
PLACES = (
    "gateway.reserved",
    "ledger.money.begun",
    "ledger.money.before_commit",
    "ledger.money.after_commit",
    "ledger.rows.before_commit",
    "ledger.rows.after_commit",
)
KILLS_PER_PLACE = 2
RECOVERED_S = 20.0


def _select(database: Path, sql: str) -> list[tuple[object, ...]]:
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=5)) as connection:
        return list(connection.execute(sql))


def _request(key: str, model: str) -> bytes:
    document = {"model": model, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 50, "stream": True}
    return caller.request_bytes(key, document)


async def _life(here: World, line: Row, failpoint: str) -> None:
    """A second gateway on the same books, which dies by a failpoint or, without one, at a random moment of a stream."""
    setup = Setup(
        engines=here.setup.engines,
        providers=here.setup.providers,
        environ={"SPILLWAY_FAILPOINT": failpoint} if failpoint else {},
    )
    victim = gateway_process.start(here.gateway.folder, setup, here.canaries.provider_key)
    try:
        await victim.ready()
        requests = [_request(victim.key, model) for model in (PROVIDER, POOL)]
        deadline_s = time.monotonic() + 10.0
        while victim.process.poll() is None:
            assert time.monotonic() < deadline_s, f"{failpoint} was never passed"
            asks = [asyncio.create_task(caller.ask(victim.port, request, stream=True)) for request in requests * 4]
            here.offered += len(asks)
            if not failpoint:
                await asyncio.sleep(0.05 + line.random.random() * 0.3)
                os.kill(victim.process.pid, signal.SIGKILL)
            await asyncio.gather(*asks, return_exceptions=True)
            await asyncio.sleep(0.02)
        assert victim.process.returncode == -signal.SIGKILL
    finally:
        if victim.process.poll() is None:
            victim.process.kill()
        victim.process.wait()


def test_e1_kill_at_every_boundary(tmp_path: Path) -> None:
    """Whatever a killed gateway had bought is in the books once: exact where known, else an estimate that says so."""

    async def scene() -> None:
        async with (
            world(tmp_path / "e1", providers=OUTSIDE) as here,
            row(here, "E1", "kill -9 at each boundary") as line,
        ):
            here.providers[0].script = answer(tokens=10, gap_s=0.03)
            line.injected()
            lives = [f"{place}@{line.random.randrange(1, 4)}:kill" for place in PLACES for _ in range(KILLS_PER_PLACE)]
            for failpoint in [*lives, *([""] * KILLS_PER_PLACE)]:
                await _life(here, line, failpoint)
            database = here.gateway.database
            line.detected()
            took_s = await eventually(
                lambda: not _select(database, "select 1 from reservation"), within_s=RECOVERED_S, every_s=0.2
            )
            line.healed()
            rows = books.read(database)
            bought = {call.request_id for call in here.providers[0].calls if call.made_tokens}
            assert bought <= rows.keys(), f"{len(bought - rows.keys())} purchases are lost"
            ((spent, reserved),) = _select(
                database, "select sum(spent_nanousd), sum(reserved_nanousd) from spend where length(period) = 10"
            )
            assert reserved == 0
            assert spent == sum(entry.cost_nanousd for entry in rows.values() if entry.target == PROVIDER)
            line.figures.update(kills=len(lives) + KILLS_PER_PLACE, bought=len(bought), recovered_s=round(took_s, 1))

    play(scene())


def test_e6_the_tail_of_the_log_is_torn(tmp_path: Path) -> None:
    """Wherever a power cut tears the write-ahead log, every row that was acknowledged before is there."""

    async def scene() -> None:
        async with (
            world(tmp_path / "e6", providers=OUTSIDE) as here,
            row(here, "E6", "WAL torn at 30 random bytes") as line,
        ):
            database = here.gateway.database
            log = database.with_name(database.name + "-wal")
            await here.ask_many(20, stream=False)
            acknowledged = set(await here.ledger())
            safe_bytes = log.stat().st_size
            await here.ask_many(60, stream=False, model=POOL)
            await here.ledger()
            assert log.stat().st_size > safe_bytes, "the log began anew: nothing can be said"
            line.injected()
            whole = log.read_bytes()
            for number in range(30):
                copy = tmp_path / f"torn-{number}.db"
                shutil.copy(database, copy)
                cut = line.random.randrange(safe_bytes, len(whole))
                copy.with_name(copy.name + "-wal").write_bytes(whole[:cut])
                with contextlib.closing(sqlite3.connect(copy)) as connection:
                    assert list(connection.execute("PRAGMA integrity_check")) == [("ok",)]
                    there = {name for (name,) in connection.execute("select request_id from ledger")}
                assert acknowledged <= there, f"{len(acknowledged - there)} rows are lost"
            line.detected()
            line.healed()

    play(scene())
