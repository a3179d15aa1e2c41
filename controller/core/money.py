"""Money as integers of a billionth of a US dollar, so that sums are exact and a ledger can be compared to the unit.

A price of 1 USD per million tokens is 1,000 nano-USD per token; every list price has at most three decimals
per million tokens, so the cost of a request is an exact integer.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_UP, Decimal

NANOUSD_PER_USD = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens of one call; `cached_input_tokens` are part of `input_tokens`. `estimated`: the upstream did not say."""

    input_tokens: int
    output_tokens: int
    cached_input_tokens: int = 0
    estimated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """List price per million tokens, with where and when it was read."""

    usd_per_mtok_in: Decimal
    usd_per_mtok_out: Decimal
    usd_per_mtok_cached_in: Decimal
    source: str
    as_of: date


def nanousd(usd: Decimal) -> int:
    """Whole nano-USD, half up."""
    return int((usd * NANOUSD_PER_USD).to_integral_value(rounding=ROUND_HALF_UP))


def usd(amount_nanousd: int) -> Decimal:
    """The same amount in USD, exactly."""
    return Decimal(amount_nanousd) / NANOUSD_PER_USD


def cost_nanousd(price: Price, usage: Usage) -> int:
    """Cost of one call: fresh input, cached input and output tokens at their prices, half up to 1 nano-USD."""
    cached = min(usage.cached_input_tokens, usage.input_tokens)
    micro = (  # USD per Mtok is micro-USD per token
        price.usd_per_mtok_in * (usage.input_tokens - cached)
        + price.usd_per_mtok_cached_in * cached
        + price.usd_per_mtok_out * usage.output_tokens
    )
    return int((micro * 1000).to_integral_value(rounding=ROUND_HALF_UP))
