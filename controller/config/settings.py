"""The configuration after loading: frozen values, already checked. Built by `controller.config.load`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from pathlib import Path

from controller.core.errors import Problem
from controller.core.models import Model, Provider, StepTimes
from controller.core.pools import NodePool, Pool
from controller.core.requests import Phase
from controller.core.tenants import TenantPolicy
from controller.routing.phases import RuleTable


@dataclass(frozen=True, slots=True, kw_only=True)
class Caps:
    """All limits on what callers and upstreams may send; what is over one is refused.

    The first five are settings. The others are the same in every gateway, so who is handed no `Caps` reads `CAPS`.
    """

    body_bytes: int = 10 * 1024 * 1024
    json_depth: int = 64
    choices: int = 8
    in_flight: int = 4096
    waiting: int = 1024  # for a place in one pool
    # the head and the connection
    header_bytes: int = 32 * 1024
    header_count: int = 100
    pipelined: int = 16  # requests ahead of their answers
    discard_bytes: int = 64 * 1024 * 1024  # of a body that nobody wants, so that its sender gets to read the answer
    idempotency_key_bytes: int = 255
    # the body
    json_weight: int = 500_000  # about as many small numbers, or a tenth as many objects
    messages: int = 10_000
    tools: int = 1024
    name_chars: int = 256  # of a model or a tool
    tokens: int = 10_000_000  # that an answer may have, or that a prompt is cut to
    logprobs: int = 20  # OpenAI's limit, and vLLM's unless its operator says otherwise
    entries: int = 1024  # biases, bad words, stop tokens, choices of a structure
    token_ids: int = 65_536
    stops: int = 128
    regex_chars: int = 4096
    regex_repeats: int = 10_000  # what nested counts multiply to
    grammar_chars: int = 65_536
    # answers of upstreams
    answer_header_bytes: int = 64 * 1024
    answer_bytes: int = 64 * 1024 * 1024  # of a whole one
    event_bytes: int = 1024 * 1024


CAPS = Caps()


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Deadlines of one try and of the whole request."""

    header_s: float = 10.0
    body_s: float = 30.0
    connect_s: float = 1.0
    ttft_s: float = 60.0
    idle_s: float = 60.0
    total_s: float = 600.0
    provider_ttft_s: float = 20.0  # first token of a bought stream, while another target is left to try
    ledger_s: float = 0.05  # for a reservation: a database that takes longer buys nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewaySettings:
    """Where the data plane listens, and its limits."""

    host: str = "127.0.0.1"
    port: int = 8080
    admin_host: str = "127.0.0.1"  # its own: opening the data plane does not open this
    admin_port: int = 8081
    drain_lead_s: float = 0.0  # unready already, new requests still taken
    drain_s: float = 30.0  # after it
    media_hosts: frozenset[str] = frozenset()  # own engines may fetch images from these
    resume: bool = False  # continue a stream on another replica when its own one dies
    caps: Caps = field(default_factory=Caps)
    timeouts: Timeouts = field(default_factory=Timeouts)


@dataclass(frozen=True, slots=True, kw_only=True)
class ControllerSettings:
    """The control loop. `gateways`: the admin servers of all gateways; (): there is only the one of this file."""

    host: str = "127.0.0.1"
    port: int = 8082
    tick_s: float = 1.0
    scrape_timeout_s: float = 0.8
    gateways: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetSettings:
    """Limits on external spend, per tenant name; "*" is the default for every tenant. None: no limit."""

    usd_per_day: Mapping[str, Decimal | None] = field(default_factory=dict)
    usd_per_month: Mapping[str, Decimal | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All of spillway.yaml plus the environment, resolved and checked."""

    file: Path | None
    state_dir: Path
    phase: Phase
    today: date
    gateway: GatewaySettings
    controller: ControllerSettings
    models: Mapping[str, Model]
    providers: Mapping[str, Provider]
    pools: Mapping[str, Pool]
    step_times: Mapping[str, StepTimes]  # by pool name
    rules: RuleTable
    fallbacks: Mapping[str, tuple[str, ...]]
    budgets: BudgetSettings
    tenants: Mapping[str, TenantPolicy] = field(default_factory=dict)  # those with limits, and "*"
    node_pools: Mapping[str, NodePool] = field(default_factory=dict)
    pepper_file: Path | None = None  # of the first pepper, made by somebody else; None: in the state folder
    database_url_env: str | None = None  # the variable that holds its URL; None: SQLite in the state folder
    simulated_cold_start_s: float = 3.0
    standin_port: int = 8090
    warnings: tuple[Problem, ...] = ()  # what is worth saying at start: dead models, unset keys

    @property
    def pepper_path(self) -> Path:
        """Where the first pepper is; later ones are beside it."""
        return self.state_dir / "pepper" if self.pepper_file is None else self.pepper_file
