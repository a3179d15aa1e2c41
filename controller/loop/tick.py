"""One tick: observe every pool, decide, act on the platform, publish. Nothing else moves the fleet."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace

import structlog

from controller.config.settings import Settings
from controller.core.errors import SpillwayError
from controller.core.fleet import FleetView, PoolView, Replica, ReplicaState
from controller.core.pools import Pool
from controller.core.samples import EngineMetrics, GatewayCounters, PoolCounters, PoolSample
from controller.loop.demand import DemandWindow
from controller.loop.observe import sample_of, with_metrics
from controller.loop.plan import PoolPlan, PoolState, plan_pool, restored
from controller.loop.ports import Clock, EngineFeed, FleetSink, GatewayFeed, Platform, SpecFeed
from controller.telemetry.controller_metrics import ControllerMetrics

log = structlog.get_logger()

SCRAPED = frozenset({ReplicaState.READY, ReplicaState.DRAINING})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """One pool as observed in this tick."""

    replicas: tuple[Replica, ...]
    engines: Mapping[str, EngineMetrics]
    sample: PoolSample | None


class ControlLoop:
    """The control plane of one fleet. Starts from what its predecessor published and what runs."""

    def __init__(
        self,
        settings: Settings,
        *,
        platform: Platform,
        engines: EngineFeed,
        gateway: GatewayFeed,
        spec: SpecFeed,
        sink: FleetSink,
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._platform = platform
        self._engines = engines
        self._gateway = gateway
        self._spec = spec
        self._sink = sink
        self._now_s = clock.unix_s
        self.view = sink.last() or FleetView()
        self.metrics = ControllerMetrics()
        self._states = {name: restored(self.view.pools.get(name)) for name in settings.pools}
        self._windows = {name: DemandWindow() for name in settings.pools}

    async def tick(self) -> FleetView:
        """Afterwards the fleet is one step closer to what it should be, and the view says so."""
        now_s = self._now_s()
        pools = self._settings.pools
        counters, listings = await asyncio.gather(
            self._gateway.scrape(), asyncio.gather(*(self._list(pool) for pool in pools.values()))
        )
        pins, ordered = self._spec.pins(), self._spec.drains()
        published = {}
        for pool, (replicas, engines) in zip(pools.values(), listings, strict=True):
            seen = self._observe(pool, replicas, engines, counters, now_s)
            pin = pins.get(pool.name)
            plan, self._states[pool.name] = plan_pool(
                pool,
                seen.replicas,
                seen.sample,
                self._states[pool.name],
                pin=pin,
                managed=self._platform.manages(pool),
                drained=_unused(seen, counters),
                ordered=ordered & {one.replica_id for one in seen.replicas},
                now_s=now_s,
            )
            view = _pool_view(pool, seen, plan, self._states[pool.name])
            published[pool.name] = replace(view, pin=pin if pin is not None and now_s < pin.until_s else None)
            self._note(published[pool.name], seen.sample)
            await self._act(pool, plan, now_s)
        self.view = FleetView(revision=self.view.revision + 1, published_at_s=now_s, pools=published)
        self._sink.publish(self.view)
        return self.view

    async def close(self) -> None:
        """Afterwards no connection is open; every replica goes on running."""
        await self._platform.close()
        await self._engines.close()
        await self._gateway.close()

    async def _list(self, pool: Pool) -> tuple[tuple[Replica, ...], dict[str, EngineMetrics]]:
        replicas = await self._platform.list_replicas(pool)
        asked = [one for one in replicas if one.state in SCRAPED]
        answers = await asyncio.gather(*(self._engines.scrape(one.url) for one in asked))
        pairs = zip(asked, answers, strict=True)
        return replicas, {one.replica_id: metrics for one, metrics in pairs if metrics is not None}

    def _observe(
        self,
        pool: Pool,
        replicas: tuple[Replica, ...],
        engines: Mapping[str, EngineMetrics],
        counters: GatewayCounters | None,
        now_s: float,
    ) -> _Seen:
        last = self.view.pools.get(pool.name)
        before = {one.replica_id: one for one in last.replicas} if last is not None else {}
        replicas = tuple(
            with_metrics(one, engines.get(one.replica_id), before.get(one.replica_id), now_s) for one in replicas
        )
        demand = None
        if counters is not None:
            demand = self._windows[pool.name].add(now_s, counters.pools.get(pool.name, PoolCounters()))
        steps = self._settings.step_times.get(pool.name)
        return _Seen(
            replicas=replicas,
            engines=engines,
            sample=sample_of(pool, steps, replicas, engines, demand=demand, now_s=now_s),
        )

    async def _act(self, pool: Pool, plan: PoolPlan, now_s: float) -> None:
        """Carries out the plan; what fails is tried again by the next tick that still wants it."""
        for replica_id in plan.drain:
            await self._platform.mark_draining(replica_id)
            self.metrics.acted(pool.name, "drain")
            log.info("replica_draining", pool=pool.name, replica=replica_id)
        for replica_id in plan.remove:
            await self._platform.remove(replica_id)
            self.metrics.acted(pool.name, "remove")
        for _ in range(plan.start):
            try:
                await self._platform.start(pool)
            except (OSError, SpillwayError) as error:
                self.metrics.acted(pool.name, "start_failed")
                state = self._states[pool.name]
                self._states[pool.name] = replace(state, may_start_at_s=now_s + 10.0)
                log.exception("replica_start_failed", pool=pool.name, error=str(error))
                return
            self.metrics.acted(pool.name, "start")

    def _note(self, view: PoolView, sample: PoolSample | None) -> None:
        """Metrics, and a log line for what changed."""
        self.metrics.observed(view, sample)
        before = self.view.pools.get(view.name)
        if before is None or before.mode is not view.mode:
            log.info(
                "routing_mode", pool=view.name, mode=view.mode, reason=view.mode_reason, spill_ratio=view.spill_ratio
            )
        if before is None or before.desired_replicas != view.desired_replicas:
            log.info("desired_replicas", pool=view.name, replicas=view.desired_replicas, reason=view.decision_reason)


def _unused(seen: _Seen, counters: GatewayCounters | None) -> frozenset[str]:
    """Draining replicas where neither the engine nor the gateway knows of a request; silence is no proof."""
    if counters is None:
        return frozenset()
    idle = (name for name, metrics in seen.engines.items() if metrics.running + metrics.waiting == 0)
    return frozenset(name for name in idle if not counters.replica_in_flight.get(name))


def _pool_view(pool: Pool, seen: _Seen, plan: PoolPlan, state: PoolState) -> PoolView:
    """The pool as gateways shall see it: what was just told to drain already does."""
    replicas = tuple(
        replace(one, state=ReplicaState.DRAINING) if one.replica_id in plan.drain else one
        for one in seen.replicas
        if one.replica_id not in plan.remove
    )
    sample, scale = seen.sample, plan.scale
    words = "" if scale is None else "; ".join((scale.reason, *scale.constraints))
    return PoolView(
        name=pool.name,
        replicas=replicas,
        mode=plan.spill.mode,
        spill_ratio=plan.spill.ratio,
        mode_since_s=state.spill.since_s or 0.0,
        mode_reason=plan.spill.reason,
        saturation_ratio=None if sample is None else sample.saturation_ratio,
        desired_replicas=None if scale is None else scale.replicas,
        decision_reason=words,
    )
