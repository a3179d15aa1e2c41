"""The circuit breakers of all replicas: those in the default state are not kept. Providers have `credentials`."""

from __future__ import annotations

from collections.abc import Iterable
from math import inf

from controller.core.errors import EngineUnavailable, UpstreamError, UpstreamRejected, UpstreamTimeout
from controller.routing.breaker import BreakerPolicy, BreakerState, after, allows, started

_FULL = 503  # an engine's word for a full queue, besides 429
_CLOSED = BreakerState()
_CONNECTION = frozenset({"connect", "progress"})


class Breakers:
    """By replica id."""

    __slots__ = ("_broke_at_s", "_policy", "_states")

    def __init__(self, policy: BreakerPolicy | None = None) -> None:
        self._policy = policy or BreakerPolicy()
        self._states: dict[str, BreakerState] = {}
        self._broke_at_s: dict[str, float] = {}

    @property
    def are_troubled(self) -> bool:
        """Whether any of them has anything to say."""
        return bool(self._states)

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

    def failed(self, name: str, error: UpstreamError, now_s: float, *, started_s: float | None = None) -> None:
        """A call was not answered: full is not broken, a refused request is nobody's failure, and who refuses lives.

        However many calls were under way when a connection broke or could not be made: that is one failure.
        """
        if isinstance(error, UpstreamRejected):
            if error.status < 500 or error.status == _FULL:
                self.succeeded(name, now_s)
                return
        elif started_s is not None and is_connection(error):
            if started_s <= self._broke_at_s.get(name, -inf):
                return
            self._broke_at_s[name] = now_s
        self._states[name] = after(self._states.get(name, _CLOSED), self._policy, ok=False, now_s=now_s)

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


def is_connection(error: UpstreamError) -> bool:
    """Whether the connection failed, rather than the work."""
    return isinstance(error, EngineUnavailable) or (isinstance(error, UpstreamTimeout) and error.phase in _CONNECTION)
