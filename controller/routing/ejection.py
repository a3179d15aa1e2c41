"""Takes a bad replica out of rotation for a while, and lets it back by slow start.

Three kinds of bad: `gone` (no connection) and `hung` (work but no tokens) are certain, take it out at once and let it
back by one probe at a time; `errors` and `slow` are judged against the other replicas of the pool, never take out more
than half of it, and end by themselves. Every return that does not last makes the next rest longer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from controller.core.records import record


class Reason(StrEnum):
    """Why a replica is out."""

    GONE = "gone"
    HUNG = "hung"
    ERRORS = "errors"
    SLOW = "slow"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rest:
    """How long the first time, and at most."""

    first_s: float
    max_s: float


RESTS = {
    Reason.GONE: Rest(first_s=1.0, max_s=4.0),  # a restarted engine is back within 5 s
    Reason.HUNG: Rest(first_s=5.0, max_s=60.0),
    Reason.ERRORS: Rest(first_s=10.0, max_s=120.0),
    Reason.SLOW: Rest(first_s=10.0, max_s=120.0),
}
PROBED = frozenset({Reason.GONE, Reason.HUNG})
PROBE_MAX_S = 60.0  # a probe that says nothing for so long is forgotten
RELAPSE_S = 120.0  # bad again so soon after a return: the rest doubles
COUNT_HALF_S = 20.0  # half-life of the counts below
SAME_BREAK_S = 0.1  # an engine that dies breaks all its calls within so long

CALLS_MIN = 6.0
FAILURES_MIN = 2.5
FAILURE_RATIO = 0.1
PEER_FAILURES = 3.0  # times the others' ratio
SLOW_RATIO = 4.0  # times the others' median
SLOW_SEEN_MIN = 4.0  # so many times measured lately


class Standing:
    """One replica: what its calls came to lately, and whether it is out."""

    __slots__ = (
        "_broke_at_s",
        "_probe_until_s",
        "_rest_s",
        "_returned_at_s",
        "calls",
        "failures",
        "out_until_s",
        "ramp_from_s",
        "reason",
    )

    def __init__(self) -> None:
        self.calls = 0.0
        self.failures = 0.0
        self.reason: Reason | None = None  # None: in rotation
        self.out_until_s = 0.0
        self.ramp_from_s: float | None = None  # when it last came back
        self._returned_at_s = float("-inf")
        self._broke_at_s = float("-inf")
        self._rest_s = 0.0
        self._probe_until_s = 0.0

    def may_call(self, now_s: float) -> bool:
        """Whether a call may go there now; one whose rest is over and needs no probe is back by this question."""
        if self.reason is None:
            return True
        if now_s < self.out_until_s:
            return False
        if self.reason in PROBED:
            return now_s >= self._probe_until_s
        self._back(now_s)
        return True

    def wait_s(self, now_s: float) -> float:
        """How long it will not be called."""
        if self.reason is None:
            return 0.0
        return max(0.0, max(self.out_until_s, self._probe_until_s) - now_s)

    def started(self, now_s: float) -> None:
        """A call begins; at a replica that is out it is the one probe."""
        if self.reason is not None:
            self._probe_until_s = now_s + PROBE_MAX_S

    def ramps_from(self, at_s: float) -> None:
        """It has been in rotation since then: it ramps."""
        if self.ramp_from_s is None or at_s > self.ramp_from_s:
            self.ramp_from_s = at_s

    def ramp_ratio(self, now_s: float, ramp_s: float) -> float:
        """How far through its ramp it is, 0..1."""
        if self.ramp_from_s is None:
            return 1.0
        ratio = (now_s - self.ramp_from_s) / ramp_s
        if ratio >= 1.0:
            self.ramp_from_s = None
            return 1.0
        return max(0.0, ratio)

    def lives(self, started_s: float, now_s: float) -> None:
        """A call begun then has brought something; one begun before the replica went out proves nothing."""
        if self.reason in PROBED and started_s >= self.out_until_s:
            self._back(now_s)

    def succeeded(self) -> None:
        """A call went well."""
        self.calls += 1.0

    def failed(self) -> None:
        """A call has failed by the replica's fault."""
        self.calls += 1.0
        self.failures += 1.0
        self._probe_until_s = 0.0

    def broke(self, now_s: float) -> None:
        """A connection broke; all that break together are one failure, whether it died is for the next call to find."""
        if now_s - self._broke_at_s < SAME_BREAK_S:
            self.left()
            return
        self._broke_at_s = now_s
        self.failed()

    def left(self) -> None:
        """A call has ended without proving anything: its caller left."""
        self._probe_until_s = 0.0

    def eject(self, reason: Reason, now_s: float, *, started_s: float | None = None) -> bool:
        """Out of rotation; False when this is no news: the call behind it began before it went out or came back."""
        if started_s is not None and (
            started_s < self._returned_at_s or (self.reason and started_s < self.out_until_s)
        ):
            return False
        rest = RESTS[reason]
        relapsed = self.reason is not None or now_s - self._returned_at_s < RELAPSE_S
        self._rest_s = min(rest.max_s, max(rest.first_s, 2.0 * self._rest_s if relapsed else 0.0))
        self.reason = reason
        self.out_until_s = now_s + self._rest_s
        self._probe_until_s = 0.0
        return True

    def fade(self, elapsed_s: float) -> None:
        """Time has passed."""
        kept = 0.5 ** (elapsed_s / COUNT_HALF_S)
        self.calls *= kept
        self.failures *= kept

    def _back(self, now_s: float) -> None:
        self.reason = None
        self.calls = self.failures = 0.0
        self.ramp_from_s = self._returned_at_s = now_s
        self._probe_until_s = 0.0


