"""A second gateway on the same books and upstreams, which rows may stop: the first one stays to be judged."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

from tests.faults import books, gateway_process
from tests.faults.gateway_process import GatewayProcess, merged
from tests.faults.world import World, eventually

EXIT_S = 5.0


@contextlib.asynccontextmanager
async def second_gateway(here: World, **gateway: object) -> AsyncIterator[GatewayProcess]:
    """One that is ready, with these settings of its section; afterwards it is gone."""
    setup = replace(here.setup, changes=merged(dict(here.setup.changes), {"gateway": gateway}))
    process = gateway_process.start(here.gateway.folder, setup, here.canaries.provider_key)
    try:
        await process.ready()
        yield process
    finally:
        if process.process.poll() is None:
            process.process.kill()
        process.process.wait()


async def exit_code(gateway: GatewayProcess, within_s: float = EXIT_S) -> int:
    """Once it has ended by itself."""
    await eventually(lambda: gateway.process.poll() is not None, within_s=within_s, every_s=0.02)
    return int(gateway.process.returncode)


async def turns_unready(gateway: GatewayProcess) -> float:
    """Seconds from a SIGTERM until it says so."""
    gateway.process.send_signal(signal.SIGTERM)

    async def is_unready() -> bool:
        return (await gateway.page("/readyz")).startswith("draining")

    return await eventually(is_unready, within_s=1.0, every_s=0.002)


def takes_connections(gateway: GatewayProcess) -> bool:
    """Whether its port is open."""
    try:
        socket.create_connection(("127.0.0.1", gateway.port), timeout=1.0).close()
    except ConnectionRefusedError:
        return False
    return True


def purses(place: Path | str) -> tuple[int, int, int, int]:
    """(spent and reserved by the sums of days, what the rows of purchases cost, reservations left)."""
    sums = "coalesce(sum(spent_nanousd), 0), coalesce(sum(reserved_nanousd), 0)"
    ((spent, reserved),) = books.select(place, f"select {sums} from spend where length(period) = 10")
    bought = "select coalesce(sum(cost_nanousd), 0) from ledger where target_kind = 'external'"
    ((cost,),) = books.select(place, bought)
    ((left,),) = books.select(place, "select count(*) from reservation")
    return spent, reserved, cost, left


async def money_is_settled(here: World, within_s: float) -> float:
    """Seconds until nothing is set aside any more and the sums are those of the rows."""

    def settled() -> bool:
        spent, reserved, cost, left = purses(here.gateway.books)
        return (reserved, left) == (0, 0) and spent == cost

    return await eventually(settled, within_s=within_s, every_s=0.1)


async def first_words(here: World, count: int, before: int, within_s: float = 5.0) -> None:
    """Returns once so many more calls have made tokens."""

    def begun() -> bool:
        return sum(call.made_tokens > 1 for call in here.calls[before:]) >= count

    await eventually(begun, within_s=within_s)
    await asyncio.sleep(0.2)  # what left a stub has reached its caller
