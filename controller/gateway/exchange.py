"""One request on its way through the gateway: what each stage leaves for the next, and for the books at the end."""

from __future__ import annotations

from dataclasses import dataclass, field

from controller.core.keys import KeyRecord
from controller.core.ledger import AttemptRecord
from controller.core.money import Usage
from controller.core.records import record
from controller.core.requests import Operation, RequestProfile, Target
from controller.gateway.decode import Decoded
from controller.gateway.dialects.caller import Caller
from controller.gateway.resumable_stream import ResumableStream
from controller.gateway.tenant_rates import TenantRates

CALLER_LEFT = 499  # nginx's number for it; nobody sees it but the books


@record
class Skip:
    """A target that was not tried, and when it may be worth it. `code` is a label of metrics."""

    target: str
    code: str
    reason: str
    retry_after_s: float | None = None


@record
class Late(Skip):
    """A pool whose first token would come too late. `late_by_s`: until it would not; `gap_s`: between two places.

    `then_s`: the TTFT of who is given a place.
    """

    late_by_s: float
    gap_s: float
    then_s: float


@dataclass(slots=True, kw_only=True)
class Exchange:
    """Mutable on purpose: one per request, touched by one task only."""

    request_id: str
    header_id: bytes
    accepted_s: float  # monotonic
    at_s: float  # unix
    operation: Operation
    caller: Caller
    key: KeyRecord = field(init=False)  # these three are there once `classified` is true
    decoded: Decoded = field(init=False)
    profile: RequestProfile = field(init=False)
    classified: bool = False
    first_token_by_s: float | None = None  # monotonic; by the caller's own deadline
    rates: TenantRates | None = None  # None: its tenant has no such limits
    rate_minute: int | None = None  # in which it was counted; None: it was not
    rate_tokens: int = 0  # as estimated then
    plan: tuple[Target, ...] = ()  # by the rules; set by `planned`
    home: Target | None = None  # the own target that they wanted first; None when they wanted an external one
    chain: tuple[Target, ...] = ()  # in the order of this moment
    spill_reason: str | None = None
    attempts: list[AttemptRecord] = field(default_factory=list)
    skips: list[Skip] = field(default_factory=list)
    retries: int = 0
    waited_s: float = 0.0  # in the line before a pool
    target: Target | None = None  # who answers, or was tried last
    replica_id: str | None = None
    simulated: bool = False
    predicted_ttft_s: float | None = None
    usage: Usage | None = None
    cost_nanousd: int = 0
    bought: bool = False  # an external call went out: it may cost even when nobody heard the answer
    ttft_s: float | None = None
    gpu_s: float | None = None  # of own replicas, all tries together
    status: int = 0
    resumable: ResumableStream | None = None  # what remembers the token ids of a stream that may go on elsewhere
    started: bool = False  # the head of the answer went out
    error: str | None = None

    def planned(self, plan: tuple[Target, ...]) -> None:
        """The rules' chain, one target at least, and with it the home."""
        self.plan = plan
        self.home = plan[0] if plan[0].pool is not None else None

    @property
    def spilled(self) -> bool:
        """Answered outside of the pool it belongs to."""
        home, target = self.home, self.target
        return home is not None and target is not None and target.name != home.name

    def tried(self, target: Target, outcome: str, status: int | None, started_s: float, now_s: float) -> None:
        """Note what became of a try."""
        self.attempts.append(
            AttemptRecord(
                target=target.name,
                kind=target.kind,
                model_key=target.model.key,
                replica_id=self.replica_id,
                outcome=outcome,
                status=status,
                started_after_s=started_s - self.accepted_s,
                took_s=now_s - started_s,
            )
        )

    def passed_over(self, target: Target, skip: Skip) -> None:
        """Note why it was not tried. A provider is named with its model: a chain may hold two of one provider."""
        if target.provider is not None:
            skip = Skip(
                target=f"{target.name} {target.model.key}",
                code=skip.code,
                reason=skip.reason,
                retry_after_s=skip.retry_after_s,
            )
        self.skips.append(skip)

    def spill(self, reason: str) -> None:
        """Note why it leaves its pool; the first reason stays."""
        if self.spill_reason is None:
            self.spill_reason = reason
