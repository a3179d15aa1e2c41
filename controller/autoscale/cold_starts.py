"""How long a replica of a pool takes from being asked for to its first readiness, learned from those that came.

Called by the control loop once per tick and pool. What is expected is the median of the last starts, so that one that
waited for a node does not pass for the rule; while there are few, what the configuration says stands in for the rest.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil
from statistics import median

from controller.core.fleet import Replica, ReplicaState

KEPT = 8  # starts; older ones were of another image, node or cache
ENOUGH = 3  # so many of our own outweigh what the configuration says
SLOW_RATIO = 0.9
LONGEST_RATIO = 4.0  # of what was expected: a start that took longer counts as this long, it waited for something else
LEAST_START_S = 30.0  # a start also costs a cold cache and a change of routes: it is never taken to be nothing
_HAS_BEEN_READY = frozenset({ReplicaState.READY, ReplicaState.DRAINING})


@dataclass(frozen=True, slots=True, kw_only=True)
class ColdStarts:
    """Of one pool. `took_s`: the last ones, oldest first. `counted`: replicas there are whose start is among them."""

    took_s: tuple[float, ...] = ()
    counted: frozenset[str] = frozenset()

    @property
    def are_known(self) -> bool:
        """Whether the pool's own starts tell, without help of the configuration."""
        return len(self.took_s) >= ENOUGH

    def expected_s(self, prior_s: float) -> float:
        """How long the next one takes, as far as one knows; `prior_s` is what the configuration says."""
        return median((*self.took_s, *self._unknown_s(prior_s)))

    def slow_s(self, prior_s: float) -> float:
        """How long one in ten takes, or longer."""
        known = sorted((*self.took_s, *self._unknown_s(prior_s)))
        return known[ceil(SLOW_RATIO * len(known)) - 1]

    def priced_s(self, prior_s: float) -> float:
        """What a start counts as when it is weighed against buying."""
        return max(self.expected_s(prior_s), min(LEAST_START_S, prior_s))

    def _unknown_s(self, prior_s: float) -> Sequence[float]:
        return (prior_s,) * (ENOUGH - len(self.took_s))


def remembered(took_s: Iterable[float], replicas: Sequence[Replica]) -> ColdStarts:
    """What an earlier controller had learned; the replicas that were ready in its last view are counted."""
    counted = frozenset(one.replica_id for one in replicas if one.state in _HAS_BEEN_READY)
    return ColdStarts(took_s=tuple(took_s), counted=counted)


def learned(starts: ColdStarts, replicas: Sequence[Replica], prior_s: float) -> ColdStarts:
    """With the starts of the replicas that have become ready since."""
    longest_s = LONGEST_RATIO * max(LEAST_START_S, starts.expected_s(prior_s))
    ready = [one for one in replicas if one.state in _HAS_BEEN_READY]
    took_s = [
        min(longest_s, max(0.0, one.ready_at_s - one.started_at_s))
        for one in ready
        if one.replica_id not in starts.counted and one.ready_at_s is not None
    ]
    return ColdStarts(took_s=(*starts.took_s, *took_s)[-KEPT:], counted=frozenset(one.replica_id for one in ready))
