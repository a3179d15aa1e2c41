"""Drives `routing.attempts` for one request: asks admission for a place, has the call made, says when to give up."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field

from controller.config.settings import Timeouts
from controller.core.errors import UpstreamError, UpstreamRejected, UpstreamTimeout
from controller.core.pools import Pool
from controller.core.requests import Complexity, Operation, Target
from controller.gateway.admission import Admission, Admitted
from controller.gateway.answers import JSON, send_whole
from controller.gateway.cache_salts import CacheSalts
from controller.gateway.calls import Call, Calls
from controller.gateway.deadlines import left_s
from controller.gateway.decode import NotTranslatable
from controller.gateway.destinations import Destination, Destinations
from controller.gateway.dialects import count_tokens
from controller.gateway.exchange import Exchange, Skip
from controller.gateway.guard import Guard
from controller.gateway.headers import limit_headers
from controller.gateway.ports import Clock, Ledger, Line, UpstreamCall
from controller.gateway.refusals import give_up
from controller.gateway.resumable_stream import is_resumable, with_ids
from controller.gateway.retries import Retries
from controller.gateway.waiting import WORTH_WAITING
from controller.routing.attempts import Attempt, Outcome, attempts, is_replica_gone
from controller.routing.key_faults import is_key_refused
from controller.routing.phases import default_temperature
from controller.routing.table import AUTO
from controller.telemetry.gateway_metrics import GatewayMetrics

_TEMPERATURES = {complexity: default_temperature(complexity) for complexity in Complexity}
_NOT_BEGUN = frozenset({429, 503})  # refused at the door, as with a bad key


@dataclass(slots=True, kw_only=True)
class _Run:
    """The tries of one request. `queue` grows by own pools that are late: tried last, rather than not at all."""

    exchange: Exchange
    guard: Guard
    line: Line
    queue: list[Target]
    late: list[Target] = field(default_factory=list)
    error: UpstreamError | None = None
    failed: Target | None = None


def _next(tries: Generator[Attempt, Outcome, None], outcome: Outcome) -> Attempt | None:
    try:
        return tries.send(outcome)
    except StopIteration:
        return None


def _send_estimate(exchange: Exchange, line: Line) -> None:
    """Nobody could count the tokens: what routing reckons with, and the answer says so."""
    exchange.status, exchange.error = 200, None
    ids = (*exchange.caller.id_headers(exchange.header_id), *limit_headers(exchange))
    body = count_tokens.counted(exchange.profile.input_tokens_estimate)
    send_whole(line, 200, [JSON, *ids, (b"x-spillway-estimated", b"true")], body)


class Dispatcher:
    """One per gateway; keeps nothing about single requests but how many retry."""

    def __init__(
        self,
        *,
        admission: Admission,
        calls: Calls,
        destinations: Destinations,
        ledger: Ledger,
        metrics: GatewayMetrics,
        timeouts: Timeouts,
        clock: Clock,
        may_resume: bool = False,
        salts: CacheSalts,
    ) -> None:
        self._salts = salts
        self._may_resume = may_resume
        self._admission = admission
        self._calls = calls
        self._destinations = destinations
        self._ledger = ledger
        self._metrics = metrics
        self._timeouts = timeouts
        self._now_s = clock.monotonic_s
        self._retries = Retries(metrics, clock, ttft_timeout_s=timeouts.ttft_s)
        self.stopping = False

    def reconfigure(self, timeouts: Timeouts, *, may_resume: bool) -> None:
        """Deadlines of tries that begin from now on, and whether their streams may be continued elsewhere."""
        self._timeouts, self._may_resume = timeouts, may_resume
        self._retries.reconfigure(timeouts.ttft_s)

    async def run(self, exchange: Exchange, guard: Guard, line: Line) -> None:
        """Afterwards the caller has an answer; RequestError when no target gave one."""
        self._admission.order(exchange)
        if exchange.operation is Operation.COUNT_TOKENS:
            exchange.chain = exchange.chain[:1]  # another model would count other tokens
        run = _Run(exchange=exchange, guard=guard, line=line, queue=list(exchange.chain))
        tries = attempts(run.queue)
        try:
            attempt = next(tries, None)
            while attempt is not None and (not attempt.again or await self._may_retry(run, attempt)):
                outcome = await self._try(run, attempt)
                if outcome.answered or outcome.first_byte_sent:
                    return
                if outcome.error is not None:
                    run.error, run.failed = outcome.error, attempt.target
                    exchange.spill("failed")
                attempt = _next(tries, outcome)
        finally:
            self._retries.ended(exchange)
        if exchange.operation is Operation.COUNT_TOKENS:
            _send_estimate(exchange, line)
            return
        raise give_up(exchange, None if run.error is None or run.failed is None else (run.error, run.failed))

    async def _may_retry(self, run: _Run, attempt: Attempt) -> bool:
        """What a dead or full upstream never began adds no load elsewhere; all other retries come out of the budget."""
        error = run.error
        left = left_s(run.exchange, self._now_s())
        if self.stopping or run.guard.remaining_s <= 0 or (left is not None and left <= 0):
            return False
        if is_replica_gone(error) or is_key_refused(error):
            return self._retries.free()
        if isinstance(error, UpstreamRejected) and error.status in _NOT_BEGUN:
            return self._retries.free()
        return await self._retries.take(run.exchange, run.guard, self._may_have_room(run, attempt))

    def _may_have_room(self, run: _Run, attempt: Attempt) -> Pool | None:
        """The pool, where another of its replicas has a place for this request or will have one."""
        pool = attempt.target.pool
        if pool is None:
            return None
        place = self._admission.own(run.exchange, pool, attempt.tried_replicas, self._now_s())
        return pool if isinstance(place, Admitted) or place.code in WORTH_WAITING else None

    async def _try(self, run: _Run, attempt: Attempt) -> Outcome:
        exchange, target = run.exchange, attempt.target
        destination = self._destinations.of(target, exchange.operation)
        place = await self._place(run, attempt, destination)
        if isinstance(place, Skip) and self._is_last(run, target) and exchange.operation is not Operation.COUNT_TOKENS:
            try:
                place = await self._wait(run, attempt, place)
            except UpstreamTimeout as late:
                return Outcome(error=late)
        if isinstance(place, Admitted):
            try:
                request = self._request(exchange, destination, place)
            except NotTranslatable as lack:
                self._ledger.void(exchange.request_id)
                place = Skip(target=target.name, code="dialect", reason=f"its API has no word for {lack}")
            else:
                return await self._calls.make(
                    Call(
                        exchange=exchange,
                        target=target,
                        destination=destination,
                        place=place,
                        request=request,
                        guard=run.guard,
                        line=run.line,
                    )
                )
        if place.code in WORTH_WAITING and target.pool is not None and not self._is_last(run, target):
            run.late.append(target)
            run.queue.append(target)
        exchange.passed_over(target, place)
        exchange.spill(place.code)
        return Outcome(skipped=place.reason)

    async def _place(self, run: _Run, attempt: Attempt, destination: Destination) -> Admitted | Skip:
        target, now_s = attempt.target, self._now_s()
        if target.provider is not None:
            return await self._admission.external(run.exchange, target.provider, destination, now_s)
        pool = target.pool
        if pool is None:
            return Skip(target=target.name, code="no_replica", reason="nothing serves it")
        others = () if target in run.late else run.queue[run.queue.index(target) + 1 :]
        return self._admission.own(run.exchange, pool, attempt.tried_replicas, now_s, others=others)

    def _is_last(self, run: _Run, target: Target) -> bool:
        """Whether nothing else is left to try instead."""
        return target in run.late or run.queue[-1] is target

    async def _wait(self, run: _Run, attempt: Attempt, place: Skip) -> Admitted | Skip:
        """The place once there is one, where waiting may help."""
        pool = attempt.target.pool
        if pool is None or place.code not in WORTH_WAITING:
            return place
        return await self._admission.wait(run.exchange, run.guard, pool, attempt.tried_replicas, place)

    def _request(self, exchange: Exchange, destination: Destination, place: Admitted) -> UpstreamCall:
        profile = exchange.profile
        temperature = _TEMPERATURES[profile.complexity] if profile.requested_model == AUTO else None
        body = destination.body(exchange.decoded, temperature)
        if destination.is_own and exchange.operation is not Operation.EMBEDDINGS:
            body = self._salts.salted(body, profile.tenant)
        exchange.resumable = None
        if self._may_resume and destination.is_own and is_resumable(exchange.decoded):
            body = with_ids(body)
            exchange.resumable = destination.resumable(exchange.decoded)
        credential = place.credential
        return UpstreamCall(
            base_url=place.base_url,
            path=destination.path,
            headers=destination.headers if credential is None else destination.headers_with(credential.secret),
            request_id=exchange.request_id,
            body=body,
            stream=profile.stream,
            connect_timeout_s=self._timeouts.connect_s,
        )
