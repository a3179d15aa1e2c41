"""What the router knows of a request, and the targets it may go to. Never its text."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from controller.core.models import Model, Provider
from controller.core.pools import Pool
from controller.core.records import record


class Complexity(StrEnum):
    """How much judgement a request needs."""

    SIMPLE = "simple"
    MEDIUM = "medium"
    COMPLEX = "complex"
    CRITICAL = "critical"


class Phase(StrEnum):
    """The stage of self-hosting a company is in; selects the rule table."""

    PHASE1 = "phase1"
    PHASE2 = "phase2"
    PHASE2_5 = "phase2.5"
    PHASE3 = "phase3"


class Operation(StrEnum):
    """Which API was called."""

    CHAT = "chat"
    COMPLETION = "completion"
    EMBEDDINGS = "embeddings"
    COUNT_TOKENS = "count_tokens"


class Priority(StrEnum):
    """How much a request's wait matters, highest first: somebody watches, soon will do, any time will do."""

    INTERACTIVE = "interactive"
    STANDARD = "standard"
    BATCH = "batch"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """Where a tenant's requests may go. `models`: catalogue keys, None for all; `auto`: whether it may ask for that.

    `own_only`: its data stays on own GPUs, whatever the caller says.
    """

    models: frozenset[str] | None = None
    auto: bool = True
    own_only: bool = False


ANYWHERE = Reach()


@record
class RequestProfile:
    """Everything routing needs; built by `routing.classify`."""

    operation: Operation
    requested_model: str  # "auto", a catalogue key, a pool name or a provider's model id
    task: str | None
    complexity: Complexity
    complexity_source: str  # "explicit" | "task" | "heuristic"
    needs_vision: bool
    needs_tools: bool
    needs_json: bool
    input_tokens_estimate: int
    output_tokens_estimate: int
    prefixes: tuple[tuple[int, int], ...]  # by `routing.prefix`: name and length of beginnings, shortest first
    tenant: str
    stream: bool
    spill_allowed: bool = True
    # From when the request was accepted: until the first byte (of a whole answer the last), and until the last one.
    deadline_s: float | None = None
    answer_within_s: float | None = None
    max_cost_nanousd: int | None = None  # of an external call, at most
    priority: Priority = Priority.STANDARD
    reach: Reach = ANYWHERE


class TargetKind(StrEnum):
    """Own pool or bought."""

    OWN = "own"
    EXTERNAL = "external"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One link of the chain to try. Own: `pool` set; external: `provider` set. `reason` in words.

    `name`: that of the pool or provider, the label of metrics and headers. Kept, as a request asks for it ten times.
    """

    model: Model
    pool: Pool | None
    provider: Provider | None
    reason: str
    kind: TargetKind = field(init=False)
    name: str = field(init=False)

    def __post_init__(self) -> None:
        named = self.pool or self.provider
        object.__setattr__(self, "kind", TargetKind.OWN if self.pool is not None else TargetKind.EXTERNAL)
        object.__setattr__(self, "name", "" if named is None else named.name)
