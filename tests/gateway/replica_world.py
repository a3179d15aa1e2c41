"""A gateway before several engines that can be made slow, failing, hung or gone one by one; time jumps."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from random import Random

from controller.core.errors import EngineUnreachable
from controller.core.pools import Slo
from controller.gateway.ports import UpstreamCall
from tests.gateway.gateway_builders import SetFleet, fleet, replica
from tests.gateway.gateway_world import COMPLETION, DONE, EVENT, LAST, SETTINGS, USAGE, Heard, World


@dataclass(kw_only=True)
class Engine:
    """How one replica behaves now."""

    ttft_s: float = 0.05
    gap_s: float = 0.01
    tokens: int = 8
    gone: bool = False
    hung: bool = False
    error_ratio: float = 0.0
    slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(64))
    calls: list[float] = field(default_factory=list)

    async def pause(self, seconds: float) -> None:
        """So long, or until it is not hung any more."""
        await asyncio.sleep(seconds)
        while self.hung:
            await asyncio.sleep(0.05)


class _Response:
    def __init__(self, engine: Engine, status: int, *, stream: bool) -> None:
        self.status = status
        self.headers: Mapping[str, str] = {"content-type": "text/event-stream"} if stream else {}
        self._engine, self._stream = engine, stream
        self._pieces = [EVENT] * engine.tokens + [LAST, USAGE, DONE] if stream else [COMPLETION]
        self._first, self._holds = True, False

    async def read(self) -> bytes:
        if not self._pieces:
            return b""
        if self._stream and self.status == 200:
            if not self._holds:
                await self._engine.slots.acquire()
                self._holds = True
            await self._engine.pause(self._engine.ttft_s if self._first else self._engine.gap_s)
        self._first = False
        return self._pieces.pop(0)

    async def pump(self, take: Callable[[bytes], bool]) -> bool:
        while chunk := await self.read():
            if not take(chunk):
                return True
        return False

    def hang_up(self) -> None:
        pass

    async def close(self, *, finished: bool = False) -> None:
        self._pieces = []
        if self._holds:
            self._holds = False
            self._engine.slots.release()


@dataclass
class Engines:
    """The upstream of a pool."""

    by_url: dict[str, Engine]
    random: Random = field(default_factory=lambda: Random(7))

    async def open(self, call: UpstreamCall) -> _Response:
        """An answer of the engine at that address."""
        engine = self.by_url[call.base_url]
        engine.calls.append(asyncio.get_running_loop().time())
        if engine.gone:
            raise EngineUnreachable("refused")
        if engine.error_ratio and self.random.random() < engine.error_ratio:
            return _Response(engine, 500, stream=False)
        if not call.stream:
            await engine.pause(engine.ttft_s + engine.tokens * engine.gap_s)
        return _Response(engine, 200, stream=call.stream)

    async def aclose(self) -> None:
        """Nothing is open."""


class Replicas:
    """A gateway and its engines a, b, c, ..."""

    def __init__(self, count: int = 4, *, ready_at_s: float = 1e9, slo: Slo | None = None) -> None:
        self.engines = {name: Engine() for name in "abcdefgh"[:count]}
        upstream = Engines({f"http://{name}:8000": engine for name, engine in self.engines.items()})
        self.feed = SetFleet(fleet(*[replica(name, ready_at_s=ready_at_s) for name in self.engines]))
        no_spill = {
            name: replace(pool, spill=replace(pool.spill, to=()), slo=slo or pool.slo)
            for name, pool in SETTINGS.pools.items()
        }
        settings = replace(SETTINGS, pools=no_spill, fallbacks={})
        self.world = World(settings, own=upstream, feed=self.feed)  # type: ignore[arg-type]  # another script
        self.gateway = self.world.gateway

    def share(self, since_s: float = 0.0) -> Counter[str]:
        """Calls to each engine since then."""
        return Counter({name: sum(at_s >= since_s for at_s in engine.calls) for name, engine in self.engines.items()})

    async def offer(
        self, rate_per_s: float, seconds: float, *, stream: bool = True, contents: Sequence[str] = ()
    ) -> list[Heard]:
        """Requests at a steady rate, each of another prompt; returns when all have been answered."""
        tasks = []
        for number in range(int(rate_per_s * seconds)):
            content = contents[number % len(contents)] if contents else f"question {number}"
            fields = {"stream": stream, "messages": [{"role": "user", "content": content}]}
            tasks.append(asyncio.create_task(self.world.ask(fields)))
            await asyncio.sleep(1.0 / rate_per_s)
        return list(await asyncio.gather(*tasks))
