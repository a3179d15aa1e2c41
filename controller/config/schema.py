"""The shape of spillway.yaml: pydantic models, unknown keys refused, every number bounded.

`controller.config.build` turns a checked `Config` into frozen `Settings`. JSON Schema: `spillway config schema`.
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from controller.catalogue.rows import (
    ArchitectureRow,
    File,
    KeyFiles,
    Milliseconds,
    Url,
    Usd,
    Variable,
    Variables,
    Weights,
)
from controller.config.addresses import AdminServer, Endpoint, Host
from controller.core.models import Capability, Dialect, Feature
from controller.core.requests import Complexity, Phase, Priority

Name = Annotated[
    str,
    Field(
        pattern=r"^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$",
        description="lower-case letters, digits, dots and dashes, at most 63, with a letter or digit at both ends",
    ),
]
Port = Annotated[int, Field(strict=True, ge=1, le=65535)]
Key = Annotated[str, Field(min_length=1, max_length=100)]
Seconds = Annotated[float, Field(strict=True, gt=0, le=86_400)]


DATABASE_VARIABLE = "SPILLWAY_DATABASE_URL"


class Section(BaseModel):
    """Base of every section."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=(), defer_build=True)


class CapsSection(Section):
    """Limits on what a caller may send."""

    body_bytes: Annotated[int, Field(strict=True, ge=1024, le=1024**3)] = 10 * 1024 * 1024
    json_depth: Annotated[int, Field(strict=True, ge=4, le=250)] = 64  # orjson writes 254 levels
    choices: Annotated[int, Field(strict=True, ge=1, le=128)] = 8
    in_flight: Annotated[int, Field(strict=True, ge=1, le=1_000_000)] = 4096
    waiting: Annotated[int, Field(strict=True, ge=0, le=1_000_000)] = 1024


class TimeoutsSection(Section):
    """Deadlines of one try and of the whole request."""

    header_s: Seconds = 10.0
    body_s: Seconds = 30.0
    connect_s: Seconds = 1.0
    ttft_s: Seconds = 60.0
    idle_s: Seconds = 60.0
    total_s: Seconds = 600.0
    provider_ttft_s: Seconds = 20.0
    ledger_s: Annotated[float, Field(strict=True, ge=0.005, le=5)] = 0.05


class GatewaySection(Section):
    """Where the gateway listens."""

    host: Annotated[str, Field(min_length=1, max_length=255)] = "127.0.0.1"
    port: Port = 8080
    admin_host: Annotated[str, Field(min_length=1, max_length=255)] = "127.0.0.1"
    admin_port: Port = 8081
    drain_lead_s: Annotated[float, Field(strict=True, ge=0, le=300)] = 0.0
    drain_s: Annotated[float, Field(strict=True, ge=0, le=3600)] = 30.0
    media_hosts: frozenset[Host] = frozenset()
    resume: Annotated[bool, Field(strict=True)] = False
    caps: CapsSection = CapsSection()
    timeouts: TimeoutsSection = TimeoutsSection()


class ControllerSection(Section):
    """The control loop."""

    host: Annotated[str, Field(min_length=1, max_length=255)] = "127.0.0.1"
    port: Port = 8082
    tick_s: Annotated[float, Field(strict=True, ge=0.05, le=60)] = 1.0
    scrape_timeout_s: Annotated[float, Field(strict=True, gt=0, le=60)] = 0.8
    gateways: Annotated[tuple[AdminServer, ...], Field(max_length=64)] = ()


