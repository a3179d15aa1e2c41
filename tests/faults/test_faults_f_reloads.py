"""Fault group F, reloads: the configuration changes all the time, and every third file is no configuration."""

from __future__ import annotations

import asyncio
import json
import re
import signal
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.faults.caller import ANSWERED
from tests.faults.gateway_process import POOL, GatewayProcess, Setup, merged
from tests.faults.play import play
from tests.faults.provider_scene import PATIENT_LEDGER
from tests.faults.rows import row
from tests.faults.stub_scripts import answer, by_kind
from tests.faults.world import World, eventually, world

pytestmark = [pytest.mark.faults, pytest.mark.timeout(180)]

BOUGHT = "stub-openai"
RELOADS, EVERY_S = 100, 0.3  # twice as often as once in 0.6 s
NOTICED_S = 3.0
BAD = ("pools: [", '{"tenants": {"acme": {"requests_per_minute": 5}}}', '{"pools": [{"name": "llama-8b"}]}')
VALID, RESULTS = "spillway_config_valid", "spillway_config_reloads_total"


class File:
    """The gateway's configuration file."""

    def __init__(self, gateway: GatewayProcess) -> None:
        self.path = gateway.folder / "spillway.yaml"
        self.first = json.loads(self.path.read_text())

    def put(self, text: str) -> None:
        """In place of the old one, whole."""
        draft = self.path.with_suffix(".draft")
        draft.write_text(text)
        draft.replace(self.path)

    def write(self, changes: Mapping[str, object]) -> None:
        """The first one with changes."""
        self.put(json.dumps(merged(self.first, changes)))

    def pools(self, **fields: object) -> list[object]:
        """The first pool with changes."""
        return [{**self.first["pools"][0], **fields}]


def numbered(file: File, number: int) -> Mapping[str, object]:
    """Another limit, cap, deadline and price each time; every second one has a fallback more and another SLO."""
    changes: dict[str, object] = {
        "tenants": {"stubs": {"requests_per_min": 100_000 + number}},
        "gateway": {"caps": {"body_bytes": 200_000 + number}, "timeouts": {"total_s": 20.0 + number % 5}},
        "models": {"gpt-6-terra": {"usd_per_mtok_in": str(1 + number % 7)}},
    }
    if number % 2:
        changes["fallbacks"] = {BOUGHT: ["gpt-6-luna"]}
        changes["pools"] = file.pools(slo={"ttft_p95_s": 50.0 + number % 9, "tpot_p95_s": 1.0})
    return changes


async def counted(gateway: GatewayProcess) -> float:
    """Files that were read again."""
    return sum(value for name, value in (await gateway.metrics()).items() if name.startswith(RESULTS))


async def in_force(here: World) -> tuple[int, int]:
    """The limit of requests that answers tell, and the longest body that is let in, as its refusal tells."""
    told = await here.ask(stream=False)
    assert told.end == ANSWERED
    refused = await here.ask(stream=False, fields={"user": "x" * 250_000})
    assert refused.status == 413, (refused.end, refused.status, refused.body[:200])
    [cap] = re.findall(r"(\d{6})", str(refused.error["message"]))
    return int(told.headers["x-ratelimit-limit-requests"]), int(cap)


async def _traffic(here: World, stop: asyncio.Event) -> int:
    """Requests of all kinds, one after the other, until told to stop; all are answered."""
    count = 0
    while not stop.is_set():
        told = [
            await here.ask(stream=count % 2 == 0, model=POOL if count % 4 else BOUGHT),
            await here.ask(stream=False, model=POOL),
        ]
        lost = [(one.end, one.status, one.body[:300], one.events[-1:]) for one in told if one.end != ANSWERED]
        assert not lost, lost
        count += len(told)
        await asyncio.sleep(0.02)
    return count


def test_f3_a_hundred_reloads_every_third_of_them_bad(tmp_path: Path) -> None:
    """Nothing is lost or left behind, the last good file is in force, and the metric says when the newest is not."""

    async def scene() -> None:
        async with (
            world(
                tmp_path / "f3",
                engines=2,
                providers={BOUGHT: "openai"},
                setup=Setup(changes={"gateway": PATIENT_LEDGER}),
            ) as here,
            row(here, "F3", f"{RELOADS} reloads, every third file bad") as line,
        ):
            for stub in here.stubs:
                stub.script = by_kind(stream=answer(tokens=40, gap_s=0.02), unary=answer())
            gateway, file, stop = here.gateway, File(here.gateway), asyncio.Event()
            crowd = [asyncio.create_task(_traffic(here, stop)) for _ in range(4)]
            before, good = await counted(gateway), 0
            line.injected()
            for number in range(1, RELOADS + 1):
                if number % 3:
                    file.write(numbered(file, number))
                    good = number
                else:
                    file.put(BAD[number // 3 % len(BAD)])
                gateway.process.send_signal(signal.SIGHUP)
                await asyncio.sleep(EVERY_S)
            line.detected()
            stop.set()
            line.figures["requests"] = sum(await asyncio.gather(*crowd))
            line.figures["read_again"] = int(await counted(gateway) - before)
            assert (await gateway.metrics())[VALID] == 1.0
            assert await in_force(here) == (100_000 + good, 200_000 + good)
            line.healed()

    play(scene())


@pytest.mark.parametrize("told_by", ["SIGHUP", "file"])
def test_f3_a_bad_file_keeps_the_old_one(told_by: str, tmp_path: Path) -> None:
    """No setting is dropped: limits, pools and providers hold as before, by signal as by the change of the file."""

    async def scene() -> None:
        async with (
            world(tmp_path / "f3", engines=2, providers={BOUGHT: "openai"}) as here,
            row(here, "F3", f"a bad file, told by {told_by}") as line,
        ):
            for stub in here.stubs:
                stub.script = by_kind(stream=answer(), unary=answer())
            gateway, file = here.gateway, File(here.gateway)

            async def is_valid(wanted: bool) -> bool:
                if told_by == "SIGHUP":
                    gateway.process.send_signal(signal.SIGHUP)
                return bool((await gateway.metrics())[VALID] == float(wanted))

            file.write({"tenants": {"stubs": {"requests_per_min": 777}}})

            async def limited() -> bool:
                await is_valid(True)
                told = await here.ask(stream=False)
                return told.headers.get("x-ratelimit-limit-requests") == "777"

            line.figures["taken_over_s"] = round(await eventually(limited, within_s=NOTICED_S, every_s=0.1), 2)
            file.put(BAD[1])
            line.injected()
            await eventually(lambda: is_valid(False), within_s=NOTICED_S, every_s=0.1)
            line.detected()
            for model in (POOL, BOUGHT):
                told = await here.ask_many(5, model=model)
                assert {one.end for one in told} == {ANSWERED}
                assert {one.headers["x-ratelimit-limit-requests"] for one in told} == {"777"}
            assert "requests_per_minute" in gateway.log.read_text()
            file.write({})
            await eventually(lambda: is_valid(True), within_s=NOTICED_S, every_s=0.1)
            line.healed()
            told = await here.ask(stream=False)
            assert "x-ratelimit-limit-requests" not in told.headers

    play(scene())
