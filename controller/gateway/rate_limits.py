"""Keeps tenants within their requests and tokens per minute; the hot path is memory only.

A request that finds too little leased waits for one round with the database, which serves all that wait. When the
database does not answer in time, own pools stay open, for they cost nothing, and external targets are closed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import structlog

from controller.core.errors import RequestError
from controller.core.rate_limits import LimitRow, LimitsUnavailable
from controller.core.requests import Operation
from controller.core.tenants import TenantPolicy, policy_of
from controller.gateway.exchange import Exchange
from controller.gateway.ports import Clock, LimitRows
from controller.gateway.tenant_rates import REQUESTS, TOKENS, TenantRates
from controller.telemetry.gateway_metrics import GatewayMetrics

log = structlog.get_logger()

WAIT_S = 0.5  # for the database, within a request
TICK_S = 1.0  # between rounds that nobody asked for
PAUSE_S = 0.05  # at least, unless somebody waits
RETRY_S = 0.5  # while the database does not answer


class RateLimits:
    """One per gateway."""

    def __init__(
        self, tenants: Mapping[str, TenantPolicy], rows: LimitRows, clock: Clock, metrics: GatewayMetrics
    ) -> None:
        self._tenants = tenants
        self._rows = rows
        self._clock = clock
        self._metrics = metrics
        self._rates: dict[str, TenantRates | None] = {}
        self._active: dict[str, TenantRates] = {}
        self._wake = asyncio.Event()
        self._blind = False

    def reconfigure(self, tenants: Mapping[str, TenantPolicy]) -> None:
        """The limits from now on; what was used of this minute counts under the new ones too."""
        self._tenants = tenants
        for name, rates in list(self._rates.items()):
            policy = policy_of(tenants, name)
            limited = policy.requests_per_min is not None or policy.tokens_per_min is not None
            if rates is None or not limited:
                del self._rates[name]
            if rates is not None:
                rates.reconfigure(policy)

    def of(self, tenant: str) -> TenantRates | None:
        """The tenant's, None when it has no such limit."""
        try:
            return self._rates[tenant]
        except KeyError:
            policy = policy_of(self._tenants, tenant)
            limited = policy.requests_per_min is not None or policy.tokens_per_min is not None
            rates = TenantRates(tenant, policy, self._clock) if limited else None
            self._rates[tenant] = rates
            return rates

    async def admit(self, exchange: Exchange, rates: TenantRates) -> None:
        """Afterwards the request is counted, and its plan is own targets only if it went blind; or RequestError."""
        tokens = _tokens(exchange)
        exchange.rates = rates
        rates.roll()
        if rates.take(tokens) or await self._wait(rates, tokens):
            exchange.rate_minute, exchange.rate_tokens = rates.minute, tokens
            if rates.is_low:
                self._wake.set()
        else:
            self._go_blind(exchange, rates, tokens)

    async def run(self) -> None:
        """Moves slices between gateway and database until cancelled."""
        while True:
            try:
                async with asyncio.timeout(TICK_S):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()
            if not await self._round():
                await asyncio.sleep(RETRY_S)
            elif not any(rates.waiting for rates in self._active.values()):
                await asyncio.sleep(PAUSE_S)

    async def _wait(self, rates: TenantRates, tokens: int) -> bool:
        """Whether it was taken after a round or more; RequestError when there is not enough left of the minute."""
        if rates.tokens is not None and tokens > rates.tokens.limit:
            raise self._too_large(rates, tokens)
        rates.waiting.append(tokens)
        self._active[rates.tenant] = rates
        try:
            async with asyncio.timeout(WAIT_S):
                while not self._blind:
                    now_s = rates.roll()
                    kind = rates.exhausted(tokens, now_s)
                    if kind is not None:
                        raise self._refusal(rates, kind, tokens, now_s)
                    if rates.round is None:
                        rates.round = asyncio.get_running_loop().create_future()
                    self._wake.set()
                    await asyncio.shield(rates.round)
                    rates.roll()
                    if rates.take(tokens):
                        return True
        except TimeoutError:
            pass
        finally:
            rates.waiting.remove(tokens)
        return False

    async def _round(self) -> bool:
        """Whether the database answered."""
        moves = [(rates, move) for rates in self._active.values() for move in rates.moves(probe=self._blind)]
        waiters = [rates.round for rates in self._active.values() if rates.round is not None]
        for rates in self._active.values():
            rates.round = None
        rows: Sequence[LimitRow] = []
        try:
            if moves:
                rows = await self._rows.move([move for _, move in moves])
                self._blind = False
        except LimitsUnavailable as error:
            if not self._blind:
                log.warning("limits_unavailable", error=str(error))
            self._blind = True
        for (rates, move), row in zip(moves, rows, strict=False):
            rates.moved(move, row)
        for waiter in waiters:
            waiter.set_result(None)
        self._active = {name: rates for name, rates in self._active.items() if not rates.is_idle}
        return not self._blind

    def _go_blind(self, exchange: Exchange, rates: TenantRates, tokens: int) -> None:
        """The request goes to own targets, uncounted by others; RequestError when it has none or is one too many."""
        own = tuple(target for target in exchange.plan if target.pool is not None)
        if not own:
            raise RequestError(
                "the limits of this tenant cannot be looked up now, so nothing external may be called",
                status=503,
                code="limits_unavailable",
                kind="server_error",
                retry_after_s=RETRY_S,
            )
        kind = rates.take_blind(tokens)
        if kind is not None:
            raise self._refusal(rates, kind, tokens, rates.roll())
        exchange.planned(own)

    def _refusal(self, rates: TenantRates, kind: str, tokens: int, now_s: float) -> RequestError:
        self._metrics.rate_limited(rates.tenant, kind)
        allowance, amount = (rates.requests, 1) if kind == REQUESTS else (rates.tokens, tokens)
        if allowance is None:
            raise ValueError(f"no limit on {kind}")
        wait_s = allowance.frees_after_s(amount, now_s)
        words = f"{amount} tokens are asked for, {allowance.remaining} are left; " if kind == TOKENS else ""
        return RequestError(
            f"the limit of {allowance.limit} {kind} per minute is reached; {words}try again in {wait_s:.3g} s",
            status=429,
            code="rate_limit_exceeded",
            kind="rate_limit_error",
            retry_after_s=wait_s,
        )

    def _too_large(self, rates: TenantRates, tokens: int) -> RequestError:
        self._metrics.rate_limited(rates.tenant, TOKENS)
        limit = None if rates.tokens is None else rates.tokens.limit
        return RequestError(
            f"the request may use {tokens} tokens, more than the limit of {limit} tokens per minute; "
            "shorten it or lower its `max_tokens`",
            status=429,
            code="rate_limit_exceeded",
            kind="rate_limit_error",
            should_retry=False,
        )


def _tokens(exchange: Exchange) -> int:
    """The most it is expected to use: the prompt as estimated, and the answer as long as it may get."""
    if exchange.operation is Operation.COUNT_TOKENS:
        return 0
    profile = exchange.profile
    return profile.input_tokens_estimate + profile.output_tokens_estimate * exchange.decoded.n
