"""A pool without anywhere to spill, offered many times what it bears, in virtual time: what callers hear, and when."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from random import Random

from controller.core.ledger import LedgerEntry
from controller.core.pools import EngineArgs, Slo
from controller.gateway.ports import UpstreamCall
from tests.gateway.gateway_world import BEARER, DONE, EVENT, LAST, SETTINGS, USAGE, Answer, Heard, World, stream
from tests.gateway.jumping_loop import jumping

SLOTS, TOOK_S, SLO_S = 8, 4.0, 2.0
CAPACITY_PER_S = SLOTS / TOOK_S
WARM_UP_S, MEASURED_S = 20.0, 100.0
COUNTED = USAGE.replace(b'"completion_tokens":2', b'"completion_tokens":140')


class SlottedEngine:
    """Answers so many at a time, half as long to half as much again, the others in order of arrival."""

    def __init__(self, chance: Random) -> None:
        self._slots = asyncio.Semaphore(SLOTS)
        self._chance = chance

    async def open(self, call: UpstreamCall) -> Answer:
        """A stream that begins once it is its turn."""
        await self._slots.acquire()
        took_s = TOOK_S * self._chance.uniform(0.5, 1.5)
        asyncio.get_running_loop().call_later(took_s, self._slots.release)
        return stream(EVENT, took_s, LAST, COUNTED, DONE)

    async def aclose(self) -> None:
        """Nothing is open."""


@dataclass(frozen=True, kw_only=True)
class Figures:
    """Of one load. Good is a first token within the SLO."""

    offered_per_s: float
    goodput_per_s: float
    answered: int
    refused: int
    ttft_p99_s: float
    refused_p99_s: float
    failed: int


def percentile(values: list[float], share: float) -> float:
    """By rank; 0 of nothing."""
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, int(share * len(ranked)))] if ranked else 0.0


def overloaded(ratio: float, seed: int = 1) -> Figures:
    """The steady state at so many times the capacity, with arrivals at random."""
    pool = replace(
        SETTINGS.pools["llama-8b"], engine=EngineArgs(max_num_seqs=SLOTS), slo=Slo(ttft_p95_s=SLO_S, tpot_p95_s=0.1)
    )
    chance, rate_per_s = Random(seed), ratio * CAPACITY_PER_S
    heard: list[tuple[float, Heard]] = []
    entries: list[LedgerEntry] = []

    async def main() -> None:
        world = World(
            settings=replace(SETTINGS, pools={**SETTINGS.pools, "llama-8b": pool}),
            own=SlottedEngine(chance),  # type: ignore[arg-type]  # another script
        )
        never = [BEARER, (b"x-spillway-spill", b"never")]

        async def one(at_s: float) -> None:
            heard.append((at_s, await world.ask({"stream": True}, headers=never)))

        now_s = 0.0
        async with asyncio.TaskGroup() as group:
            while now_s < WARM_UP_S + MEASURED_S:
                group.create_task(one(now_s))
                gap_s = chance.expovariate(rate_per_s)
                await asyncio.sleep(gap_s)
                now_s += gap_s
        world.gateway.parts.watch.close()
        entries.extend(world.ledger.posted)

    jumping(main())
    measured = [one for at_s, one in heard if at_s >= WARM_UP_S]
    began_s = min(entry.at_s for entry in entries) + WARM_UP_S
    late_s = [entry.ttft_s for entry in entries if entry.at_s >= began_s and entry.ttft_s is not None]
    return figures(measured, late_s, rate_per_s)


def figures(heard: list[Heard], late_s: list[float], rate_per_s: float) -> Figures:
    """What the callers heard, summed up."""
    refused_s = [one.took_s for one in heard if one.status == 429]
    return Figures(
        offered_per_s=rate_per_s,
        goodput_per_s=sum(wait_s <= SLO_S for wait_s in late_s) / MEASURED_S,
        answered=len(late_s),
        refused=len(refused_s),
        ttft_p99_s=percentile(late_s, 0.99),
        refused_p99_s=percentile(refused_s, 0.99),
        failed=len(heard) - len(late_s) - len(refused_s),
    )
