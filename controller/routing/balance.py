"""Picks the replica of a pool that will answer first, within a bound on load; fresh ones take their share by a ramp.

Where several would answer equally soon, all gateways pick the same one for the same beginning of a prompt, so that its
prefix cache is filled in one place (rendezvous hashing). What is warm already is part of the predicted time.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

from controller.core.fleet import Replica
from controller.core.records import record

RAMP_S = 15.0
LOAD_BOUND = 1.25  # no replica above this many times the average, Google's bounded-load consistent hashing
LOAD_FREE = 4  # in flight on one replica before the bound applies: few requests have no meaningful average
NEAR_S = 0.002
NEAR_RATIO = 0.1  # of the own prompt's time: a shared beginning is worth that much of a later answer
_MASK = (1 << 64) - 1
_ODD = 0x9E3779B97F4A7C15


@record
class Candidate:
    """A replica, the requests it has from us, and the predicted TTFT there.

    `wait_s`, `prefill_s`: the parts of the prediction before correction. `tokens`: of the prompt, those to compute.
    `ramp_ratio`: how far through its ramp it is. `seed`: of its place in the rendezvous.
    """

    replica: Replica
    in_flight: int
    predicted_ttft_s: float
    wait_s: float = 0.0
    prefill_s: float = 0.0
    tokens: int = 0
    ramp_ratio: float = 1.0
    seed: int = 0


def pick(candidates: Sequence[Candidate], *, home: int = 0, stay: str | None = None, fine_s: float = 0.0) -> Candidate:
    """The candidate with the least predicted TTFT, then the fewest in flight, then the least id; one at least is given.

    `home` is the name of the prompt's beginning, 0 for none. The replica named by `stay` is kept while it is predicted
    to answer within `fine_s`. Nobody gets more than `LOAD_BOUND` times the average. A replica in its ramp may hold that
    share of the busiest settled one's requests, plus one: it warms up without being flooded. With only such replicas
    the ramp does not apply.
    """
    allowed = _within_ramp(candidates)
    count = len(allowed)
    if count == 1:
        return allowed[0]
    limit = max(LOAD_FREE, ceil(LOAD_BOUND * (sum([candidate.in_flight for candidate in allowed]) + 1) / count))
    allowed = [candidate for candidate in allowed if candidate.in_flight < limit]
    if stay is not None:
        for candidate in allowed:
            if candidate.replica.replica_id == stay and candidate.predicted_ttft_s <= fine_s:
                return candidate
    best = min(allowed, key=_rank)
    if not home:
        return best
    near_s = best.predicted_ttft_s + max(NEAR_S, NEAR_RATIO * best.prefill_s)
    near = [candidate for candidate in allowed if candidate.predicted_ttft_s <= near_s]
    if len(near) == 1:
        return best
    return max(near, key=lambda candidate: ((home ^ candidate.seed) * _ODD & _MASK, candidate.seed))


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


def _rank(candidate: Candidate) -> tuple[float, int, str]:
    """Order of preference; the id makes ties the same in every gateway."""
    return candidate.predicted_ttft_s, candidate.in_flight, candidate.replica.replica_id
