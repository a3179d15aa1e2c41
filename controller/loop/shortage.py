"""Replicas that do not come: asked for and still warming long after others were ready, as when there are no nodes.

Pure. They are given up, so that nobody waits for them and work is bought meanwhile, and one is tried again after a
pause that doubles. While one is tried, no other is started; once it is ready, all that are wanted are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from controller.autoscale.cold_starts import LEAST_START_S, ColdStarts
from controller.core.fleet import Replica, ReplicaState

LATE_FACTOR = 3.0  # of what one start in ten takes: no start that comes at all takes as long
FIRST_PAUSE_S = 60.0
MOST_DOUBLINGS = 4
LONGEST_PAUSE_S = 900.0  # nodes that are there again are found within a quarter of an hour


@dataclass(frozen=True, slots=True, kw_only=True)
class Shortage:
    """Since when starts do not come, how many tries were given up in a row, and when the next one may be made."""

    since_s: float
    tries: int
    late_s: float
    retry_at_s: float

    def words(self, now_s: float) -> str:
        """For the reason of a decision."""
        what = f"no start has come within {self.late_s:.0f} s, given up {self.tries} x"
        left_s = self.retry_at_s - now_s
        return f"{what}; next try in {left_s:.0f} s" if left_s > 0 else f"{what}; one is tried at a time"


def late_after_s(shortage: Shortage | None, starts: ColdStarts, prior_s: float) -> float:
    """When a start is given up; after each try that was, later, for it may have been slow and not without a node."""
    patience = 2.0 ** min(MOST_DOUBLINGS, 0 if shortage is None else shortage.tries)
    return patience * LATE_FACTOR * max(LEAST_START_S, starts.slow_s(prior_s))


def late(
    shortage: Shortage | None, replicas: Sequence[Replica], starts: ColdStarts, prior_s: float, now_s: float
) -> tuple[Replica, ...]:
    """Replicas that have been warming for longer; those that were asked for before the shortage began are no tries."""
    first_s, next_s = late_after_s(None, starts, prior_s), late_after_s(shortage, starts, prior_s)
    return tuple(
        one
        for one in replicas
        if one.state is ReplicaState.WARMING
        and now_s - one.started_at_s > (next_s if _is_try(shortage, one) else first_s)
    )


def watched(
    shortage: Shortage | None, replicas: Sequence[Replica], given_up: Sequence[Replica], now_s: float
) -> Shortage | None:
    """The shortage after this tick; over once a replica is ready that was asked for since it began."""
    if given_up and (shortage is None or any(_is_try(shortage, one) for one in given_up)):
        tries = 0 if shortage is None else shortage.tries
        return Shortage(
            since_s=now_s if shortage is None else shortage.since_s,
            tries=tries + 1,
            late_s=max(now_s - one.started_at_s for one in given_up),
            retry_at_s=now_s + min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(tries, 20)),
        )
    if any(one.state is ReplicaState.READY and _is_try(shortage, one) for one in replicas):
        return None
    return shortage


def _is_try(shortage: Shortage | None, replica: Replica) -> bool:
    return shortage is not None and replica.started_at_s >= shortage.since_s


def most_starts(shortage: Shortage | None, staying: Sequence[Replica], wanted: int, now_s: float) -> int:
    """How many of the wanted replicas may be started now."""
    if shortage is None:
        return wanted
    trying = any(one.state is ReplicaState.WARMING for one in staying)
    return 0 if trying or now_s < shortage.retry_at_s else min(1, wanted)