class ModelPatch(Section):
    """Fields of a catalogue entry: those to change, or all that a new one needs."""

    provider: Key | None = None
    model_id: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    tier: Annotated[int, Field(strict=True, ge=1, le=3)] | None = None
    capabilities: frozenset[Capability] | None = None
    context_tokens: Annotated[int, Field(strict=True, ge=1, le=100_000_000)] | None = None
    max_output_tokens: Annotated[int, Field(strict=True, ge=1, le=100_000_000)] | None = None
    usd_per_mtok_in: Usd | None = None
    usd_per_mtok_out: Usd | None = None
    usd_per_mtok_cached_in: Usd | None = None
    source: Annotated[str, Field(min_length=1, max_length=300)] | None = None
    as_of: date | None = None
    planning_usd_per_1k_tokens: Usd | None = None
    planning_latency_ms: tuple[Milliseconds, Milliseconds] | None = None
    enabled: bool | None = None
    shutdown_date: date | None = None
    replaced_by: str | None = None
    architecture: ArchitectureRow | None = None
    accepts_temperature: bool | None = None
    refuses: frozenset[Feature] | None = None
    takes: frozenset[Feature] | None = None


class ProviderPatch(Section):
    """Fields of a provider: those to change, or all that a new one needs."""

    dialect: Dialect | None = None
    base_url: Url | None = None
    api_key_env: Variables | None = None
    api_key_file: KeyFiles | None = None
    shared_quota: Annotated[bool, Field(strict=True)] | None = None
    requests_per_min: Annotated[int, Field(strict=True, ge=1, le=10_000_000)] | None = None
    tokens_per_min: Annotated[int, Field(strict=True, ge=1, le=10_000_000_000)] | None = None
    ttft_s: Annotated[float, Field(strict=True, gt=0, le=60)] | None = None
    tokens_per_s: Annotated[float, Field(strict=True, gt=0, le=100_000)] | None = None
    private_address: Annotated[bool, Field(strict=True)] | None = None
    ca_file: File | None = None
    refuses: frozenset[Feature] | None = None
    source: str | None = None
    as_of: date | None = None


class EngineSection(Section):
    """vLLM launch arguments."""

    tensor_parallel: Literal[1, 2, 4, 8] = 1
    max_model_len_tokens: Annotated[int, Field(strict=True, ge=256, le=10_000_000)] = 8192
    max_num_seqs: Annotated[int, Field(strict=True, ge=1, le=4096)] = 64
    max_num_batched_tokens: Annotated[int, Field(strict=True, ge=64, le=1_000_000)] | None = None
    gpu_memory_utilization_ratio: Annotated[float, Field(strict=True, ge=0.1, le=0.98)] = 0.90
    weights: Weights = "bf16"
    block_size_tokens: Literal[8, 16, 32, 64, 128] = 16


class SloSection(Section):
    """Service level objective."""

    ttft_p95_s: Annotated[float, Field(strict=True, gt=0, le=600)] = 2.0
    tpot_p95_s: Annotated[float, Field(strict=True, gt=0, le=60)] = 0.1


class ReplicasSection(Section):
    """Bounds of autoscaling."""

    min: Annotated[int, Field(strict=True, ge=0, le=1000)] = 1
    max: Annotated[int, Field(strict=True, ge=1, le=1000)] = 4

    @model_validator(mode="after")
    def _ordered(self) -> ReplicasSection:
        if self.min > self.max:
            raise ValueError(f"min {self.min} must not be more than max {self.max}")
        return self


class AutoscaleSection(Section):
    """Timing of autoscaling, and what a replica is worth."""

    home_use_ratio: Annotated[float, Field(strict=True, gt=0, le=1.0)] = 0.5
    start_patience_ratio: Annotated[float, Field(strict=True, ge=0.05, le=100.0)] = 1.0
    target_utilization_ratio: Annotated[float, Field(strict=True, ge=0.1, le=1.0)] = 0.95
    cold_start_s: Annotated[float, Field(strict=True, ge=0, le=7200)] = 240.0
    scale_down_cooldown_s: Annotated[float, Field(strict=True, ge=0, le=86_400)] = 300.0
    drain_deadline_s: Annotated[float, Field(strict=True, ge=0, le=3600)] = 120.0
    max_actions_per_hour: Annotated[int, Field(strict=True, ge=2, le=3600)] = 60


