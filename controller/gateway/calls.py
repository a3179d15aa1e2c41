"""One call to one place: sends the request, hands the answer on, and leaves counters, breaker and exchange right."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from math import isfinite

from controller.config.settings import Timeouts
from controller.core.errors import RequestError, UpstreamError, UpstreamRejected, UpstreamTimeout
from controller.core.requests import Target
from controller.gateway.admission import Admitted
from controller.gateway.answers import from_upstream, send_whole
from controller.gateway.auth import KeyRevoked
from controller.gateway.breakers import Breakers
from controller.gateway.deadlines import DEADLINE, begin_first_token, patience_s
from controller.gateway.destinations import Destination, Stream
from controller.gateway.dialects.translated_stream import TranslatedStream
from controller.gateway.exchange import Exchange
from controller.gateway.guard import CallerLeft, Guard
from controller.gateway.headers import answer_headers
from controller.gateway.loads import Loads, Ticket
from controller.gateway.metering import Meter
from controller.gateway.ports import Clock, Ledger, Line, UpstreamCall, UpstreamResponse
from controller.gateway.relay import StreamRelay, read_whole, refuse_errors, until_content, without_keys
from controller.gateway.resumable_stream import ResumableStream
from controller.gateway.resume import RESUMPTIONS_MAX, Resumer, is_death
from controller.gateway.watch import Watch
from controller.routing.attempts import Outcome
from controller.routing.balance import Candidate
from controller.routing.key_faults import may_another_key
from controller.telemetry.gateway_metrics import GatewayMetrics

BYTES_PER_TOKEN = 4
ANSWERED, BROKEN, FAILED, LEFT, RESUMED = "answered", "broken", "failed", "caller left", "resumed"
REVOKED = "key revoked"


@dataclass(slots=True, kw_only=True)
class Call:
    """One try under way."""

    exchange: Exchange
    target: Target
    destination: Destination
    place: Admitted
    request: UpstreamCall
    guard: Guard
    line: Line
    started_s: float = 0.0
    ticket: Ticket | None = None
    time_mark_s: float = 0.0
    died: frozenset[str] = frozenset()  # replicas that died while they answered


class Calls:
    """Makes calls; keeps nothing about single ones."""

    def __init__(
        self,
        *,
        breakers: Breakers,
        ledger: Ledger,
        meter: Meter,
        metrics: GatewayMetrics,
        timeouts: Timeouts,
        clock: Clock,
        loads: Loads,
        watch: Watch,
        resumer: Resumer | None = None,
    ) -> None:
        self._loads = loads
        self._watch = watch
        self._resumer = resumer
        self._breakers = breakers
        self._ledger = ledger
        self._meter = meter
        self._metrics = metrics
        self.timeouts = timeouts
        self._clock = clock
        self._now_s = clock.monotonic_s

    async def make(self, call: Call) -> Outcome:
        """What became of it; CallerLeft when nobody waits any more."""
        exchange, place = call.exchange, call.place
        self._enter(call)
        error: UpstreamError | None = None
        whole: bytes | None = None
        try:
            if call.request.stream:
                limit_s = patience_s(exchange, call.target, self.timeouts)
                begin_first_token(exchange, call.guard, limit_s, call.started_s)
                error = await self._stream(call)
            else:
                whole = await self._unary(call)
        except UpstreamError as failed:
            error = without_keys(failed, call.request.headers)
        except (asyncio.CancelledError, CallerLeft, KeyRevoked) as ended:
            why = call.guard.translate() if isinstance(ended, asyncio.CancelledError) else ended
            if not isinstance(why, UpstreamTimeout):
                if place.load is not None:
                    place.load.standing.left()
                if place.credential is not None:
                    place.credential.left()
                label = REVOKED if isinstance(why, KeyRevoked) else LEFT
                self._record(call, label, label, None)
                raise (why if why is not None else ended) from None
            error = why
        finally:
            call.destination.metrics.in_flight -= 1
            self._leave(call)
            if call.ticket is not None:
                call.ticket.relay = None  # they would hold each other until the garbage collector passes
            if place.credential is not None:
                place.credential.ended()
        self._judge(call, error)
        if whole is not None and error is None:
            send_whole(call.line, 200, answer_headers(exchange, call.destination, stream=False), whole)
        return Outcome(
            answered=error is None,
            first_byte_sent=exchange.started,
            error=error,
            another_key=place.other_keys and may_another_key(error),
            replica_id=exchange.replica_id,
        )

    def _enter(self, call: Call) -> None:
        """Afterwards the call is counted in flight, and the exchange says where it is."""
        exchange, place, destination = call.exchange, call.place, call.destination
        now_s = call.started_s = self._now_s()
        replica, predicted_s = place.replica, place.predicted_ttft_s
        exchange.target = call.target
        exchange.replica_id = None if replica is None else replica.replica_id
        exchange.simulated = destination.simulated if replica is None else replica.simulated
        exchange.bought = replica is None
        exchange.predicted_ttft_s = predicted_s if predicted_s is not None and isfinite(predicted_s) else None
        if not exchange.attempts:
            self._metrics.overhead.observe(now_s - exchange.accepted_s - exchange.waited_s)
        if place.credential is None:
            self._breakers.started(place.breaker, now_s)
        else:
            profile = exchange.profile
            place.credential.started(profile.input_tokens_estimate + profile.output_tokens_estimate, now_s)
        destination.metrics.in_flight += 1
        if place.load is not None and place.found is not None:
            call.time_mark_s = place.load.time.enter(now_s)
            call.ticket = self._watch.begin(exchange, call.target, place.found, place.load, call.guard)

    def _leave(self, call: Call) -> None:
        """Afterwards the call is not at its replica any more, and has its share of the GPUs' time."""
        load, pool, exchange = call.place.load, call.target.pool, call.exchange
        if call.ticket is None or load is None or pool is None:
            return
        call.ticket.end()
        share_s = load.time.leave(call.time_mark_s, self._now_s())
        exchange.gpu_s = (exchange.gpu_s or 0.0) + share_s * pool.engine.tensor_parallel
        if call.place.room is not None:
            call.place.room.eased(left=True)

    async def _unary(self, call: Call) -> bytes:
        exchange, destination = call.exchange, call.destination
        response = await destination.upstream.open(call.request)
        try:
            if response.status != 200:
                await refuse_errors(response, self._clock.unix_s())
            body, usage = destination.read_unary(
                await read_whole(response), exchange.decoded, exchange.caller, int(exchange.at_s)
            )
        finally:
            await response.close()
        exchange.usage = usage
        if usage is None:
            self._meter.estimate(exchange, output_tokens=len(body) // BYTES_PER_TOKEN)
        self._meter.price(exchange, destination)
        return body

    async def _stream(self, call: Call) -> UpstreamError | None:
        """None when all of it went through; the error when it broke after its first byte."""
        exchange, destination = call.exchange, call.destination
        response = await destination.upstream.open(call.request)
        source = exchange.resumable
        stream = destination.stream(exchange.decoded, exchange.caller, int(exchange.at_s), source)
        relay: StreamRelay | None = None
        try:
            if response.status != 200:
                await refuse_errors(response, self._clock.unix_s())
            first = await until_content(response, stream)
            resume = None if source is None else lambda error: self._resume(call, source, error)
            relay = StreamRelay(
                response, stream, call.guard, call.line, lambda error: _error_events(call, stream, error), resume=resume
            )
            if call.ticket is not None:
                call.ticket.first_token(self._now_s(), relay)
            if call.place.room is not None:
                call.place.room.eased(left=False)
            exchange.started, exchange.status = True, 200
            await relay.begin(answer_headers(exchange, destination, stream=True), first)
            exchange.ttft_s = self._now_s() - exchange.accepted_s
            return await relay.rest()
        finally:
            if exchange.started:
                self._use(exchange, destination, stream)
            ended = stream.done and stream.error is None
            await (response.close(finished=ended) if relay is None else relay.close(finished=ended))

    async def _resume(self, call: Call, source: ResumableStream, error: UpstreamError) -> UpstreamResponse | None:
        """The response of another replica that goes on; None when none does, and the error stands."""
        pool, place, now_s = call.target.pool, call.place, self._now_s()
        if self._resumer is None or pool is None or not is_death(error) or len(call.died) >= RESUMPTIONS_MAX:
            return None
        died = call.died | {place.breaker}
        try:
            async with asyncio.timeout(min(self.timeouts.ttft_s, max(0.0, call.guard.remaining_s))):
                found = await self._resumer.resumed(pool, call.request, source, died)
        except TimeoutError:
            return None
        if found is None:
            return None
        self._breakers.failed(place.breaker, error, now_s, started_s=call.started_s)
        if place.load is not None:
            self._watch.failed(place.load, error, call.started_s)
        self._record(call, RESUMED, f"{RESUMED} elsewhere: {error}", None)
        self._leave(call)
        call.died = died
        self._move(call, found[1], source.input_tokens)
        return found[0]

    def _move(self, call: Call, candidate: Candidate, input_tokens: int) -> None:
        """Afterwards the call counts as one of the replica that goes on."""
        replica = candidate.replica
        load = self._loads.of(replica.replica_id)
        call.place = Admitted(
            base_url=replica.url,
            breaker=replica.replica_id,
            replica=replica,
            load=load,
            room=call.place.room,
            predicted_ttft_s=candidate.predicted_ttft_s,
        )
        call.started_s, call.exchange.replica_id = self._now_s(), replica.replica_id
        self._breakers.started(replica.replica_id, call.started_s)
        call.time_mark_s = load.time.enter(call.started_s)
        call.ticket = self._watch.resumed(call.ticket, load, input_tokens)
        call.guard.progress()

    def _use(self, exchange: Exchange, destination: Destination, stream: Stream) -> None:
        """What the stream used: the upstream's word when it came to that, else what went by."""
        usage = stream.usage
        if usage is not None and destination.is_anthropic and not stream.done:  # only the start was told
            usage = replace(usage, output_tokens=max(usage.output_tokens, stream.content_events), estimated=True)
        exchange.usage = usage
        if usage is None:
            self._meter.estimate(exchange, output_tokens=stream.content_events)
        self._meter.price(exchange, destination)

    def _judge(self, call: Call, error: UpstreamError | None) -> None:
        """Breaker, attempt record and state of the exchange after a try."""
        exchange, place, now_s = call.exchange, call.place, self._now_s()
        if error is None:
            if place.credential is None:
                self._breakers.succeeded(place.breaker, now_s)
            else:
                place.credential.answered(now_s)
            self._watch.answered(exchange, call.target, call.ticket)
            self._record(call, ANSWERED, ANSWERED, 200)
            exchange.status, exchange.error = 200, None
            return
        if not (isinstance(error, UpstreamTimeout) and error.phase == DEADLINE):  # the caller's hurry is no failure
            if place.credential is None:
                self._breakers.failed(place.breaker, error, now_s, started_s=call.started_s)
            else:
                place.credential.failed(error, call.started_s, now_s)
        elif place.credential is not None:
            place.credential.left()
        if place.load is not None:
            self._watch.failed(place.load, error, call.started_s)
        exchange.error = f"{call.target.name}: {error}"
        status = error.status if isinstance(error, UpstreamRejected) else None
        if exchange.started:
            self._record(call, BROKEN, f"{BROKEN}: {error}", status)
            return
        self._record(call, FAILED, str(error), status)
        if exchange.bought:
            self._ledger.void(exchange.request_id)
            exchange.bought = False

    def _record(self, call: Call, label: str, outcome: str, status: int | None) -> None:
        counts = call.destination.metrics.attempts
        counts[label] = counts.get(label, 0) + 1
        call.exchange.tried(call.target, outcome, status, call.started_s, self._now_s())


def _error_events(call: Call, stream: Stream, error: UpstreamError | RequestError) -> bytes:
    """The end of a stream that broke, or that its caller may not go on with, in the caller's words."""
    exchange = call.exchange
    if isinstance(error, UpstreamError):
        error = from_upstream(without_keys(error, call.request.headers), call.target)
    told = stream.broken(error) if isinstance(stream, TranslatedStream) else None
    return exchange.caller.error_event(error, exchange.header_id) if told is None else told
