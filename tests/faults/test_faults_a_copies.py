"""Fault row A8 over two gateways on one PostgreSQL: one of them pays and tells, the other refuses."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from controller.config.schema import DATABASE_VARIABLE
from tests.adapters.postgres_server import running_postgres
from tests.faults.caller import ANSWERED, REFUSED
from tests.faults.gateway_process import Setup
from tests.faults.play import play
from tests.faults.rows import row
from tests.faults.second_gateway import money_is_settled, second_gateway
from tests.faults.stub_scripts import answer
from tests.faults.world import eventually, world

pytestmark = [pytest.mark.faults, pytest.mark.timeout(120)]

BOUGHT = "stub-openai"


def test_a8_copies_at_another_gateway(tmp_path: Path) -> None:
    """One call and one row: while the first gateway answers and after it the other says 409; the first repeats it."""

    async def scene(url: str) -> None:
        setup = Setup(environ={DATABASE_VARIABLE: url})
        async with (
            world(tmp_path / "a8", engines=1, providers={BOUGHT: "openai"}, setup=setup) as here,
            second_gateway(here) as second,
            row(here, "A8", "one key, two gateways") as line,
        ):
            (provider,) = here.providers
            provider.script = answer(gap_s=0.3)
            before = len(provider.calls)
            options = {"stream": False, "model": BOUGHT, "idempotency_key": "order-1"}
            line.injected()
            first = here.asking(**options)
            await eventually(lambda: len(provider.calls) > before, within_s=5.0)
            during = await here.ask_many(5, at=second, **options)
            line.detected()
            told = [await first, *await here.ask_many(5, **options)]
            async with asyncio.timeout(5.0):  # the claim is settled a moment after the answer
                while (await here.ask(at=second, **options)).error["code"] != "idempotency_answered":
                    await asyncio.sleep(0.05)
            after = await here.ask_many(5, at=second, **options)
            assert {one.end for one in told} == {ANSWERED}
            assert len({(one.body, one.request_id) for one in told}) == 1
            assert {one.end for one in (*during, *after)} == {REFUSED}
            assert {(one.status, one.error["code"]) for one in during} == {(409, "idempotency_in_progress")}
            assert all("retry-after" in one.headers for one in during)
            assert {(one.status, one.error["code"]) for one in after} == {(409, "idempotency_answered")}
            assert {one.headers["x-should-retry"] for one in after} == {"false"}
            assert len(provider.calls) == before + 1
            await money_is_settled(here, within_s=5.0)
            assert told[0].request_id in await here.ledger()
            other = await here.ask(at=second, **{**options, "idempotency_key": "order-2"})  # type: ignore[arg-type]
            assert other.end == ANSWERED
            line.healed()

    with running_postgres() as server:
        play(scene(server.database()))
