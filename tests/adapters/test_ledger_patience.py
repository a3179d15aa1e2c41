"""How long a purchase waits for its database, and what is not the database's fault."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path

import pytest
import uvloop

from controller.adapters.ledger_wishes import Wish, patience_s
from controller.core.ledger import Verdict
from tests.adapters.ledger_values import open_store, unlimited, wish

PATIENCE = {
    # what: waited, computed meanwhile, what a database may take, more
    "an idle loop": (0.05, 0.0, 0.05, 0.0),
    "a loop that computed for all of the time": (0.05, 0.05, 0.05, 0.05),
    "a loop that came late": (0.12, 0.1, 0.05, 0.03),
    "too little to wait for": (0.0495, 0.0, 0.05, 0.0),
    "a loop that never rests": (0.2, 0.2, 0.05, 0.0),
    "a loop that never rests, before": (0.15, 0.15, 0.05, 0.05),
}


@pytest.mark.parametrize(("waited_s", "computed_s", "wait_s", "more_s"), PATIENCE.values(), ids=PATIENCE.keys())
def test_patience(waited_s: float, computed_s: float, wait_s: float, more_s: float) -> None:
    """Time that the loop itself computed is not counted, up to four times the wait."""
    assert patience_s(waited_s, computed_s, wait_s) == pytest.approx(more_s)


def _compute(for_s: float) -> None:
    end_s = time.thread_time() + for_s
    while time.thread_time() < end_s:
        pass


def test_a_thread_that_computes_is_not_the_databases_fault() -> None:
    """As one does that reads another spillway.yaml: a loop that is idle meanwhile waits longer as well."""
    done = threading.Event()

    def compute() -> None:
        while not done.is_set():
            pass

    async def waited() -> float:
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        assert await Wish(wish("r"), loop.create_future()).verdict(0.1) is Verdict.UNAVAILABLE
        return loop.time() - began_s

    thread = threading.Thread(target=compute)
    thread.start()
    try:
        took_s = asyncio.run(waited())
    finally:
        done.set()
        thread.join()
    assert took_s > 0.13


def test_a_crowd_that_keeps_the_loop_busy_may_buy(tmp_path: Path) -> None:
    """200 at once, whose beginning takes longer than a database may: the database answered in time, and that counts."""
    store = open_store(tmp_path / "spillway.db", tmp_path, unlimited, reserve_wait_s=0.2)
    assert store.recovered()

    async def one(name: str) -> Verdict:
        _compute(0.002)
        return await store.reserve(wish(name))

    async def crowd() -> list[Verdict]:
        return await asyncio.gather(*(one(f"r-{at}") for at in range(200)))

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert set(runner.run(crowd())) == {Verdict.GRANTED}
    store.close()
