"""The books: one ledger row and the counters for each finished request. Nothing of its text."""

from __future__ import annotations

from controller.core.ledger import LedgerEntry
from controller.core.money import Usage
from controller.core.requests import Target, TargetKind
from controller.gateway.destinations import Destination, Destinations
from controller.gateway.exchange import CALLER_LEFT, Exchange
from controller.gateway.ports import Clock, Ledger
from controller.gateway.purchases import SpentBudgets
from controller.telemetry.gateway_metrics import GatewayMetrics

_NOTHING = Usage(input_tokens=0, output_tokens=0)
FAILED = "failed"


class Meter:
    """Closes an exchange."""

    def __init__(self, ledger: Ledger, metrics: GatewayMetrics, destinations: Destinations, clock: Clock) -> None:
        self._ledger = ledger
        self._metrics = metrics
        self._destinations = destinations
        self._clock = clock
        self.spent = SpentBudgets()

    def arrived(self, exchange: Exchange) -> None:
        """Demand is counted where the request belongs, wherever it is served in the end."""
        repeated = exchange.decoded.facts.client_retries
        if repeated:
            self._metrics.client_retries[min(repeated, 3) - 1] += 1
        home = exchange.home
        if home is not None:
            metrics = self._metrics.target(home.name, is_own=True)
            metrics.arrivals += 1
            profile = exchange.profile
            metrics.input_tokens += profile.input_tokens_estimate
            if (
                not profile.spill_allowed
                or profile.reach.own_only
                or (self.spent.until_s and self.spent.holds(exchange.key.tenant, home.name, exchange.at_s))
            ):
                metrics.bound += 1

    def estimate(self, exchange: Exchange, *, output_tokens: int) -> None:
        """The upstream did not say what it used: bill what was seen, flagged."""
        if exchange.usage is None:
            exchange.usage = Usage(
                input_tokens=exchange.profile.input_tokens_estimate, output_tokens=output_tokens, estimated=True
            )

    def price(self, exchange: Exchange, destination: Destination) -> None:
        """Sets the cost of what was used."""
        if exchange.usage is not None:
            exchange.cost_nanousd = destination.price.cost(exchange.usage)

    def price_target(self, exchange: Exchange) -> None:
        """The same, for whoever was tried last."""
        if exchange.target is not None:
            self.price(exchange, self._destinations.of(exchange.target, exchange.operation))

    def left(self, exchange: Exchange) -> None:
        """Nobody hears the answer."""
        exchange.status, exchange.error = CALLER_LEFT, "the caller left"
        self.bill_unheard(exchange)

    def bill_unheard(self, exchange: Exchange) -> None:
        """What was bought is billed although nobody heard it, as an estimate."""
        profile = exchange.profile if exchange.classified else None
        if profile is not None and exchange.bought and exchange.usage is None:
            self.estimate(exchange, output_tokens=0 if profile.stream else profile.output_tokens_estimate)
            self.price_target(exchange)

    def finish(self, exchange: Exchange) -> None:
        """Afterwards the request is in the ledger and every counter; one never understood only counts as refused."""
        target, usage = exchange.target, exchange.usage
        if exchange.rates is not None and exchange.rate_minute is not None:
            used_tokens = 0 if usage is None else usage.input_tokens + usage.output_tokens
            exchange.rates.settle(exchange.rate_minute, exchange.rate_tokens, used_tokens)
        e2e_s = self._clock.monotonic_s() - exchange.accepted_s
        if exchange.status == CALLER_LEFT:
            self._metrics.client_left += 1
        if target is not None and usage is not None:
            self._count(exchange, target, usage, e2e_s)
        elif exchange.status != CALLER_LEFT:
            refused = self._metrics.refused
            refused[exchange.status] = refused.get(exchange.status, 0) + 1
        if exchange.classified:
            self._ledger.post(self._entry(exchange, usage or _NOTHING, e2e_s))

    def _count(self, exchange: Exchange, target: Target, usage: Usage, e2e_s: float) -> None:
        destination = self._destinations.of(target, exchange.operation)
        metrics = destination.metrics
        metrics.codes[exchange.status] = metrics.codes.get(exchange.status, 0) + 1
        metrics.fresh_input_tokens += usage.input_tokens - usage.cached_input_tokens
        metrics.cached_input_tokens += usage.cached_input_tokens
        metrics.served_output_tokens += usage.output_tokens
        metrics.duration.observe(e2e_s)
        if exchange.ttft_s is not None:
            metrics.ttft.observe(exchange.ttft_s)
            if usage.output_tokens > 1 and exchange.status == 200:
                metrics.tpot.observe((e2e_s - exchange.ttft_s) / (usage.output_tokens - 1))
        if destination.is_own:
            self._metrics.own_nanousd += exchange.cost_nanousd
        else:
            self._metrics.spend_nanousd += exchange.cost_nanousd
        home = exchange.home
        if home is not None:
            at_home = self._metrics.target(home.name, is_own=True)
            at_home.output_tokens += usage.output_tokens
            if home.name != target.name:
                reason = exchange.spill_reason or FAILED
                at_home.spilled[reason] = at_home.spilled.get(reason, 0) + 1

    def _entry(self, exchange: Exchange, usage: Usage, e2e_s: float) -> LedgerEntry:
        profile, key = exchange.profile, exchange.key
        target = exchange.target if exchange.usage is not None else None
        model = None if target is None else target.model
        return LedgerEntry(
            request_id=exchange.request_id,
            at_s=exchange.at_s,
            tenant=key.tenant,
            key_id=key.public_id,
            operation=exchange.operation.value,
            requested_model=profile.requested_model,
            task=profile.task,
            complexity=profile.complexity.value,
            status=exchange.status,
            target_kind=None if target is None else _kind(target.pool is not None),
            target=None if target is None else target.name,
            model_key=None if model is None else model.key,
            model_id=None if model is None else model.model_id,
            replica_id=exchange.replica_id if target is not None else None,
            usage=usage,
            cost_nanousd=exchange.cost_nanousd,
            spilled=target is not None and exchange.spilled,
            reason=_reason(exchange),
            chain=tuple([link.model.key for link in exchange.chain]),
            attempts=tuple(exchange.attempts),
            predicted_ttft_s=exchange.predicted_ttft_s,
            ttft_s=exchange.ttft_s,
            e2e_s=e2e_s,
            error=exchange.error,
            simulated=exchange.simulated,
            stream=profile.stream,
            gpu_s=exchange.gpu_s,
            home_pool=None if exchange.home is None else exchange.home.name,
        )


def _kind(is_own: bool) -> TargetKind:
    return TargetKind.OWN if is_own else TargetKind.EXTERNAL


def _reason(exchange: Exchange) -> str:
    """Why this target: the rule's words, and what was passed over."""
    words = "" if exchange.target is None else exchange.target.reason
    for skip in exchange.skips:
        words += f"; {skip.target} skipped: {skip.reason}" if words else f"{skip.target} skipped: {skip.reason}"
    return words
