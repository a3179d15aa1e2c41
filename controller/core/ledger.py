"""What is written down about each request: tokens, money, tries, times. Never its text."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from controller.core.money import Usage
from controller.core.records import record
from controller.core.requests import TargetKind


@record
class AttemptRecord:
    """One try. `outcome` is "answered", "broken" or the error in words; `status` the upstream's, if it answered."""

    target: str  # pool or provider name
    kind: TargetKind
    model_key: str
    replica_id: str | None
    outcome: str
    status: int | None
    started_after_s: float  # since the request was accepted
    took_s: float


@record
class LedgerEntry:
    """One finished request. `cost_nanousd` of own targets is the planning price, and never counts against a budget."""

    request_id: str
    at_s: float  # unix seconds when it was accepted
    tenant: str
    key_id: str
    operation: str
    requested_model: str
    task: str | None
    complexity: str
    status: int
    target_kind: TargetKind | None  # None: refused before any target
    target: str | None
    model_key: str | None
    model_id: str | None
    replica_id: str | None
    usage: Usage
    cost_nanousd: int
    spilled: bool
    reason: str
    chain: tuple[str, ...]
    attempts: tuple[AttemptRecord, ...]
    predicted_ttft_s: float | None
    ttft_s: float | None
    e2e_s: float
    error: str | None
    simulated: bool
    stream: bool
    gpu_s: float | None = None  # GPU seconds of own replicas, shared among the requests there; None: none used
    outcome_unknown: bool = False  # nobody was told how it ended: the cost is the estimate made beforehand
    home_pool: str | None = None  # where the rules wanted it first; None: they wanted an external model


@record
class Reservation:
    """Money set aside before an external call, and what is written down should its outcome never be known.

    `amount_nanousd` is the most that the call can cost; `estimate_nanousd`, which is not more, what it should.
    """

    request_id: str
    expires_at_s: float  # unix seconds: when its outcome counts as unknown
    amount_nanousd: int
    estimate_nanousd: int
    at_s: float  # unix seconds when the request was accepted: it is bought in that day and month
    tenant: str
    key_id: str
    operation: str
    requested_model: str
    complexity: str
    target: str
    model_key: str
    model_id: str
    input_tokens: int  # expected
    output_tokens: int  # expected
    spilled: bool
    simulated: bool
    stream: bool
    home_pool: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """What waits for its commit. `rows`: rows, reservations and what takes them back; `oldest_s`: the age of the oldest
    row, since its request ended; 0 when there is none.
    """

    rows: int = 0
    oldest_s: float = 0.0


class Verdict(Enum):
    """What the ledger says to a reservation."""

    GRANTED = "granted"
    DAY_SPENT = "day"
    MONTH_SPENT = "month"
    POOL_HOUR_SPENT = "pool's hour"
    UNAVAILABLE = "unavailable"  # the database did not answer in time
