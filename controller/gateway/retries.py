"""Who may try again: at most a share of what is under way; where another replica may do, who finds none left waits.

The wait is that of a first try: highest class first, until the caller's deadline, and no longer than the pool lets
anybody wait. As many may wait as may retry: when everything fails, the others hear of it at once. Called by `dispatch`.
"""

from __future__ import annotations

import asyncio
from collections import deque

from controller.core.pools import Pool
from controller.gateway.deadlines import left_s
from controller.gateway.exchange import Exchange
from controller.gateway.guard import Guard
from controller.gateway.own_pools import queue_limit_s
from controller.gateway.ports import Clock
from controller.routing.attempts import RetryBudget
from controller.routing.waiting_line import RANKS
from controller.telemetry.gateway_metrics import GatewayMetrics

FREE, TAKEN, WAITED, REFUSED = "free", "taken", "waited", "refused"


class Retries:
    """The retry budget of one gateway, and those who wait for it."""

    def __init__(self, metrics: GatewayMetrics, clock: Clock, *, ttft_timeout_s: float) -> None:
        self._metrics = metrics
        self._now_s = clock.monotonic_s
        self._ttft_timeout_s = ttft_timeout_s
        self._budget = RetryBudget()
        self._waiting: tuple[deque[asyncio.Future[None]], ...] = tuple(deque() for _ in RANKS)

    def reconfigure(self, ttft_timeout_s: float) -> None:
        """How long anybody may wait for a retry from now on."""
        self._ttft_timeout_s = ttft_timeout_s

    def free(self) -> bool:
        """A retry that adds no load: only counted."""
        return self._counted(FREE)

    async def take(self, exchange: Exchange, guard: Guard, pool: Pool | None) -> bool:
        """Whether it may try again, which `exchange.retries` remembers; `pool` is where, None for a provider."""
        depth, active = sum(map(len, self._waiting)), self._metrics.in_flight
        if not depth and self._budget.take(active):
            exchange.retries += 1
            return self._counted(TAKEN)
        if pool is None or depth >= self._budget.most(active):
            return self._counted(REFUSED)
        return self._counted(WAITED if await self._waits(exchange, guard, pool) else REFUSED)

    async def _waits(self, exchange: Exchange, guard: Guard, pool: Pool) -> bool:
        """False when its time is up before a retry came free."""
        since_s = self._now_s()
        limit_s, left = queue_limit_s(pool, self._ttft_timeout_s), left_s(exchange, since_s)
        line = self._waiting[RANKS[exchange.profile.priority]]
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        line.append(turn)
        guard.begin("queue", limit_s if left is None else min(limit_s, left))
        try:
            await turn
        except asyncio.CancelledError as cancelled:
            guard.timed_out(cancelled)  # no retry came free
        finally:
            if turn in line:
                line.remove(turn)
            elif not turn.cancelled():  # also of a caller who left at that moment
                exchange.retries += 1
            exchange.waited_s += self._now_s() - since_s
            guard.settle()
        return not turn.cancelled()

    def ended(self, exchange: Exchange) -> None:
        """The request is over: what it took is there for the next."""
        if exchange.retries:
            self._budget.give_back(exchange.retries)
            exchange.retries = 0
            self._call_next()

    def _call_next(self) -> None:
        for line in self._waiting:
            while line:
                if line[0].done():  # cancelled, and has not run since
                    line.popleft()
                elif self._budget.take(self._metrics.in_flight):
                    line.popleft().set_result(None)
                else:
                    return

    def _counted(self, budget: str) -> bool:
        """Whether that means another try."""
        self._metrics.retries[budget] = self._metrics.retries.get(budget, 0) + 1
        return budget != REFUSED
