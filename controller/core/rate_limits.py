"""What gateways and the database tell each other about requests and tokens per minute."""

from __future__ import annotations

from dataclasses import dataclass

from controller.core.errors import SpillwayError

MINUTE_S = 60


class LimitsUnavailable(SpillwayError):
    """The rows of the limits cannot be reached now; whether the last change was made is not known."""


def minute_of(now_s: float) -> int:
    """The UTC minute that the unix time is in: limits hold from one full minute to the next."""
    return int(now_s) // MINUTE_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Amounts:
    """Requests and tokens."""

    requests: int = 0
    tokens: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitMove:
    """A gateway's wish: so much more of the tenant's minute, or so much less where negative. A limit None: no limit."""

    tenant: str
    minute: int
    wish: Amounts
    requests_limit: int | None
    tokens_limit: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitRow:
    """What became of a move: what this gateway got, and what all of them together have now."""

    got: Amounts
    granted: Amounts