class SpillSection(Section):
    """Where to and when a pool spills."""

    to: tuple[Key, ...] = ()
    enter_saturation_ratio: Annotated[float, Field(strict=True, gt=0, le=2)] = 0.90
    exit_saturation_ratio: Annotated[float, Field(strict=True, ge=0, le=2)] = 0.60
    min_dwell_s: Annotated[float, Field(strict=True, ge=0, le=3600)] = 20.0
    return_ramp_ratio_per_s: Annotated[float, Field(strict=True, gt=0, le=1)] = 0.02
    max_usd_per_hour: Usd | None = None

    @model_validator(mode="after")
    def _ordered(self) -> SpillSection:
        if self.exit_saturation_ratio >= self.enter_saturation_ratio:
            exit_ratio, enter_ratio = self.exit_saturation_ratio, self.enter_saturation_ratio
            raise ValueError(
                f"exit_saturation_ratio {exit_ratio} must be less than enter_saturation_ratio {enter_ratio}"
            )
        return self


class NodePoolSection(Section):
    """Nodes that several pools share: each pool with `node_pool` starts its replicas on them, and nowhere else."""

    instance_type: Key
    nodes: Annotated[int, Field(strict=True, ge=1, le=1000)] = 1


class PoolSection(Section):
    """One pool of replicas of one own model. With `endpoints` the replicas are fixed, never started or stopped."""

    name: Name
    model: Key
    instance_type: Key = "g5.2xlarge"
    engine: EngineSection = EngineSection()
    slo: SloSection = SloSection()
    replicas: ReplicasSection = ReplicasSection()
    autoscale: AutoscaleSection = AutoscaleSection()
    spill: SpillSection = SpillSection()
    endpoints: tuple[Endpoint, ...] = ()
    model_dir: Annotated[str, Field(min_length=1, max_length=4096)] | None = None
    node_pool: Key | None = None


class RuleSection(Section):
    """One rule: a model, and conditions that must all hold; one left out means "any"."""

    model: Key
    phases: frozenset[Phase] = frozenset()
    tasks: frozenset[Key] = frozenset()
    except_tasks: frozenset[Key] = frozenset()
    complexities: frozenset[Complexity] = frozenset()
    needs_vision: bool | None = None


class RulesSection(Section):
    """The rules of the model `auto`, read from the top; they replace the built-in ones."""

    table: tuple[RuleSection, ...] = ()
    default_model: Key


class BudgetsSection(Section):
    """The older spelling of `usd_per_day` in `tenants`; `*` is every tenant that is not named."""

    usd_per_day: dict[Key, Usd] = {}


class TenantSection(Section):
    """One tenant, or `*` for everyone. What is left out is as for everyone; null is no limit, whatever holds for them.

    `models`: catalogue keys, pools and `auto`, which then chooses among the others. `priority`: of requests that do
    not say, and the highest they get. `residency: own`: own GPUs only, whatever the caller says.
    """

    requests_per_min: Annotated[int, Field(strict=True, ge=1, le=10_000_000)] | None = None
    tokens_per_min: Annotated[int, Field(strict=True, ge=1, le=10_000_000_000)] | None = None
    usd_per_day: Usd | None = None
    usd_per_month: Usd | None = None
    models: Annotated[tuple[Key, ...], Field(min_length=1)] | None = None
    priority: Priority | None = None
    residency: Literal["any", "own"] | None = None


class Config(Section):
    """spillway.yaml as a whole; every section may be left out."""

    phase: Phase = Phase.PHASE1
    gateway: GatewaySection = GatewaySection()
    controller: ControllerSection = ControllerSection()
    models: dict[Name, ModelPatch] = {}
    providers: dict[Name, ProviderPatch] = {}
    pools: tuple[PoolSection, ...] = ()
    node_pools: dict[Name, NodePoolSection] = {}
    rules: RulesSection | None = None
    fallbacks: dict[Key, tuple[Key, ...]] = {}
    budgets: BudgetsSection = BudgetsSection()
    tenants: dict[Key, TenantSection] = {}
    simulated_cold_start_s: Annotated[float, Field(strict=True, ge=0, le=3600)] = 3.0
    standin_port: Port = 8090
    state_dir: Annotated[str, Field(min_length=1, max_length=4096)] = ".spillway"
    database_url_env: Variable = DATABASE_VARIABLE
