"""The whole scene of a row: a gateway process, its stubs, a watcher, and everything that callers were told."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.faults import books, caller, gateway_process
from tests.faults.caller import Leave, Told
from tests.faults.gateway_process import POOL, GatewayProcess, Setup
from tests.faults.good_caller import Service, service
from tests.faults.real_engine import RealEngine
from tests.faults.stub import Served, Stub, running
from tests.faults.stub_scripts import answer
from tests.faults.watcher import Watcher, watch

WARM_UP = 10
SETTLED_S = 2.0
IDLE_CLOSED_S = 2.0  # by when the real engine has closed what nobody uses


@dataclass(frozen=True, kw_only=True)
class Canaries:
    """Words that must never turn up where they do not belong."""

    prompt: str
    completion: str
    provider_key: str

    @classmethod
    def fresh(cls) -> Canaries:
        """New ones, which nothing else contains."""
        word = secrets.token_hex(6)
        return cls(prompt=f"canary-prompt-{word}", completion=f"canary-word-{word}-", provider_key=f"canary-key-{word}")


@dataclass
class World:
    """Everything a row works with."""

    gateway: GatewayProcess
    engines: Sequence[Stub | RealEngine]
    providers: Sequence[Stub]
    canaries: Canaries
    watcher: Watcher
    setup: Setup
    told: list[Told] = field(default_factory=list)
    offered: int = 0
    tasks: set[asyncio.Task[Told]] = field(default_factory=set)

    @property
    def deadline_s(self) -> float:
        """How long callers wait for their answer."""
        is_real = any(isinstance(engine, RealEngine) for engine in self.engines)
        return caller.REAL_DEADLINE_S if is_real else caller.DEADLINE_S

    @property
    def stubs(self) -> Sequence[Stub | RealEngine]:
        """All upstreams."""
        return (*self.engines, *self.providers)

    @property
    def calls(self) -> list[Served]:
        """Everything that any stub was asked."""
        for engine in self.engines:
            if isinstance(engine, RealEngine):
                engine.note_calls()
        return sorted((call for stub in self.stubs for call in stub.calls), key=lambda call: call.began_s)

    @property
    def provider_names(self) -> set[str]:
        """Those whose calls cost money."""
        return {stub.name for stub in self.providers}

    def request(
        self, *, stream: bool, model: str = POOL, fields: Mapping[str, object] | None = None, **headers: str
    ) -> bytes:
        """A chat request with the canary in its prompt."""
        messages = [{"role": "user", "content": f"Say something about {self.canaries.prompt}"}]
        document = {"model": model, "messages": messages, "max_tokens": 1000, "stream": stream, **(fields or {})}
        return caller.request_bytes(self.gateway.key, document, **headers)

    async def ask(
        self,
        *,
        stream: bool = True,
        model: str = POOL,
        leave: Leave | None = None,
        fields: Mapping[str, object] | None = None,
        at: GatewayProcess | None = None,
        **headers: str,
    ) -> Told:
        """One request, which the invariants will look at. `at`: another gateway on the same books."""
        self.offered += 1
        request = self.request(stream=stream, model=model, fields=fields, **headers)
        port = (at or self.gateway).port
        told = await caller.ask(port, request, stream=stream, leave=leave, deadline_s=self.deadline_s)
        self.told.append(told)
        return told

    async def ask_many(self, count: int, **options: object) -> list[Told]:
        """As many at once."""
        return list(await asyncio.gather(*(self.ask(**options) for _ in range(count))))  # type: ignore[arg-type]

    def asking(self, **options: object) -> asyncio.Task[Told]:
        """One request under way."""
        task = asyncio.create_task(self.ask(**options))  # type: ignore[arg-type]
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    async def service(self, seconds: float) -> Service:
        """How a well-behaved caller fares for some time; all its requests must be answered."""
        found = await service(self.gateway.port, self.request(stream=False), seconds)
        self.offered += found.count
        return found

    async def ledger(self) -> dict[str, books.LedgerRow]:
        """The ledger, once what callers were told is in it."""
        ids = [one.request_id for one in self.told if one.request_id and "x-spillway-target" in one.headers]
        return await books.when_written(self.gateway.books, ids)

    async def gauge(self, name: str) -> float:
        """Sum over all series of one metric."""
        found = await self.gateway.metrics()
        return sum(value for series, value in found.items() if series == name or series.startswith(name + "{"))


async def eventually(check: Callable[[], object], *, within_s: float, every_s: float = 0.01) -> float:
    """Seconds until `check()` was true; fails when the deadline passes first."""
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    while True:
        value = check()
        if asyncio.iscoroutine(value):
            value = await value
        if value:
            return loop.time() - began_s
        assert loop.time() - began_s < within_s, f"not true within {within_s} s"
        await asyncio.sleep(every_s)


async def warm_up(world: World) -> None:
    """Afterwards every target has answered both kinds of request, and code paths and connections are warm."""
    few = {"max_tokens": 5} if any(isinstance(engine, RealEngine) for engine in world.engines) else {}
    bad: list[Told] = []  # of the last of each: a ledger just opened on a busy machine may refuse a first purchase
    for model in (POOL, *(stub.name for stub in world.providers)) if world.engines else world.provider_names:
        for _ in range(WARM_UP):
            asks = (world.ask(stream=stream, model=model, fields=few) for stream in (True, False))
            last = await asyncio.gather(*asks)
        bad += [told for told in last if told.end != caller.ANSWERED]
    assert not bad, f"the warm-up failed: {bad[0]}"
    for stub in world.stubs:
        stub.drop_idle()


@contextlib.asynccontextmanager
async def world(
    folder: Path,
    *,
    engines: int = 1,
    providers: Mapping[str, str] | None = None,
    setup: Setup | None = None,
    front: Callable[[Sequence[Stub]], Sequence[str]] | None = None,
    names: Mapping[str, str] | None = None,
    real: Sequence[RealEngine] = (),
    canaries: Canaries | None = None,
) -> AsyncIterator[World]:
    """A warm gateway with so many engines and these providers (name -> dialect); afterwards nothing is left running.

    `front` gives the addresses under which the gateway sees the engines, for those that stand behind a proxy; `names`
    the names of providers' hosts, where they have one. `real` engines, which are up and whose model has the canary in
    its words, take the place of the stub engines.
    """
    canaries = canaries or Canaries.fresh()
    dialects = dict(providers or {})
    numbers = range(1, 1 if real else engines + 1)
    made = [Stub(f"engine-{number}", answer(), marker=canaries.completion) for number in numbers]
    outside = [Stub(name, answer(), marker=canaries.completion, drains=True) for name in dialects]
    for stub in outside:
        stub.name_at = (names or {}).get(stub.name, stub.name_at)
    async with running(*made, *outside), contextlib.AsyncExitStack() as stack:
        seen = [engine.url for engine in (real or made)] if front is None else list(front(made))
        full = replace(setup or Setup(), engines=seen, providers=gateway_process.of_stubs(outside, dialects))
        gateway = gateway_process.start(folder, full, canaries.provider_key)
        stack.callback(gateway.stop)
        await gateway.ready()
        watcher = await watch(gateway.admin_port)
        stack.push_async_callback(watcher.stop)
        scene = World(gateway, real or made, outside, canaries, watcher, full)
        await warm_up(scene)
        await asyncio.sleep(IDLE_CLOSED_S if real else 0.0)
        yield scene
        for task in list(scene.tasks):
            task.cancel()
