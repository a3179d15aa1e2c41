"""Which avoided replica is measured again by a request of real traffic, and by which request.

A replica that was slow is predicted to be slow, so nobody goes there, so nobody sees that it is quick again. The
gateway asks once a second and pool; `may_go` is asked per request only while one is due.
"""

from __future__ import annotations

from collections.abc import Sequence

from controller.core.records import record

OLD_S = 3.0  # a measurement of this age may not hold any more
ONE_IN = 20.0  # of a pool's requests at most one in so many goes to measure
AVOIDED_RATIO = 1.25  # times as slow as the others: nobody goes there by choice
SLO_SHARE = 0.5  # of the SLO: a request that may take longer there is not risked
DEADLINE_SHARE = 0.25  # likewise of what is left to the caller's deadline


@record
class Sight:
    """One ready replica. `slowness`: seen over predicted, of first tokens; `seen_at_s`: when it was measured last."""

    is_out: bool
    in_flight: int
    slowness: float
    seen_at_s: float


def due(pool: Sequence[Sight], asked: float, now_s: float) -> int | None:
    """The replica to measure again: the one with the oldest measurement. `asked`: requests since the last time."""
    if asked < ONE_IN:
        return None
    found: list[tuple[float, int]] = []
    for index, sight in enumerate(pool):
        if sight.is_out or sight.in_flight or now_s - sight.seen_at_s < OLD_S:
            continue
        others = sorted(other.slowness for place, other in enumerate(pool) if place != index and not other.is_out)
        if others and sight.slowness >= AVOIDED_RATIO * others[(len(others) - 1) // 2]:
            found.append((sight.seen_at_s, index))
    return min(found)[1] if found else None


def may_go(predicted_s: float, slo_s: float, left_s: float | None) -> bool:
    """Whether this request is in time even if the replica is as slow as it was."""
    return predicted_s <= SLO_SHARE * slo_s and (left_s is None or predicted_s <= DEADLINE_SHARE * left_s)
