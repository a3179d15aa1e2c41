"""Picks the replica of a pool that will answer first, within a bound on load; fresh ones take their share by a ramp.

Where several would answer equally soon, all gateways pick the same one for the same beginning of a prompt, so that its
prefix cache is filled in one place (rendezvous hashing). What is warm already is part of the predicted time.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import NamedTuple

from controller.core.fleet import Replica

RAMP_S = 15.0
LOAD_BOUND = 1.25  # no replica above this many times the average, Google's bounded-load consistent hashing
LOAD_FREE = 4  # in flight on one replica before the bound applies: few requests have no meaningful average
NEAR_S = 0.002
NEAR_RATIO = 0.1  # of the own prompt's time: a shared beginning is worth that much of a later answer
_MASK = (1 << 64) - 1
_ODD = 0x9E3779B97F4A7C15


class Candidate(NamedTuple):
    """A replica, the requests it has from us, and the predicted TTFT there.

    `wait_s`, `prefill_s`: the parts of the prediction before correction. `tokens`: of the prompt, those to compute.
    `ramp_ratio`: how far through its ramp it is. `seed`: of its place in the rendezvous. A tuple, because one is made
    per replica and request: half the price of a record.
    """

    replica: Replica
    in_flight: int
    predicted_ttft_s: float
    wait_s: float = 0.0
    prefill_s: float = 0.0
    tokens: int = 0
    ramp_ratio: float = 1.0
    seed: int = 0

    def goes_before(self, other: Candidate) -> bool:
        """Sooner, else idler, else by the id, which makes ties the same in every gateway."""
        if self.predicted_ttft_s != other.predicted_ttft_s:
            return self.predicted_ttft_s < other.predicted_ttft_s
        if self.in_flight != other.in_flight:
            return self.in_flight < other.in_flight
        return self.replica.replica_id < other.replica.replica_id


def pick(candidates: Sequence[Candidate], *, home: int = 0, stay: str | None = None, fine_s: float = 0.0) -> Candidate:
    """The candidate with the least predicted TTFT, then the fewest in flight, then the least id; one at least is given.

    `home` is the name of the prompt's beginning, 0 for none. The replica named by `stay` is kept while it is predicted
    to answer within `fine_s`. Nobody gets more than `LOAD_BOUND` times the average. A replica in its ramp may hold that
    share of the busiest settled one's requests, plus one: it warms up without being flooded. With only such replicas
    the ramp does not apply.
    """
    if len(candidates) == 1:
        return candidates[0]
    total, ramping = 1, False
    for candidate in candidates:
        total += candidate.in_flight
        ramping = ramping or candidate.ramp_ratio < 1.0
    allowed = candidates
    if ramping:
        allowed = _within_ramp(candidates)
        total = 1 + sum(candidate.in_flight for candidate in allowed)
    limit = max(LOAD_FREE, ceil(LOAD_BOUND * total / len(allowed)))
    allowed = [candidate for candidate in allowed if candidate.in_flight < limit]
    best = allowed[0]  # there is one: the limit is above the average
    for candidate in allowed:
        if stay == candidate.replica.replica_id and candidate.predicted_ttft_s <= fine_s:
            return candidate
        if candidate.goes_before(best):
            best = candidate
    return _at_home(allowed, best, home) if home else best


def _at_home(allowed: Sequence[Candidate], best: Candidate, home: int) -> Candidate:
    """Of those as good as the best, the one where prompts that begin so belong."""
    near_s = best.predicted_ttft_s + max(NEAR_S, NEAR_RATIO * best.prefill_s)
    chosen, weight = best, -1
    for candidate in allowed:
        if candidate.predicted_ttft_s <= near_s:
            own = (home ^ candidate.seed) * _ODD & _MASK
            if own > weight:
                chosen, weight = candidate, own
    return chosen


def _within_ramp(candidates: Sequence[Candidate]) -> Sequence[Candidate]:
    """Those that may take one more by their ramp."""
    settled = [candidate.in_flight for candidate in candidates if candidate.ramp_ratio >= 1.0]
    if not settled or len(settled) == len(candidates):
        return candidates
    busiest = max(settled)
    return [
        candidate
        for candidate in candidates
        if candidate.ramp_ratio >= 1.0 or candidate.in_flight < 1 + candidate.ramp_ratio * busiest
    ]
