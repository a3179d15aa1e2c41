"""Fault group E: what storage does to the books; kill -9 at every commit boundary is in `tests/adapters`."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.caller import ANSWERED, REFUSED
from tests.faults.gateway_process import Setup
from tests.faults.play import play
from tests.faults.rows import row
from tests.faults.stub_scripts import answer
from tests.faults.world import World, eventually, world

pytestmark = [pytest.mark.faults, pytest.mark.timeout(120)]

BOUGHT = "stub-openai"
OUTSIDE = {BOUGHT: "openai"}
CROWD, WAVE = 1000, 100
ALLOWED = 10
# What one request may cost at most: 1,000 tokens out at 3 USD per million, and its prompt at 1 USD per million.
DEAREST_USD = 0.0032


async def _own_are_open(here: World, count: int = 5) -> None:
    told = await here.ask_many(count, stream=False)
    assert {one.end for one in told} == {ANSWERED}


def test_e2_a_thousand_on_a_budget_for_ten(tmp_path: Path) -> None:
    """At most ten are bought at once, the sum never passes the limit, and own pools go on."""

    async def scene() -> None:
        limit = {"tenants": {"stubs": {"usd_per_day": f"{DEAREST_USD * ALLOWED:.4f}"}}}
        setup = Setup(changes={**limit, "fallbacks": {}})
        async with (
            world(tmp_path / "e2", engines=1, providers=OUTSIDE, setup=setup) as here,
            row(here, "E2", "1,000 at once on a budget for 10") as line,
        ):
            provider = here.providers[0]
            provider.script = answer(first_after_s=4.0)
            before = len(provider.calls)
            line.injected()
            crowd = []
            for _ in range(CROWD // WAVE):  # one loop of Python takes in a wave within the 100 ms that /healthz has
                crowd += [here.asking(stream=False, model=BOUGHT) for _ in range(WAVE)]
                await asyncio.sleep(0.06)
            await asyncio.sleep(2.0)
            await _own_are_open(here)
            told = await asyncio.gather(*crowd)
            line.detected()
            bought = len(provider.calls) - before
            line.figures["bought"] = bought
            assert 0 < bought <= ALLOWED
            assert sum(one.end == ANSWERED for one in told) == bought
            refused = [one for one in told if one.end == REFUSED]
            assert {one.error["code"] for one in refused} <= {"insufficient_quota", "no_target_available"}
            provider.script = answer()
            assert (await here.ask(stream=False, model=BOUGHT)).end == ANSWERED
            line.healed()

    play(scene())


@contextlib.contextmanager
def _small_disk(folder: Path) -> Iterator[Path]:
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)], check=True, timeout=10)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True, timeout=10)


def test_e5_the_disk_is_full(tmp_path: Path) -> None:
    """Own pools go on, nothing is bought that could not be written down, and with space it all comes back."""

    async def scene(disk: Path) -> None:
        async with (
            world(disk / "gateway", engines=1, providers=OUTSIDE) as here,
            row(here, "E5", "disk full") as line,
        ):
            filler = disk / "filler"
            with contextlib.suppress(OSError), filler.open("wb") as file:
                while True:
                    file.write(b"x" * 4096)
                    file.flush()
            line.injected()

            async def refuses() -> bool:
                await _own_are_open(here, 10)
                return (await here.ask(stream=False, model=BOUGHT)).end == REFUSED

            await eventually(refuses, within_s=10.0, every_s=0.05)
            line.detected()
            await _own_are_open(here)
            filler.unlink()

            async def buys_again() -> bool:
                return (await here.ask(stream=False, model=BOUGHT)).end == ANSWERED

            line.figures["back_s"] = round(await eventually(buys_again, within_s=5.0, every_s=0.1), 1)
            line.healed()
            with sqlite3.connect(f"file:{here.gateway.database}?mode=ro", uri=True) as connection:
                assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            connection.close()

    with _small_disk(tmp_path / "disk") as disk:
        play(scene(disk))
