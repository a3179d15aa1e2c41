"""The response headers that say what happened; the table in this folder's README lists them all."""

from __future__ import annotations

from functools import lru_cache

from controller.core.money import NANOUSD_PER_USD, Usage
from controller.gateway.answers import JSON, NO_CACHE, SSE, Headers, header_text
from controller.gateway.destinations import Destination
from controller.gateway.exchange import Exchange
from controller.gateway.rate_headers import rate_headers

SIMULATED = (b"x-spillway-simulated", b"true")


@lru_cache(maxsize=2048)
def _cached_text(text: str) -> bytes:
    return header_text(text)


def usd_text(nanousd: int) -> bytes:
    """Nano-USD as a decimal number of USD."""
    return b"%d.%09d" % divmod(nanousd, NANOUSD_PER_USD)


def _estimate_nanousd(exchange: Exchange, destination: Destination) -> int:
    profile = exchange.profile
    return destination.price.cost(
        Usage(input_tokens=profile.input_tokens_estimate, output_tokens=profile.output_tokens_estimate)
    )


def answer_headers(exchange: Exchange, destination: Destination, *, stream: bool) -> Headers:
    """Of an answer; the cost of a stream is the estimate made before it, since headers go first."""
    profile, target = exchange.profile, exchange.target
    cost = _estimate_nanousd(exchange, destination) if stream else exchange.cost_nanousd
    headers: Headers = [
        SSE if stream else JSON,
        *exchange.caller.id_headers(exchange.header_id),
        *destination.labels,
        (b"x-spillway-reason", _cached_text(target.reason if target is not None else "")),
        (b"x-spillway-requested-model", _cached_text(profile.requested_model)),
        (b"x-spillway-attempts", b"%d" % (len(exchange.attempts) + (1 if stream else 0))),
        (b"x-spillway-cost-usd", usd_text(cost)),
    ]
    if stream:
        headers.append(NO_CACHE)
    if exchange.rates is not None:
        headers += limit_headers(exchange)
    if exchange.simulated:
        headers.append(SIMULATED)
    dropped = destination.dropped(exchange.decoded)
    if dropped:
        headers.append((b"x-spillway-dropped", header_text(", ".join(dropped))))
    if exchange.spilled:
        headers.append((b"x-spillway-spilled", _cached_text(exchange.spill_reason or "failed")))
    return headers


def limit_headers(exchange: Exchange) -> Headers:
    """What is left of its tenant's minute; nothing for a tenant without limits."""
    return [] if exchange.rates is None else rate_headers(exchange.rates, exchange.caller.dialect)


def refusal_headers(exchange: Exchange) -> Headers:
    """What a refusal says beyond the error itself."""
    headers: Headers = []
    if exchange.classified:
        headers.append((b"x-spillway-requested-model", _cached_text(exchange.profile.requested_model)))
        headers.append((b"x-spillway-attempts", b"%d" % len(exchange.attempts)))
    return headers + limit_headers(exchange)
