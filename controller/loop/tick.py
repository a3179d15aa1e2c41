"""One tick: observe every pool, decide, act on the platform, publish. Nothing else moves the fleet."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from math import inf

import structlog

from controller.autoscale.cold_starts import learned
from controller.autoscale.shared_nodes import Claim, Given
from controller.config.changes import Adoption, adopt
from controller.config.settings import Settings
from controller.core.errors import ClusterResting, SpillwayError
from controller.core.fleet import FleetView, PoolView, ReplicaState
from controller.core.pools import Pool
from controller.core.samples import PoolSample
from controller.loop.gateways import Gateways, GatewaysWord
from controller.loop.memory import Memory, MemoryRefused, decoded, encoded, pool_memory
from controller.loop.nodes import SharedNodes, claim_of, claim_unseen
from controller.loop.plan import PoolPlan, after_start, plan_pool, wish_pool
from controller.loop.ports import Clock, EngineFeed, FleetSink, GatewayFeed, MemoryStore, Platform, SpecFeed
from controller.loop.prices import PriceBook
from controller.loop.roster import Roster
from controller.loop.turns import End, Listing, Turn, Word
from controller.loop.views import Seen, pool_view, unused
from controller.telemetry.controller_metrics import ControllerMetrics

log = structlog.get_logger()

SCRAPED = frozenset({ReplicaState.READY, ReplicaState.DRAINING})
KEEP_EVERY_S = 10.0  # and before each change of a pool's size


class ControlLoop:
    """The control plane of one fleet. Starts from what its predecessor published and kept, and what runs.

    `stops_removed`: replicas of a pool that is taken out of the configuration are stopped; else they are left alone.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        platform: Platform,
        engines: EngineFeed,
        gateway: GatewayFeed,
        spec: SpecFeed,
        sink: FleetSink,
        memory: MemoryStore,
        clock: Clock,
        usable_providers: frozenset[str] = frozenset(),
        stops_removed: bool = False,
    ) -> None:
        self.settings = settings
        self._usable = usable_providers
        self._platform = platform
        self._engines = engines
        self._gateway = gateway
        self._spec = spec
        self._sink = sink
        self._memory = memory
        self._now_s = clock.unix_s
        self.view = sink.last() or FleetView()
        self.metrics = ControllerMetrics()
        kept, now_s = self._recalled(), self._now_s()
        self._roster = Roster(
            settings, kept, self.view, now_s, stops=lambda pool: stops_removed and platform.manages(pool)
        )
        self._states, self._watches = self._roster.states, self._roster.watches
        asked = {name: one.asked for name, one in kept.pools.items() if one.asked is not None}
        self._prices = PriceBook(settings, usable_providers, asked)
        self._nodes = SharedNodes(settings, kept.nodes)
        self._kept_at_s = -inf
        self._gateways = Gateways()

    def reconfigure(self, settings: Settings, usable_providers: frozenset[str]) -> Adoption:
        """From the next tick on the fleet is run by these settings; what was learned of pools that stay is kept."""
        adoption = adopt(self.settings, settings)
        self.settings, self._usable = adoption.settings, usable_providers
        return adoption

    def _adopt(self, now_s: float) -> None:
        """Between two ticks: a tick goes by one configuration from its beginning to its end."""
        if self._roster.settings is not self.settings:
            self.metrics.forget(self._roster.adopt(self.settings, self.view, now_s))
            self._nodes.takes(self.settings)
        self._prices.takes(self.settings, self._usable, self._roster.pools)

    async def tick(self) -> FleetView:
        """Afterwards the fleet is one step closer to what it should be, and the view says so."""
        now_s = self._now_s()
        self._adopt(now_s)
        pools = self._roster.pools
        said, listings = await asyncio.gather(
            self._gateway.scrape(),
            asyncio.gather(*(self._list(pool) for pool in pools.values()), return_exceptions=True),
        )
        heard = self._gateways.hear(said)
        self.metrics.gateways({name: one is None for name, one in said.items()})
        if heard is not None:
            self._prices.hear(heard.providers, now_s)
            self.metrics.providers(self._prices.offers.out())
        word = Word(pins=self._roster.pins(self._spec.pins(), now_s), ordered=self._spec.drains())
        turns: dict[str, Turn] = {}
        claims: dict[str, Claim] = {}
        for pool, listing in zip(pools.values(), listings, strict=True):
            turn, claim = self._begin(pool, listing, heard, word, now_s)
            if turn is not None:
                turns[pool.name] = turn
            if claim is not None:
                claims[pool.name] = claim
        given = self._nodes.split(claims, now_s)
        taken = [state.actions.taken for state in self._states.values()]
        ends = {name: self._plan(pool, turns.get(name), given.get(name), heard, now_s) for name, pool in pools.items()}
        if abs(now_s - self._kept_at_s) >= KEEP_EVERY_S or taken != [
            one.actions.taken for one in self._states.values()
        ]:
            self._keep(now_s)
        published = {}
        for pool in pools.values():
            view = await self._end(pool, ends[pool.name], now_s)
            if view is not None:
                published[pool.name] = view
        gone = self._roster.left(published, self.view, now_s)
        self.metrics.forget(gone)
        published = {name: view for name, view in published.items() if name not in gone}
        gateways = 1 if heard is None else heard.answering
        self.view = FleetView(revision=self.view.revision + 1, published_at_s=now_s, gateways=gateways, pools=published)
        self._sink.publish(self.view)
        return self.view

    def _begin(
        self, pool: Pool, listing: Listing | BaseException, heard: GatewaysWord | None, word: Word, now_s: float
    ) -> tuple[Turn | None, Claim | None]:
        """What a pool is seen to be and wishes to be; what goes wrong in it stays with this pool."""
        with self._alone(pool):
            if isinstance(listing, BaseException):
                raise listing
            before = self.view.pools.get(pool.name)
            seen = self._watches[pool.name].look(*listing, heard, before, now_s)
            return self._wish(pool, seen, word, now_s)
        return None, claim_unseen(pool, self.view.pools.get(pool.name))

    def _plan(
        self, pool: Pool, turn: Turn | None, given: Given | None, heard: GatewaysWord | None, now_s: float
    ) -> End | None:
        """What is to be done of what was wished and given; None where that fails, or the turn has."""
        with self._alone(pool):
            if turn is None:
                return None
            seen = turn.seen
            plan, state = plan_pool(
                pool,
                seen.replicas,
                turn.wish,
                self._states[pool.name],
                given=given,
                drained=unused(seen, heard),
                now_s=now_s,
            )
            self._states[pool.name] = state
            view = replace(pool_view(pool, seen, plan, state, self._prices.words(pool)), pin=turn.wish.pin)
            return End(plan=plan, view=view, sample=seen.sample)
        return None

    async def _end(self, pool: Pool, end: End | None, now_s: float) -> PoolView | None:
        """Carries out what is to be done; the last view stands where that fails, or nothing is known."""
        with self._alone(pool):
            if end is not None:
                self._note(end.view, end.sample)
                await self._act(pool, end.plan, now_s)
                return end.view
        return self.view.pools.get(pool.name)

    def _recalled(self) -> Memory:
        """What an earlier controller has kept; nothing where there is none, or it is refused."""
        now_s, data = self._now_s(), self._memory.last()
        if data is not None:
            try:
                return decoded(data, now_s)
            except MemoryRefused as refused:
                log.warning("controller_memory_refused", reason=str(refused))
        return Memory(at_s=now_s)

    def _keep(self, now_s: float) -> None:
        """Afterwards a successor can go on from here."""
        pools = {name: pool_memory(state, self._prices.asked.get(name)) for name, state in self._states.items()}
        self._memory.keep(encoded(Memory(at_s=now_s, pools=pools, nodes=self._nodes.states)))
        self._kept_at_s = now_s

    @contextmanager
    def _alone(self, pool: Pool) -> Iterator[None]:
        """What goes wrong in here ends its pool's part of the tick, not the tick."""
        try:
            yield
        except Exception:  # a defect ends its pool's part of the tick, not the tick
            self.metrics.acted(pool.name, "turn_failed")
            log.exception("pool_failed", pool=pool.name)

    def _wish(self, pool: Pool, seen: Seen, word: Word, now_s: float) -> tuple[Turn, Claim | None]:
        """What the pool would have if it were alone, and what that asks of nodes that it shares."""
        state, managed, prior_s = self._states[pool.name], self._platform.manages(pool), pool.scale.cold_start_s
        if managed:
            state = replace(state, cold_starts=learned(state.cold_starts, seen.replicas, prior_s))
        cold_start_s = state.cold_starts.priced_s(prior_s)
        prices = self._prices.now(pool, seen.sample, cold_start_s=cold_start_s)
        wish, self._states[pool.name] = wish_pool(
            pool,
            seen.replicas,
            seen.sample,
            state,
            pin=word.pins.get(pool.name),
            managed=managed,
            ordered=word.ordered & {one.replica_id for one in seen.replicas},
            prices=prices,
            now_s=now_s,
        )
        claim = claim_of(pool, wish, seen.replicas, seen.sample, prices=prices, cold_start_s=cold_start_s)
        return Turn(seen=seen, wish=wish), claim

    async def close(self) -> None:
        """Afterwards what was learned is kept and no connection is open; every replica goes on running."""
        self._keep(self._now_s())
        await self._platform.close()
        await self._engines.close()
        await self._gateway.close()

    async def _list(self, pool: Pool) -> Listing:
        replicas = await self._platform.list_replicas(pool)
        asked = [one for one in replicas if one.state in SCRAPED]
        answers = await asyncio.gather(*(self._engines.scrape(one.url) for one in asked))
        pairs = zip(asked, answers, strict=True)
        return replicas, {one.replica_id: metrics for one, metrics in pairs if metrics is not None}

    async def _act(self, pool: Pool, plan: PoolPlan, now_s: float) -> None:
        """Carries out the plan; what fails is tried again by the next tick that still wants it."""
        for replica_id in plan.drain:
            if await self._do(pool, "drain", self._platform.mark_draining(replica_id)):
                log.info("replica_draining", pool=pool.name, replica=replica_id)
        for replica_id in plan.remove:
            await self._do(pool, "remove", self._platform.remove(replica_id))
        for _ in range(plan.start):
            started = await self._do(pool, "start", self._platform.start(pool))
            self._states[pool.name] = after_start(self._states[pool.name], started=started, now_s=now_s)
            if not started:
                return

    async def _do(self, pool: Pool, action: str, work: Awaitable[object]) -> bool:
        """Whether it was done; a failure is counted and logged, and holds up nothing else."""
        try:
            await work
        except ClusterResting:
            self.metrics.acted(pool.name, f"{action}_rests")
            return False
        except (OSError, SpillwayError) as error:
            self.metrics.acted(pool.name, f"{action}_failed")
            log.exception("action_failed", pool=pool.name, action=action, error=str(error))
            return False
        self.metrics.acted(pool.name, action)
        return True

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
