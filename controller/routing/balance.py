"""Picks the replica of a pool that will answer first; fresh replicas take their share by a ramp."""

from __future__ import annotations

from collections.abc import Sequence

from controller.core.fleet import Replica, ReplicaState
from controller.core.records import record
from controller.routing.predict import ReplicaLoad

RAMP_S = 15.0


@record
class Candidate:
    """A replica, the work it has from us, and the predicted TTFT there."""

    replica: Replica
    load: ReplicaLoad
    predicted_ttft_s: float


def pick(candidates: Sequence[Candidate], *, now_s: float, ramp_s: float = RAMP_S) -> Candidate | None:
    """The ready replica with the least predicted TTFT, then the fewest in flight; None when none is ready.

    A replica that has been ready for a share of `ramp_s` may hold that share of the busiest settled replica's
    requests, plus one: it warms up without being flooded. With only fresh replicas the ramp does not apply.
    """
    ready = [candidate for candidate in candidates if candidate.replica.state is ReplicaState.READY]
    if len(ready) < 2:
        return ready[0] if ready else None
    settled = [candidate for candidate in ready if _age_ratio(candidate, now_s, ramp_s) >= 1.0]
    if settled and len(settled) < len(ready):
        busiest = max(candidate.load.in_flight for candidate in settled)
        ready = [
            candidate
            for candidate in ready
            if (ratio := _age_ratio(candidate, now_s, ramp_s)) >= 1.0 or candidate.load.in_flight < 1 + ratio * busiest
        ]
    return min(ready, key=_rank)


def _rank(candidate: Candidate) -> tuple[float, int, str]:
    """Order of preference; the id makes ties the same in every gateway."""
    return candidate.predicted_ttft_s, candidate.load.in_flight, candidate.replica.replica_id


def _age_ratio(candidate: Candidate, now_s: float, ramp_s: float) -> float:
    """How far through its ramp a replica is, 0..1; one whose start is unknown is through."""
    ready_at_s = candidate.replica.ready_at_s
    if ready_at_s is None or ramp_s <= 0:
        return 1.0
    return min(1.0, max(0.0, (now_s - ready_at_s) / ramp_s))
