"""What is left of a tenant's minute, in the headers that each dialect's clients read; only for tenants with limits."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache

from controller.core.models import Dialect
from controller.core.rate_limits import MINUTE_S
from controller.gateway.tenant_rates import REQUESTS, TOKENS, TenantRates

_OPENAI = {
    REQUESTS: (b"x-ratelimit-limit-requests", b"x-ratelimit-remaining-requests", b"x-ratelimit-reset-requests"),
    TOKENS: (b"x-ratelimit-limit-tokens", b"x-ratelimit-remaining-tokens", b"x-ratelimit-reset-tokens"),
}
_ANTHROPIC = {
    REQUESTS: (
        b"anthropic-ratelimit-requests-limit",
        b"anthropic-ratelimit-requests-remaining",
        b"anthropic-ratelimit-requests-reset",
    ),
    TOKENS: (
        b"anthropic-ratelimit-tokens-limit",
        b"anthropic-ratelimit-tokens-remaining",
        b"anthropic-ratelimit-tokens-reset",
    ),
}


def rate_headers(rates: TenantRates, dialect: Dialect | None) -> list[tuple[bytes, bytes]]:
    """Limit, what remains of it, and when it is whole again, for each limit that the tenant has."""
    now_s = rates.roll()
    if dialect is Dialect.ANTHROPIC:
        names, reset = _ANTHROPIC, _instant(rates.minute + 1)
    else:
        names, reset = _OPENAI, _duration((rates.minute + 1) * MINUTE_S - now_s)
    headers: list[tuple[bytes, bytes]] = []
    for kind, allowance in rates.kinds:
        limit, remaining, again = names[kind]
        headers += ((limit, b"%d" % allowance.limit), (remaining, b"%d" % allowance.remaining), (again, reset))
    return headers


def _duration(seconds: float) -> bytes:
    """As OpenAI writes it: `12ms`, `7s`, `1m0s`; rounded up, so that nobody comes too early."""
    if seconds < 1.0:
        return b"%dms" % max(0, -int(-seconds * 1000 // 1))
    return _whole(-int(-seconds // 1))


@lru_cache(maxsize=MINUTE_S * 2)
def _whole(seconds: int) -> bytes:
    minutes, rest = divmod(seconds, 60)
    return b"%dm%ds" % (minutes, rest) if minutes else b"%ds" % rest


@lru_cache(maxsize=4)
def _instant(minute: int) -> bytes:
    """RFC 3339, as Anthropic writes it."""
    return datetime.fromtimestamp(minute * MINUTE_S, UTC).strftime("%Y-%m-%dT%H:%M:%SZ").encode()
