"""The caller's own deadlines: bound to the guard of the request, and to the first token of whoever is asked."""

from __future__ import annotations

from controller.config.settings import Timeouts
from controller.core.requests import Target
from controller.gateway.exchange import Exchange
from controller.gateway.guard import Guard

# The SDK gives up at its read timeout and hears nothing: our word on it leaves a little earlier.
EARLY_RATIO = 0.98
DEADLINE = "deadline"  # the phase of a guard: its error code is deadline_timeout


def bind(exchange: Exchange, guard: Guard, now_s: float) -> None:
    """Afterwards the request ends by its deadline, and `exchange.first_token_by_s` says when a first token is too late.

    The read timeout bounds a whole answer, and of a stream the wait for its first token; `x-spillway-deadline-ms`
    bounds the whole of either.
    """
    profile = exchange.profile
    quiet_s, whole_s = profile.deadline_s, profile.answer_within_s
    if quiet_s is None and whole_s is None:
        return
    gone_s = now_s - exchange.accepted_s
    least_s = whole_s
    if quiet_s is not None:
        quiet_s *= EARLY_RATIO
        if not profile.stream:
            guard.limit(quiet_s - gone_s, DEADLINE)
        if least_s is None or quiet_s < least_s:
            least_s = quiet_s
    if whole_s is not None:
        guard.limit(whole_s - gone_s, DEADLINE)
    if least_s is not None:
        exchange.first_token_by_s = exchange.accepted_s + least_s


def patience_s(exchange: Exchange, target: Target, timeouts: Timeouts) -> float:
    """A provider in a brownout is left once it is late, where another target may do better; it counts as failed."""
    if target.pool is not None or exchange.chain[-1] is target:
        return timeouts.ttft_s
    return min(timeouts.ttft_s, timeouts.provider_ttft_s)


def begin_first_token(exchange: Exchange, guard: Guard, limit_s: float, now_s: float) -> None:
    """The wait for the first token of a stream begins: it ends with the limit, or with the caller's deadline."""
    by_s = exchange.first_token_by_s
    if by_s is not None and by_s - now_s < limit_s:
        guard.begin("deadline", by_s - now_s)
    else:
        guard.begin("ttft", limit_s)


def left_s(exchange: Exchange, now_s: float) -> float | None:
    """Time left for a first token; None when the caller set no deadline."""
    by_s = exchange.first_token_by_s
    return None if by_s is None else by_s - now_s
