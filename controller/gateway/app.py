"""The data plane as one callable: route table, body, and the path auth > decode > classify > choose > attempt.

Routes come from the raw path and nothing else; what is not on the table is 404. Every route needs a key.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from itertools import count

import structlog

from controller.config.changes import Adoption, adopt
from controller.config.settings import Settings
from controller.core.errors import RequestError, UpstreamTimeout
from controller.core.secret import Secret
from controller.core.tenants import policy_of
from controller.gateway.answers import JSON, send_error, send_whole
from controller.gateway.auth import Doorman, KeyRevoked, credential
from controller.gateway.deadlines import bind
from controller.gateway.dialects.messages_caller import MESSAGES_CALLER
from controller.gateway.dialects.openai_caller import OPENAI_CALLER
from controller.gateway.exchange import Exchange
from controller.gateway.guard import Alarms, CallerLeft, Guard
from controller.gateway.headers import refusal_headers
from controller.gateway.idempotency import Idempotency
from controller.gateway.idempotent_answers import IdempotentAnswers
from controller.gateway.json_body import too_large
from controller.gateway.model_list import ModelList
from controller.gateway.open_answers import OpenAnswers
from controller.gateway.parts import Parts
from controller.gateway.ports import Clock, FleetFeed, IdempotencyClaims, KeyStore, Ledger, LimitRows, Line, Upstream
from controller.gateway.rate_headers import rate_headers
from controller.gateway.recording import RecordedLine
from controller.gateway.refusals import gateway_full, internal, slow_body, wrong_method
from controller.gateway.request_body import is_worth_reading, read_body
from controller.gateway.routes import MODELS, ROUTES, Route, unknown_route
from controller.gateway.tables import Plans, routing_table
from controller.gateway.wishes import HeaderMap
from controller.routing.classify import classify, known_tasks
from controller.routing.table import RoutingTable

log = structlog.get_logger()

NOT_BEGUN = frozenset({"no_target_available", "upstream_unavailable", "overloaded"})


class Gateway:
    """Everything that one gateway process knows; `cli/wiring.py` hands it its adapters."""

    def __init__(
        self,
        settings: Settings,
        *,
        keys: KeyStore,
        ledger: Ledger,
        limits: LimitRows,
        claims: IdempotencyClaims,
        fleet: FleetFeed,
        own: Upstream,
        external: Upstream,
        provider_keys: Mapping[str, Sequence[Secret]],
        engine_key: Secret | None = None,
        usable_providers: frozenset[str],
        clock: Clock,
    ) -> None:
        self.ledger = ledger
        self._door = Doorman(keys)
        self._clock = clock
        self._upstreams = (own, external)
        self.parts = parts = Parts(
            settings,
            ledger=ledger,
            limits=limits,
            fleet=fleet,
            own=own,
            external=external,
            provider_keys=provider_keys,
            engine_key=engine_key,
            pepper=keys.pepper,
            clock=clock,
        )
        self.metrics, self.replica_metrics = parts.metrics, parts.replica_metrics
        self.loads, self.breakers, self.credentials = parts.loads, parts.breakers, parts.credentials
        self.pools, self.rate_limits = parts.pools, parts.rate_limits
        self._meter, self._dispatcher = parts.meter, parts.dispatcher
        self.open_answers = OpenAnswers(keys)
        self._alarms = Alarms()
        self._id_prefix = f"req-{secrets.token_hex(5)}-"
        self._ids = count(1)
        self._take(settings, routing_table(settings, usable_providers))
        timeouts = self._timeouts
        self._idempotency = Idempotency(
            IdempotentAnswers(claims, clock, pepper=keys.pepper, idle_s=timeouts.idle_s, heard=self.metrics.idempotent),
            door=self._door,
            answer=self._serve,
            request_id=self.request_id,
            refused=self.metrics.refused,
            body_bytes=self._caps.body_bytes,
            body_s=timeouts.body_s,
        )

    def _take(self, settings: Settings, table: RoutingTable) -> None:
        """What each request looks at first."""
        self.settings = settings
        self._caps, self._timeouts = settings.gateway.caps, settings.gateway.timeouts
        self._plans, self._models = Plans(table), ModelList(table)
        self._tasks, self._tenants = known_tasks(settings.rules), settings.tenants

    def reconfigure(self, settings: Settings, usable_providers: frozenset[str]) -> Adoption:
        """Requests that come from now on go by these settings, those under way by what they were planned with."""
        before, adoption = self.settings, adopt(self.settings, settings)
        settings = adoption.settings
        table = routing_table(settings, usable_providers)
        self.parts.reconfigure(before, settings)
        self._take(settings, table)
        caps, timeouts = self._caps, self._timeouts
        self._idempotency.reconfigure(body_bytes=caps.body_bytes, body_s=timeouts.body_s, idle_s=timeouts.idle_s)
        return adoption

    # life
    @property
    def draining(self) -> bool:
        """Told to stop: not ready any more, but what is under way goes on."""
        return self.metrics.draining

    def drain(self) -> None:
        """Afterwards the gateway says that it is not ready."""
        self.metrics.draining = True

    def abort(self) -> int:
        """The drain deadline has passed: every open answer ends with an error now. How many those were."""
        self._dispatcher.stopping = True
        return self.open_answers.expire(UpstreamTimeout("drain", self.settings.gateway.drain_s))

    async def aclose(self) -> None:
        """Afterwards no connection to an upstream is open."""
        self.parts.watch.close()
        self.abort()  # answers that nobody listens to are still under way
        await self._idempotency.aclose()
        for upstream in self._upstreams:
            await upstream.aclose()

    # requests
    async def __call__(self, line: Line) -> None:
        """One request."""
        route = ROUTES.get(line.path)
        if route is not None and line.method == b"POST":
            await self._serve(route, line)
        else:
            self._elsewhere(line, route)

    def request_id(self) -> str:
        """A new one; never a caller's."""
        return f"{self._id_prefix}{next(self._ids):07x}"

    def _elsewhere(self, line: Line, route: Route | None) -> None:
        """Everything that is not an inference call: the model list, or a refusal."""
        path, header_id = line.path, self.request_id().encode()
        headers: HeaderMap = dict(line.headers)
        caller = MESSAGES_CALLER if b"anthropic-version" in headers else OPENAI_CALLER
        try:
            if path == MODELS or path.startswith(MODELS + b"/"):
                key = self._door.admit(credential(headers))
                if line.method != b"GET":
                    raise wrong_method("GET")
                body = self._models.answer(
                    path[len(MODELS) + 1 :], caller.dialect, policy_of(self._tenants, key.tenant).reach
                )
                rates = self.rate_limits.of(key.tenant)
                limits = [] if rates is None else rate_headers(rates, caller.dialect)
                send_whole(line, 200, [JSON, *caller.id_headers(header_id), *limits], body)
                return
            if route is not None:
                raise wrong_method("POST")
            raise unknown_route()
        except RequestError as error:
            self.metrics.refused[error.status] = self.metrics.refused.get(error.status, 0) + 1
            send_error(line, error, caller, header_id)

    async def _serve(self, route: Route, line: Line) -> None:
        clock, headers = self._clock, dict(line.headers)
        if b"idempotency-key" in headers and not isinstance(line, RecordedLine):
            await self._idempotency.serve(route, headers, line)
            return
        request_id = self.request_id()
        exchange = Exchange(
            request_id=request_id,
            header_id=request_id.encode(),
            accepted_s=clock.monotonic_s(),
            at_s=clock.unix_s(),
            operation=route.operation,
            caller=route.caller,
        )
        metrics = self.metrics
        metrics.in_flight += 1
        try:
            await self._answer(exchange, headers, line)
        except RequestError as error:
            exchange.error = exchange.error or error.message
            if isinstance(error, KeyRevoked):
                self._meter.bill_unheard(exchange)
            else:
                exchange.usage = None
            if not exchange.started:
                exchange.status = error.status
                extra = refusal_headers(exchange)
                if error.status == 413 and not is_worth_reading(headers):
                    extra.append((b"connection", b"close"))
                send_error(line, error, exchange.caller, exchange.header_id, extra)
        except CallerLeft:
            self._meter.left(exchange)
        except Exception:  # a defect ends its request, not the process
            log.exception("request_failed", request_id=request_id)
            exchange.status, exchange.error = 500, "internal error"
            if not exchange.started:
                exchange.usage = None
                send_error(line, internal(), exchange.caller, exchange.header_id)
        finally:
            metrics.in_flight -= 1
            self._meter.finish(exchange)

    async def _replanned(self, exchange: Exchange, guard: Guard, line: Line, error: RequestError) -> None:
        """Nobody of the old plan could begin, and the configuration has changed meanwhile: the new one is tried."""
        try:
            exchange.planned(self._plans.of(exchange.profile))
        except RequestError:
            raise error from None
        await self._dispatcher.run(exchange, guard, line)

    async def _answer(self, exchange: Exchange, headers: HeaderMap, line: Line) -> None:
        exchange.key = key = self._door.admit(credential(headers))
        caps = self._caps
        if self.metrics.in_flight > caps.in_flight:
            raise gateway_full(caps.in_flight)
        guard = Guard(self._timeouts.total_s, self._timeouts.idle_s, self._alarms)
        self.open_answers.add(guard, exchange)
        try:
            body = line.whole_body()
            if body is None:
                body = await read_body(headers, line, caps.body_bytes, self._timeouts.body_s)
            elif len(body) > caps.body_bytes:
                raise too_large(caps.body_bytes)
            guard.settle()
            guard.watch(line)
            decoded = exchange.decoded = exchange.caller.decode(exchange.operation, headers, body, key.tenant, caps)
            exchange.profile = classify(decoded.facts, self._tasks, policy_of(self._tenants, key.tenant))
            exchange.classified = True
            bind(exchange, guard, self._clock.monotonic_s())
            plans = self._plans
            exchange.planned(plans.of(exchange.profile))
            rates = self.rate_limits.of(key.tenant)
            if rates is not None:
                await self.rate_limits.admit(exchange, rates)
            self._meter.arrived(exchange)
            try:
                await self._dispatcher.run(exchange, guard, line)
            except RequestError as error:
                if plans is self._plans or exchange.started or error.code not in NOT_BEGUN:
                    raise
                await self._replanned(exchange, guard, line, error)
        except asyncio.CancelledError as cancelled:
            guard.timed_out(cancelled)
            raise (CallerLeft() if exchange.classified else slow_body(self._timeouts.body_s)) from None
        finally:
            self.open_answers.remove(guard)
            guard.close()
