"""A fleet without processes: a world that plays traffic on fake ports, second by second."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import date
from pathlib import Path

from fake_ports import FakeClock, FakeEngines, FakeGateway, FakeMemory, FakePlatform, FakeSink, FakeSpec
from loop_values import DRAINING, EXTERNAL, LOCAL, POOL, READY, SPILLING, STEPS, settings

from controller.autoscale.capacity import gpu_seconds_per_request
from controller.config.load import load_settings
from controller.core.fleet import FleetView, PoolView, Replica, RoutingMode
from controller.core.pools import Pool
from controller.core.samples import EngineMetrics, GatewayCounters, PoolCounters, ProviderCounters
from controller.loop.tick import ControlLoop

INPUT_TOKENS, OUTPUT_TOKENS = 200, 100
QUEUE_MAX = 40  # per replica; a gateway refuses what would wait longer
CAPACITY_PER_S = 1.0 / gpu_seconds_per_request(
    STEPS, POOL.engine, POOL.slo, input_tokens=INPUT_TOKENS, output_tokens=OUTPUT_TOKENS
)


class World:
    """Traffic on fake engines, second by second. `offered`: requests per second of each pool."""

    def __init__(self, *pools: Pool, cold_start_s: float = 5.0) -> None:
        self.settings = settings(*pools)
        self.clock = FakeClock()
        self.platform = FakePlatform(self.clock, cold_start_s)
        self.engines, self.gateway, self.spec, self.sink = FakeEngines(), FakeGateway(), FakeSpec(), FakeSink()
        self.memory = FakeMemory()
        self.offered = {pool.name: 0.0 for pool in pools}
        self.backlog: dict[str, float] = {}
        self.gateway_up = True
        self.gateways: tuple[str, ...] = ("gateway",)  # each takes an equal share of the requests
        self.silent: tuple[str, ...] = ()
        self.providers: dict[str, ProviderCounters] = {}
        self.usable = frozenset[str]()
        self._counts = {pool.name: PoolCounters() for pool in pools}
        self.loop = self.new_loop()

    def new_loop(self) -> ControlLoop:
        """A controller that has just started on what there is."""
        self.loop = ControlLoop(
            self.settings,
            platform=self.platform,
            engines=self.engines,
            gateway=self.gateway,
            spec=self.spec,
            sink=self.sink,
            memory=self.memory,
            clock=self.clock,
            usable_providers=self.usable,
        )
        return self.loop

    def stop(self) -> None:
        """The controller was told to end."""
        asyncio.run(self.loop.close())

    def open_market(self) -> None:
        """Work may be bought from one provider with a good key; a controller that has just started knows."""
        built_in = load_settings(None, {}, today=date(2026, 11, 1), state_dir=Path("unused"))
        self.settings = replace(self.settings, models=built_in.models, providers=built_in.providers)
        self.usable = frozenset({"openai"})
        self.providers = {"openai": ProviderCounters(keys_good=1)}
        self.new_loop()

    def forget_counters(self, name: str) -> None:
        """The gateway has started anew."""
        self._counts[name] = PoolCounters()

    def run(self, seconds: int, **offered: float) -> list[PoolView]:
        """Plays that long, one tick a second; the views of the first pool. `llama_8b=2.0`: replicas' worth of load."""
        for name, load in offered.items():
            self.offered[name.replace("_", "-")] = load * CAPACITY_PER_S
        first = next(iter(self.settings.pools))
        return [asyncio.run(self._second()).pools[first] for _ in range(seconds)]

    async def _second(self) -> FleetView:
        self.clock.now_s += 1.0
        self.platform.warm_up()
        for name in self.settings.pools:
            self._play(name)
        busy = {name: round(open_) for name, open_ in self.backlog.items() if round(open_)}
        shares = {name: _share(counts, len(self.gateways)) for name, counts in self._counts.items()}
        counters = GatewayCounters(pools=shares, replica_in_flight=busy, providers=self.providers)
        silent = self.silent if self.gateway_up else self.gateways
        self.gateway.counters = {name: None if name in silent else counters for name in self.gateways}
        return await self.loop.tick()

    def _play(self, name: str) -> None:
        """One second of requests: some leave by the published ratio, some are refused, the others are served."""
        view = (self.sink.last() or FleetView()).pools.get(name, PoolView(name=name))
        there = [one for one in self.platform.replicas.values() if one.pool == name]
        known = {one.replica_id for one in view.replicas if one.state is READY}
        ready = [one for one in there if one.state is READY and one.replica_id in known]
        arrived = self.offered[name]
        leaving = {LOCAL: 0.0, SPILLING: view.spill_ratio, EXTERNAL: 1.0}[view.mode] if ready else 1.0
        reason = view.mode.value.lower() if ready else "no_replica"
        left, refused = arrived * leaving, 0.0
        for one in there:
            open_ = self.backlog.get(one.replica_id, 0.0)
            if one in ready:
                wanted = open_ + (arrived - left) / len(ready)
                open_ = min(wanted, CAPACITY_PER_S + QUEUE_MAX)
                refused += wanted - open_
            self._say(one, open_)
            self.backlog[one.replica_id] = max(0.0, open_ - CAPACITY_PER_S)
        self._count(name, arrived, {reason: left, "saturated": refused})

    def _say(self, one: Replica, open_: float) -> None:
        if one.state not in {READY, DRAINING} or one.ready_at_s is None:
            self.engines.figures.pop(one.url, None)
            return
        share = min(1.0, open_ / CAPACITY_PER_S)
        self.engines.figures[one.url] = EngineMetrics(
            running=round(share * 32), waiting=round(max(0.0, open_ - CAPACITY_PER_S)), kv_cache_usage_ratio=0.6 * share
        )

    def _count(self, name: str, arrived: float, left: Mapping[str, float]) -> None:
        before = self._counts[name]
        self._counts[name] = PoolCounters(
            arrivals=before.arrivals + arrived,
            input_tokens=before.input_tokens + arrived * INPUT_TOKENS,
            output_tokens=before.output_tokens + arrived * OUTPUT_TOKENS,
            spilled={why: before.spilled.get(why, 0.0) + left.get(why, 0.0) for why in {*before.spilled, *left}},
        )


def _share(counts: PoolCounters, gateways: int) -> PoolCounters:
    """What each of so many gateways has counted."""
    return replace(
        counts,
        arrivals=counts.arrivals / gateways,
        input_tokens=counts.input_tokens / gateways,
        output_tokens=counts.output_tokens / gateways,
        spilled={why: count / gateways for why, count in counts.spilled.items()},
    )


def modes(views: Iterable[PoolView]) -> list[RoutingMode]:
    """The modes in order, each once per stay."""
    found: list[RoutingMode] = []
    for view in views:
        if not found or found[-1] is not view.mode:
            found.append(view.mode)
    return found