@record
class Conduct:
    """What is known of one replica for comparing it with the others. Slowness: seen over predicted, as a factor."""

    is_out: bool
    calls: float
    failures: float
    prefill_slowness: float
    prefill_seen: float
    decode_slowness: float
    decode_seen: float


def outliers(pool: Sequence[Conduct]) -> list[tuple[int, Reason]]:
    """Which replicas of a pool stand out by errors or slowness, worst first; at most half of the pool is ever out."""
    room = len(pool) // 2 - sum(conduct.is_out for conduct in pool)
    if room <= 0:
        return []
    found: list[tuple[float, int, Reason]] = []
    for index, conduct in enumerate(pool):
        if conduct.is_out:
            continue
        peers = [other for place, other in enumerate(pool) if place != index and not other.is_out]
        if _errs(conduct, peers):
            found.append((conduct.failures / conduct.calls * 100.0, index, Reason.ERRORS))
            continue
        slowness = _slowness(conduct, peers)
        if slowness >= SLOW_RATIO:
            found.append((slowness, index, Reason.SLOW))
    found.sort(reverse=True)
    return [(index, reason) for _, index, reason in found[:room]]


def _errs(conduct: Conduct, peers: Sequence[Conduct]) -> bool:
    """Whether it fails often, and far more often than the others: what fails everywhere is not the replica's fault."""
    if conduct.calls < CALLS_MIN or conduct.failures < FAILURES_MIN:
        return False
    ratio = conduct.failures / conduct.calls
    theirs = sum(peer.failures for peer in peers) / max(1.0, sum(peer.calls for peer in peers))
    return ratio >= FAILURE_RATIO and ratio >= PEER_FAILURES * theirs


def _slowness(conduct: Conduct, peers: Sequence[Conduct]) -> float:
    """How many times slower than the median of the others, in computing prompts or in writing, where measured."""
    worst = 0.0
    if conduct.prefill_seen >= SLOW_SEEN_MIN:
        worst = conduct.prefill_slowness / _median([peer.prefill_slowness for peer in peers])
    if conduct.decode_seen >= SLOW_SEEN_MIN:
        worst = max(worst, conduct.decode_slowness / _median([peer.decode_slowness for peer in peers]))
    return worst


def _median(values: list[float]) -> float:
    """The lower one of the middle two: of two peers the better one is the measure."""
    return sorted(values)[(len(values) - 1) // 2]
