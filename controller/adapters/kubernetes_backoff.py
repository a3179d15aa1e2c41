"""Writes for a pool that the API refuses are tried ever less often; what it says is kept for the pool's conditions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from controller.core.errors import ClusterConflict, ClusterError, ClusterResting

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 60.0
PASSING_PAUSE_S = 4.0
NEWS_FOR_S = 120.0  # after that nobody wants it written any more


@dataclass(slots=True, kw_only=True)
class _Refusal:
    error: ClusterError
    pause_s: float
    until_s: float
    told: bool = False


class Backoffs:
    """By pool: the last refusal, until a write succeeds."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._refusals: dict[str, _Refusal] = {}

    @contextmanager
    def writing(self, pool: str) -> Iterator[None]:
        """Whatever is written in here for the pool; ClusterResting at once while it rests."""
        before, now_s = self._refusals.get(pool), self._now_s()
        if before is not None and now_s < before.until_s:
            words = f"{before.error}; tried again in {before.until_s - now_s:.0f} s"
            raise ClusterResting(words, reason=before.error.reason)
        try:
            yield
        except ClusterError as error:
            pause_s = FIRST_PAUSE_S if before is None else min(LONGEST_PAUSE_S, before.pause_s * 2.0)
            told = before is not None and before.told and str(before.error) == str(error)
            self._refusals[pool] = _Refusal(error=error, pause_s=pause_s, until_s=self._now_s() + pause_s, told=told)
            raise
        self._refusals.pop(pool, None)

    def last(self, pool: str) -> ClusterError | None:
        """What was refused last; None where the last write succeeded, or none has been wanted for long.

        That an object was changed meanwhile is told once it has been so three times in a row.
        """
        found = self._refusals.get(pool)
        if found is None or self._now_s() - found.until_s > NEWS_FOR_S:
            return None
        is_passing = isinstance(found.error, ClusterConflict) and found.pause_s < PASSING_PAUSE_S
        return None if is_passing else found.error

    def is_news(self, pool: str) -> bool:
        """Whether what was refused last has not been asked for by this yet: worth one line in the log."""
        found = self._refusals.get(pool)
        if found is None or found.told:
            return False
        found.told = True
        return True

    def forget(self, pool: str) -> None:
        """Afterwards nothing is held against it."""
        self._refusals.pop(pool, None)
