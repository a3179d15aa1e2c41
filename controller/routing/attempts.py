"""The fallback: what to try next, given what happened. Does no I/O; the gateway drives the generator.

After the first byte has gone out, or an answer has been given, nothing is ever tried again.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence

from controller.core.errors import EngineUnavailable, UpstreamError, UpstreamRejected, UpstreamTimeout
from controller.core.records import record
from controller.core.requests import Target, TargetKind
from controller.routing.key_faults import is_key_refused

KEYS_PER_PROVIDER = 3  # tried for one request
_NEVER_BEGUN = frozenset({"connect", "progress"})  # progress: the engine hangs, its work is lost
# The request itself is at fault: another target would say the same, and the caller must hear it.
CALLERS_FAULT_STATUSES = frozenset({400, 404, 413, 422})


@record
class Attempt:
    """One try. `ordinal` starts at 1 and does not count skipped targets. `again`: something failed just before."""

    target: Target
    ordinal: int
    tried_replicas: frozenset[str] = frozenset()
    again: bool = False


@record
class Outcome:
    """What became of a try. `skipped`: it was not made at all, and why (no ready replica, breaker open, no budget).

    `another_key`: the provider refused the credential rather than the request, and there is another one.
    """

    answered: bool = False
    first_byte_sent: bool = False
    error: UpstreamError | None = None
    skipped: str | None = None
    another_key: bool = False
    replica_id: str | None = None


def is_callers_fault(error: UpstreamError | None) -> bool:
    """Whether the upstream refused the request itself, so that its answer belongs to the caller."""
    return isinstance(error, UpstreamRejected) and error.status in CALLERS_FAULT_STATUSES and not is_key_refused(error)


def is_replica_gone(error: UpstreamError | None) -> bool:
    """Whether one engine could not be reached, so that another replica of the same pool may do."""
    return isinstance(error, EngineUnavailable) or (isinstance(error, UpstreamTimeout) and error.phase in _NEVER_BEGUN)


def may_another_replica(error: UpstreamError | None) -> bool:
    """Whether the failure is that of one replica: it is gone, full or in trouble, and its peers need not be."""
    if isinstance(error, UpstreamRejected):
        return error.status >= 500 or error.status == 429
    return is_replica_gone(error)


def attempts(targets: Sequence[Target], *, replicas_per_pool: int = 3) -> Generator[Attempt, Outcome, None]:
    """Yield tries in order until one answers, a byte went out or the caller is at fault.

    Whoever may not try again ends it at an attempt that is one `again`.
    """
    ordinal, again = 1, False
    for target in targets:
        tried: frozenset[str] = frozenset()
        for _ in range(replicas_per_pool if target.kind is TargetKind.OWN else KEYS_PER_PROVIDER):
            outcome = yield Attempt(target=target, ordinal=ordinal, tried_replicas=tried, again=again)
            again = False
            if outcome.answered or outcome.first_byte_sent or is_callers_fault(outcome.error):
                return
            if outcome.skipped is not None:
                break
            ordinal += 1
            again = True
            if not (outcome.another_key if target.pool is None else may_another_replica(outcome.error)):
                break
            if outcome.replica_id is not None:
                tried |= {outcome.replica_id}


class RetryBudget:
    """Retries under way in one process: at most 20 % of active requests plus 3, so that a blip stays a blip."""

    __slots__ = ("_floor", "_ratio", "retrying")

    def __init__(self, *, ratio: float = 0.2, floor: int = 3) -> None:
        self._ratio = ratio
        self._floor = floor
        self.retrying = 0

    def most(self, active: int) -> float:
        """How many retries there may be while `active` requests are in flight."""
        return self._floor + self._ratio * active

    def take(self, active: int) -> bool:
        """Whether one more retry may start while `active` requests are in flight; counts it when so."""
        if self.retrying + 1 > self.most(active):
            return False
        self.retrying += 1
        return True

    def give_back(self, count: int) -> None:
        """The request that took `count` retries has ended."""
        self.retrying = max(0, self.retrying - count)
