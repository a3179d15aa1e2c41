"""The circuit breakers of all replicas and providers: those in the default state are not kept."""

from __future__ import annotations

from collections.abc import Iterable
from math import inf

from controller.core.errors import EngineUnavailable, UpstreamError, UpstreamRejected, UpstreamTimeout
from controller.routing.breaker import BreakerPolicy, BreakerState, after, allows, hold, started

CREDENTIALS_HOLD_S = 60.0  # a refused credential stays refused for a while: do not knock on every request
RATE_LIMIT_HOLD_S = 1.0  # a provider's 429 that does not say for how long
_CREDENTIALS = frozenset({401, 402, 403})
_CLOSED = BreakerState()
_CONNECTION = frozenset({"connect", "progress"})


class Breakers:
    """By replica id or provider name."""

    __slots__ = ("_broke_at_s", "_policy", "_states")

    def __init__(self, policy: BreakerPolicy | None = None) -> None:
        self._policy = policy or BreakerPolicy()
        self._states: dict[str, BreakerState] = {}
        self._broke_at_s: dict[str, float] = {}

    def allows(self, name: str, now_s: float) -> bool:
        """Whether it may be called now."""
        state = self._states.get(name)
        return state is None or allows(state, self._policy, now_s)

    def retry_after_s(self, name: str, now_s: float) -> float:
        """How long it will not be called."""
        state = self._states.get(name, _CLOSED)
        return max(0.0, max(state.held_until_s, state.open_until_s or 0.0) - now_s)

    def started(self, name: str, now_s: float) -> None:
        """A call begins; when half open it is the one probe."""
        state = self._states.get(name)
        if state is not None:
            self._states[name] = started(state, self._policy, now_s)

    def succeeded(self, name: str, now_s: float) -> None:
        """A call was answered."""
        state = self._states.get(name)
        if state is None:
            return
        state = after(state, self._policy, ok=True, now_s=now_s)
        if state.failures == 0 and state.open_until_s is None and state.held_until_s <= now_s:
            del self._states[name]
        else:
            self._states[name] = state

    def failed(
        self, name: str, error: UpstreamError, now_s: float, *, is_own: bool, started_s: float | None = None
    ) -> None:
        """A call was not answered: full is not broken, a refused request is nobody's failure, and who refuses lives.

        However many calls were under way when a connection broke or could not be made: that is one failure.
        """
        if isinstance(error, UpstreamRejected):
            is_full = error.status == 429 or (is_own and error.status == 503)
            if is_full or error.status < 500:
                self.succeeded(name, now_s)
                wait_s = 0.0 if is_own else self._wait_s(error)
                if wait_s:
                    self._states[name] = hold(self._states.get(name, _CLOSED), now_s + wait_s)
                return
        elif started_s is not None and _is_connection(error):
            if started_s <= self._broke_at_s.get(name, -inf):
                return
            self._broke_at_s[name] = now_s
        self._states[name] = after(self._states.get(name, _CLOSED), self._policy, ok=False, now_s=now_s)

    def _wait_s(self, error: UpstreamRejected) -> float:
        """How long a provider that answered so is left alone."""
        if error.status == 429:
            return min(error.retry_after_s or RATE_LIMIT_HOLD_S, self._policy.hold_max_s)
        return CREDENTIALS_HOLD_S if error.status in _CREDENTIALS else 0.0

    def closed_to(self, now_s: float) -> dict[str, float]:
        """Names that are not called now, and for how long yet."""
        return {
            name: round(self.retry_after_s(name, now_s), 3) for name in self._states if not self.allows(name, now_s)
        }

    def keep_only(self, names: Iterable[str]) -> None:
        """Forget replicas that are gone."""
        known = set(names)
        for table in (self._states, self._broke_at_s):
            for name in [name for name in table if name not in known]:
                del table[name]


def _is_connection(error: UpstreamError) -> bool:
    """Whether the connection failed, rather than the work."""
    return isinstance(error, EngineUnavailable) or (isinstance(error, UpstreamTimeout) and error.phase in _CONNECTION)
