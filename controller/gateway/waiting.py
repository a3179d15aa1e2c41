"""Requests that wait for a place in an own pool: a line per pool, woken by whoever leaves the pool, no task of its own.

Who waits holds one future. Whoever leaves a pool wakes the one whose turn it is, and that one, once it has its place,
the next; so nobody is woken for a place that is not there. While somebody waits, one timer per pool looks as well:
places also come free by time (a prompt is computed) and by new replicas.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from controller.core.errors import UpstreamTimeout
from controller.core.pools import Pool
from controller.gateway.deadlines import left_s
from controller.gateway.exchange import Exchange, Late, Skip
from controller.gateway.guard import Guard
from controller.gateway.own_pools import queue_limit_s
from controller.gateway.ports import Clock
from controller.routing.waiting_line import RANKS, Waiter, WaitingLine
from controller.telemetry.gateway_metrics import GatewayMetrics, TargetMetrics

if TYPE_CHECKING:
    from controller.gateway.admission import Admitted

LOOK_S = 0.05
NO_REPLICA_S = 10.0  # a pool at zero shows a warming replica within a few ticks of the controller, or will not
WARMING_MARGIN_S = 5.0
OVERDUE_S = 1.0  # a replica that is due so soon may be long overdue: that is no reason to wait longer than planned
WARMING_MARGIN_RATIO = 0.25  # of what is left of the warming: it is an estimate
SERVED, REFUSED, EXPIRED, LEFT = "served", "refused", "expired", "left"
WORTH_WAITING = frozenset({"saturated", "warming", "no_replica"})

Probe = Callable[[float], "Admitted | Skip"]  # given the time


class Room:
    """The line of one pool, with the futures of those in it."""

    __slots__ = ("_called", "_clock", "_futures", "_longest", "_metrics", "_timer", "_ttft_timeout_s", "line", "pool")

    def __init__(
        self, pool: Pool, metrics: TargetMetrics, clock: Clock, *, longest: int, ttft_timeout_s: float
    ) -> None:
        self.pool = pool
        self.line = WaitingLine(pool.slo.ttft_p95_s)
        self._metrics = metrics
        self._clock = clock
        self._longest = longest
        self._ttft_timeout_s = ttft_timeout_s
        self._futures: dict[Waiter, asyncio.Future[bool]] = {}
        self._called: Waiter | None = None  # woken, and has not looked yet
        self._timer: asyncio.TimerHandle | None = None

    def takes(self, pool: Pool, *, longest: int, ttft_timeout_s: float) -> None:
        """The pool as it is configured from now on; who waits goes on waiting."""
        self.pool, self._longest, self._ttft_timeout_s = pool, longest, ttft_timeout_s
        self.line.slo_s = pool.slo.ttft_p95_s

    def eased(self, *, left: bool) -> None:
        """A request of the pool has left it, or its prompt is computed: there may be a place."""
        if self.line.depth:
            if left:
                self.line.freed(self._clock.monotonic_s())
            self._call_next()

    async def wait(self, exchange: Exchange, guard: Guard, first: Skip, probe: Probe) -> Admitted | Skip:
        """A place, or why there is none: at once when the wait would be too long, UpstreamTimeout when it was.

        `first` is what this request heard when it came; `probe` asks again.
        """
        now_s = self._clock.monotonic_s()
        rank = RANKS[exchange.profile.priority]
        refusal = self._refusal(exchange, first, rank, now_s)
        if refusal is not None:
            return self._counted(refusal)
        waiter = Waiter(rank, now_s, self._until_s(first, now_s, now_s), held=not isinstance(first, Late))
        outcome = LEFT
        try:
            self._enter(waiter)
            place = await self._place(exchange, guard, waiter, probe)
            outcome = REFUSED if isinstance(place, Skip) else SERVED
            return place
        except UpstreamTimeout:
            outcome = EXPIRED
            raise
        finally:
            self._leave(waiter, outcome)
            exchange.waited_s += self._clock.monotonic_s() - now_s
            guard.settle()

    async def _place(self, exchange: Exchange, guard: Guard, waiter: Waiter, probe: Probe) -> Admitted | Skip:
        """Looks each time it is called, and once more when its time is up: a replica may be due by now."""
        while True:
            stays = True
            try:
                stays = await self._turn(exchange, guard, waiter)
            except UpstreamTimeout as why:
                place = probe(self._clock.monotonic_s()) if why.phase == "queue" else None
                if place is None or isinstance(place, Late):
                    raise
                if isinstance(place, Skip) and not self._extend(waiter, place):
                    return place
            else:
                place = probe(self._clock.monotonic_s()) if stays else self._full(self.pool.slo.ttft_p95_s)
            if not stays or not isinstance(place, Skip) or place.code not in WORTH_WAITING:
                return place
            self._extend(waiter, place)
            if self._called is waiter:
                self._called = None

    async def _turn(self, exchange: Exchange, guard: Guard, waiter: Waiter) -> bool:
        """True once it is called, False when it has to yield; UpstreamTimeout when its time is up."""
        by_s, now_s = exchange.first_token_by_s, self._clock.monotonic_s()
        if by_s is not None and by_s <= waiter.until_s:
            guard.begin("deadline", by_s - now_s)
        else:
            guard.begin("queue", waiter.until_s - now_s)
        future = self._futures[waiter] = asyncio.get_running_loop().create_future()
        try:
            stays: bool = await future
        except asyncio.CancelledError as cancelled:
            raise guard.timed_out(cancelled) from None
        return stays

    def _extend(self, waiter: Waiter, place: Skip) -> bool:
        """Whether it may wait longer than it thought."""
        until_s = self._until_s(place, waiter.since_s, self._clock.monotonic_s())
        if until_s <= waiter.until_s:
            return False
        waiter.until_s = until_s
        return True

    def _until_s(self, skip: Skip, since_s: float, now_s: float) -> float:
        """How long it can wait: its patience, or until a replica is due and a little longer."""
        if skip.code == "warming":
            due_s = skip.retry_after_s or 0.0
            if due_s <= OVERDUE_S and now_s > since_s:
                return since_s
            return now_s + due_s * (1.0 + WARMING_MARGIN_RATIO) + WARMING_MARGIN_S
        if skip.code == "no_replica":
            return since_s + (0.0 if self.pool.endpoints or not self.pool.scale.max_replicas else NO_REPLICA_S)
        return since_s + queue_limit_s(self.pool, self._ttft_timeout_s)

    def _refusal(self, exchange: Exchange, skip: Skip, rank: int, now_s: float) -> Skip | None:
        """Why a newcomer may not wait."""
        if not isinstance(skip, Late):
            left = left_s(exchange, now_s)
            is_too_far = left is not None and left < (skip.retry_after_s or 0.0)
            if is_too_far or self._until_s(skip, now_s, now_s) <= now_s:
                return skip
            return self._room_for(rank, skip.retry_after_s or 1.0)
        wait_s = self.line.wait_s(rank, now_s, late_by_s=skip.late_by_s, gap_s=skip.gap_s)
        engine_s = skip.then_s
        patience_s = queue_limit_s(self.pool, self._ttft_timeout_s) - engine_s
        left = left_s(exchange, now_s)
        if left is not None and wait_s > left - engine_s:
            return Skip(
                target=skip.target,
                code="deadline",
                reason=f"a first token is {wait_s + engine_s:.3g} s away, the deadline {max(0.0, left):.3g} s",
                retry_after_s=max(1.0, wait_s + engine_s - left),
            )
        longest_s = self.line.longest_s(patience_s, now_s)
        if wait_s > longest_s:
            return self._full(wait_s - longest_s)
        stale = self.line.stale(rank, now_s)
        if stale is not None and not self._futures[stale].done():
            self._futures[stale].set_result(False)
            return None
        return self._room_for(rank, wait_s)

    def _room_for(self, rank: int, wait_s: float) -> Skip | None:
        """None once there is room for one more: in a full line the newest of a lower class yields."""
        if self.line.depth < self._longest:
            return None
        yields = self.line.last(rank)
        if yields is None:
            return self._full(wait_s)
        future = self._futures[yields]
        if not future.done():
            future.set_result(False)
        return None

    def _full(self, retry_after_s: float) -> Skip:
        return Skip(
            target=self.pool.name,
            code="saturated",
            reason=f"saturated: {self.line.depth} wait for a place already",
            retry_after_s=max(1.0, retry_after_s),
        )

    def _counted(self, refusal: Skip) -> Skip:
        self._count(REFUSED)
        return refusal

    def _count(self, outcome: str) -> None:
        queued = self._metrics.queued
        queued[outcome] = queued.get(outcome, 0) + 1

    # the line
    def _enter(self, waiter: Waiter) -> None:
        self.line.add(waiter)
        self._metrics.waiting = self.line.depth
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(LOOK_S, self._look)

    def _leave(self, waiter: Waiter, outcome: str) -> None:
        """Afterwards it is nowhere, and the next one looks if this one was called."""
        self.line.remove(waiter, self._clock.monotonic_s())
        self._metrics.waiting = self.line.depth
        self._futures.pop(waiter, None)
        self._count(outcome)
        if self._called is waiter:
            self._called = None
            if self.line.depth:  # not at once: the place that was found is taken when this task goes on
                asyncio.get_running_loop().call_soon(self._call_next)
        if not self.line.depth and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(LOOK_S, self._look)
        self._call_next()

    def _call_next(self) -> None:
        if self._called is None:
            waiter = self.line.next(self._clock.monotonic_s())
            if waiter is not None and not self._futures[waiter].done():
                self._called = waiter
                self._futures[waiter].set_result(True)


class Rooms:
    """The rooms of all pools, made on first use."""

    def __init__(self, metrics: GatewayMetrics, clock: Clock, *, longest: int, ttft_timeout_s: float) -> None:
        self._metrics = metrics
        self._clock = clock
        self._longest = longest
        self._ttft_timeout_s = ttft_timeout_s
        self._by_pool: dict[str, Room] = {}

    def reconfigure(self, pools: Mapping[str, Pool], *, longest: int, ttft_timeout_s: float) -> None:
        """The lines by these settings from now on; that of a pool which is gone goes once nobody stands in it."""
        self._longest, self._ttft_timeout_s = longest, ttft_timeout_s
        for name, room in list(self._by_pool.items()):
            pool = pools.get(name)
            if pool is not None:
                room.takes(pool, longest=longest, ttft_timeout_s=ttft_timeout_s)
            elif not room.line.depth:
                del self._by_pool[name]

    def of(self, pool: Pool) -> Room:
        """The room of a pool."""
        room = self._by_pool.get(pool.name)
        if room is None:
            room = self._by_pool[pool.name] = Room(
                pool,
                self._metrics.target(pool.name, is_own=True),
                self._clock,
                longest=self._longest,
                ttft_timeout_s=self._ttft_timeout_s,
            )
        return room
