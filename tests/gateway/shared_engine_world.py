"""Several gateways before one engine, in virtual time: demand steps up, and each gateway sees its own requests only.

The engine is the one of the replays (`replay.engine_model`), batch by batch. Without a controller: what is spilled is
what a gateway itself found to be late.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from random import Random

import orjson

from controller.core.ledger import LedgerEntry
from controller.core.pools import EngineArgs, Slo
from controller.gateway.ports import UpstreamCall
from controller.replay.engine_model import EngineModel
from tests.gateway.gateway_builders import SetFleet, fleet, replica
from tests.gateway.gateway_world import DONE, EVENT, LAST, SETTINGS, USAGE, Answer, World, stream
from tests.gateway.jumping_loop import jumping

SLO_S = 0.8
INPUT_TOKENS, OUTPUT_TOKENS = 512, 120
CALM_S, CROWDED_S = 30.0, 10.0
COUNTED = USAGE.replace(b'"completion_tokens":2', b'"completion_tokens":%d' % OUTPUT_TOKENS)
POOL = replace(
    SETTINGS.pools["llama-8b"], engine=EngineArgs(max_num_seqs=32), slo=Slo(ttft_p95_s=SLO_S, tpot_p95_s=0.2)
)


class _Pieces:
    """A stream whose events come as the engine makes them."""

    status = 200
    headers = {"content-type": "text/event-stream"}  # noqa: RUF012 # never changed

    def __init__(self) -> None:
        self.queue: asyncio.Queue[bytes] = asyncio.Queue()

    async def read(self) -> bytes:
        """The next."""
        return await self.queue.get()

    async def pump(self, take: Callable[[bytes], bool]) -> bool:
        """Piece by piece."""
        while chunk := await self.read():
            if not take(chunk):
                return True
        return False

    def hang_up(self) -> None:
        """Nobody leaves here."""

    async def close(self, *, finished: bool = False) -> None:
        """Nothing is open."""


class SharedEngine:
    """The upstream of all gateways: one engine."""

    def __init__(self) -> None:
        steps = SETTINGS.step_times[POOL.name]
        self._engine = EngineModel(steps, POOL.engine, steps.kv_cache_tokens)
        self._open: dict[int, _Pieces] = {}
        self._count = 0
        self._came = asyncio.Event()

    async def open(self, call: UpstreamCall) -> _Pieces:
        """Its stream begins once the engine has computed the prompt."""
        self._count += 1
        pieces = self._open[self._count] = _Pieces()
        self._engine.submit(self._count, INPUT_TOKENS, orjson.loads(call.body)["max_tokens"])
        self._came.set()
        return pieces

    async def run(self) -> None:
        """Step by step, until cancelled."""
        while True:
            if not self._open:
                self._came.clear()
                await self._came.wait()
            result = self._engine.step()
            await asyncio.sleep(result.duration_s)
            for key in result.emitted:
                self._open[int(str(key))].queue.put_nowait(EVENT)
            for key in result.finished:
                queue = self._open.pop(int(str(key))).queue
                for piece in (LAST, COUNTED, DONE, b""):
                    queue.put_nowait(piece)

    async def aclose(self) -> None:
        """Nothing is open."""


class Bought:
    """A provider that always answers."""

    async def open(self, call: UpstreamCall) -> Answer:
        """After a third of a second."""
        return stream(EVENT, 0.3, LAST, COUNTED, DONE)

    async def aclose(self) -> None:
        """Nothing is open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Since demand stepped up. `spilled_after_s`: from the first late request to the first that was spilled."""

    spilled_after_s: float
    late_before: int
    late: int
    spilled: int
    requests: int
    calm_spilled: int
    calm_requests: int


def stepped(gateways: int, *, calm: float, crowded: float, seed: int = 1, told: int | None = None) -> Step:
    """Demand of `calm`, then `crowded` times what the engine bears, at gateways chosen at random.

    `told`: how many gateways the view says that there are; as many as there are unless said.
    """
    chance = Random(seed)
    entries: list[LedgerEntry] = []

    async def main() -> float:
        engine = SharedEngine()
        view = replace(fleet(replica("r1")), gateways=gateways if told is None else told)
        worlds = [
            World(
                settings=replace(SETTINGS, pools={**SETTINGS.pools, POOL.name: POOL}),
                own=engine,  # type: ignore[arg-type]  # another script
                external=Bought(),  # type: ignore[arg-type]  # another script
                feed=SetFleet(view),
            )
            for _ in range(gateways)
        ]
        running, loop = asyncio.create_task(engine.run()), asyncio.get_running_loop()
        fields = {"stream": True, "max_tokens": OUTPUT_TOKENS}
        step_s = 0.0
        async with asyncio.TaskGroup() as group:
            for times, lasts_s in ((calm, CALM_S), (crowded, CROWDED_S)):
                step_s = loop.time()
                while loop.time() < step_s + lasts_s:
                    words = [{"role": "user", "content": f"{chance.random()} " + "word " * 396}]
                    group.create_task(chance.choice(worlds).ask({**fields, "messages": words}))
                    await asyncio.sleep(chance.expovariate(times * per_s()))
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        for world in worlds:
            world.gateway.parts.watch.close()
            entries.extend(world.ledger.posted)
        return 1_790_000_000.0 + step_s

    return _summed(entries, jumping(main()))


def per_s() -> float:
    """Prompts of this size that the engine can compute in a second, with little else to do."""
    steps = SETTINGS.step_times[POOL.name]
    return 1000.0 / (steps.p0_ms + steps.p1_ms_per_1k * INPUT_TOKENS / 1000.0)


def _summed(entries: Sequence[LedgerEntry], step_at_s: float) -> Step:
    after = [one for one in entries if one.at_s >= step_at_s]
    before = [one for one in entries if one.at_s < step_at_s]
    late = [one for one in after if not one.spilled and (one.ttft_s is None or one.ttft_s > SLO_S)]
    first_s = min((one.at_s for one in after if one.spilled), default=float("inf"))
    late_s = min((one.at_s for one in late), default=first_s)
    return Step(
        spilled_after_s=max(0.0, first_s - late_s),
        late_before=sum(one.at_s < first_s for one in late),
        late=len(late),
        spilled=sum(one.spilled for one in after),
        requests=len(after),
        calm_spilled=sum(one.spilled for one in before),
        calm_requests=len(before),
    )
