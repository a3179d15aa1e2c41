"""A circuit breaker per replica or provider credential, as a value: callers keep the state and replace it whole."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerPolicy:
    """When it opens and for how long. Callers cap a provider's Retry-After at `hold_max_s`."""

    failures_to_open: int = 5
    open_s: float = 10.0
    open_max_s: float = 60.0
    probe_s: float = 30.0
    hold_max_s: float = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerState:
    """Closed while `open_until_s` is None. `held_until_s`: the upstream asked to be left alone until then."""

    failures: int = 0
    open_for_s: float = 0.0
    open_until_s: float | None = None
    probe_until_s: float | None = None
    held_until_s: float = 0.0


def allows(state: BreakerState, policy: BreakerPolicy, now_s: float) -> bool:
    """Whether a call may be made: closed, or half open with no probe under way; never while held."""
    if now_s < state.held_until_s:
        return False
    if state.open_until_s is None:
        return True
    if now_s < state.open_until_s:
        return False
    return state.probe_until_s is None or now_s >= state.probe_until_s


def started(state: BreakerState, policy: BreakerPolicy, now_s: float) -> BreakerState:
    """A call that `allows` let through has begun: when half open it is the one probe, until it reports or is late."""
    if state.open_until_s is None:
        return state
    return replace(state, probe_until_s=now_s + policy.probe_s)


def after(state: BreakerState, policy: BreakerPolicy, *, ok: bool, now_s: float) -> BreakerState:
    """The state once a call has ended; calls begun before it opened neither close it nor lengthen it."""
    if state.open_until_s is not None and now_s < state.open_until_s:
        return state
    if ok:
        return BreakerState(held_until_s=state.held_until_s)
    failures = state.failures + 1
    if state.open_until_s is None and failures < policy.failures_to_open:
        return replace(state, failures=failures)
    open_for_s = min(policy.open_max_s, state.open_for_s * 2 or policy.open_s)
    return replace(state, failures=failures, open_for_s=open_for_s, open_until_s=now_s + open_for_s, probe_until_s=None)


def hold(state: BreakerState, until_s: float) -> BreakerState:
    """The upstream named a time to come back (Retry-After): no call before it. A hold is never shortened."""
    return replace(state, held_until_s=max(state.held_until_s, until_s))
