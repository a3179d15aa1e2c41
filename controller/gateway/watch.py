"""Keeps what is known of each replica true: what its calls came to, and whether anything still comes out of it.

One timer for all replicas while something is under way. An engine that is found hung goes out of rotation, and whoever
still waits for a first byte there is sent elsewhere, if there is anywhere else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from math import isfinite

from controller.config.settings import Timeouts
from controller.core.errors import (
    EngineUnavailable,
    EngineUnreachable,
    StreamBroken,
    UpstreamError,
    UpstreamRejected,
    UpstreamTimeout,
)
from controller.core.requests import Target
from controller.gateway.exchange import Exchange
from controller.gateway.loads import LiveLoad, Loads, Ticket, Waiter
from controller.gateway.own_pools import OwnPools
from controller.gateway.ports import Clock
from controller.routing.balance import Candidate
from controller.routing.conversations import Place
from controller.routing.ejection import Reason
from controller.routing.progress import UnderWay, first_token_bound_s, is_hung, quiet_bound_s, whole_bound_s

PERIOD_S = 0.5
OWN_PAUSE_S = 2.0  # the timer is later than this: the gateway itself stood still, and nobody can be blamed
_REPLICAS_FAULT = frozenset({"connect", "ttft", "idle"})
_FULL = 503


class Watch:
    """One per gateway."""

    def __init__(self, pools: OwnPools, loads: Loads, timeouts: Timeouts, clock: Clock) -> None:
        self._pools = pools
        self._loads = loads
        self.timeouts = timeouts
        self._now_s = clock.monotonic_s
        self._timer: asyncio.TimerHandle | None = None
        self._looked_s = 0.0

    # calls
    def begin(self, exchange: Exchange, target: Target, found: Candidate, load: LiveLoad, waiter: Waiter) -> Ticket:
        """A call to this replica begins."""
        now_s, profile, predicted_s = self._now_s(), exchange.profile, found.predicted_ttft_s
        ticket = load.start(
            profile.input_tokens_estimate, now_s + predicted_s, stream=profile.stream, tokens=found.tokens
        )
        if load.in_flight == 1:
            load.moved_s = now_s
        load.standing.started(now_s)
        bound_s = self._bound_s(exchange, load, predicted_s if isfinite(predicted_s) else self.timeouts.total_s)
        can_leave = exchange.chain[-1] is not target
        ticket.watched(found, now_s, bound_s, profile.prefixes, can_leave=can_leave)
        ticket.waiter = waiter
        if self._timer is None:
            self._looked_s = now_s
            self._timer = asyncio.get_running_loop().call_later(PERIOD_S, self._tick)
        return ticket

    def resumed(self, before: Ticket | None, load: LiveLoad, input_tokens: int) -> Ticket:
        """An answer under way goes on at this replica; nothing is learnt from its times."""
        now_s = self._now_s()
        ticket = load.start(input_tokens, now_s, stream=True)
        ticket.started_s = ticket.first_token_s = now_s
        ticket.slow_caller = True
        if before is not None:
            ticket.relay, ticket.waiter = before.relay, before.waiter
        ticket.counts_as_computed()
        return ticket

    def _bound_s(self, exchange: Exchange, load: LiveLoad, predicted_s: float) -> float:
        profile = exchange.profile
        if profile.stream:
            return first_token_bound_s(predicted_s, self.timeouts.ttft_s)
        tokens = load.lengths.long_tokens
        if exchange.decoded.facts.max_tokens is not None:
            tokens = min(tokens, exchange.decoded.facts.max_tokens)
        step_s = load.timing.decode_step_s(load.decoding + 1, load.context_tokens + profile.input_tokens_estimate)
        return whole_bound_s(predicted_s, tokens * step_s * load.fit.decode.factor, self.timeouts.total_s)

    def answered(self, exchange: Exchange, target: Target, ticket: Ticket | None) -> None:
        """A call went well, to a replica or to a provider: the conversation is there now."""
        now_s = self._now_s()
        self._pools.conversations.answered(
            exchange.profile.prefixes, Place(target=target.name, replica_id=exchange.replica_id, at_s=now_s)
        )
        if ticket is not None:
            usage = exchange.usage
            tokens = 0 if usage is None or usage.estimated else usage.output_tokens // exchange.decoded.n
            ticket.whole(now_s, tokens)

    def failed(self, load: LiveLoad, error: UpstreamError, started_s: float) -> None:
        """A call to a replica did not go well: whose fault was it?"""
        standing, now_s = load.standing, self._now_s()
        if isinstance(error, EngineUnreachable) or (isinstance(error, UpstreamTimeout) and error.phase == "connect"):
            self._pools.eject(load, Reason.GONE, now_s, started_s=started_s)
        elif isinstance(error, UpstreamTimeout):
            if error.phase in _REPLICAS_FAULT:
                standing.failed()
            else:
                standing.left()
        elif isinstance(error, UpstreamRejected) and (error.status < 500 or error.status == _FULL):
            standing.succeeded()
        elif isinstance(error, UpstreamRejected):
            standing.failed()
        elif isinstance(error, EngineUnavailable | StreamBroken):
            standing.broke(now_s)

    # the timer
    def _tick(self) -> None:
        self._timer = None
        now_s = self._now_s()
        paused, self._looked_s = now_s - self._looked_s > OWN_PAUSE_S, now_s
        busy = False
        for load in [load for _, load in self._loads.all() if load.in_flight]:
            busy = True
            if paused:
                load.moved_s = now_s
                load.excused_s = now_s
            elif load.standing.reason is not Reason.HUNG or now_s >= load.standing.out_until_s:
                self._look(load, now_s)
        self._pools.tidy(now_s)
        if busy:
            self._timer = asyncio.get_running_loop().call_later(PERIOD_S, self._tick)

    def _look(self, load: LiveLoad, now_s: float) -> None:
        """Ejects the replica if it hangs."""
        quiet_s = now_s - _newest_s(load)
        if not is_hung(quiet_s, _under_way(load, now_s)):
            return
        self._pools.eject(load, Reason.HUNG, now_s)
        elsewhere = self._pools.others_than(load, now_s)
        for ticket in list(load.tickets):
            if ticket.relay is None and ticket.waiter is not None and (elsewhere or ticket.can_leave):
                ticket.waiter.expire(UpstreamTimeout("progress", now_s - ticket.started_s))

    def close(self) -> None:
        """Afterwards nothing of it fires any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _newest_s(load: LiveLoad) -> float:
    """When the replica last gave a sign of life."""
    newest_s = load.moved_s
    for ticket in load.tickets:
        if ticket.relay is not None and ticket.waiter is not None:
            newest_s = max(newest_s, ticket.waiter.progressed_s)
            if ticket.relay.sending:
                ticket.slow_caller = True
    return newest_s


def _under_way(load: LiveLoad, now_s: float) -> Iterator[UnderWay]:
    """Every request that waits for the engine rather than for its caller."""
    full_step_s = load.timing.full_step_s(load.decoding, load.context_tokens) * load.fit.decode.factor
    for ticket in load.tickets:
        relay, waiter = ticket.relay, ticket.waiter
        if relay is None:
            since_s, bound_s = ticket.started_s, ticket.bound_s
        elif relay.sending or waiter is None:
            continue
        else:
            since_s, bound_s = waiter.progressed_s, quiet_bound_s(full_step_s)
        yield UnderWay(waited_s=now_s - max(since_s, load.excused_s), bound_s=bound_s)
