"""The shape of one row of each YAML file, checked with pydantic; `controller.config` uses it for users' rows too."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from controller.core.models import (
    SELF_HOSTED,
    Architecture,
    Capability,
    Dialect,
    Feature,
    GpuShape,
    Model,
    Provider,
    StepTimes,
)
from controller.core.money import Price

Usd = Annotated[Decimal, Field(ge=0, le=1_000_000)]
Url = Annotated[
    str,
    Field(
        pattern=r"^https?://[^\s/?#@]+(/[^\s?#@]*)?$",
        max_length=300,
        description="a URL such as https://api.example.com/v1, without credentials or query",
    ),
]
Variable = Annotated[
    str, Field(pattern=r"^[A-Z][A-Z0-9_]*$", max_length=100, description="a variable name such as OPENAI_API_KEY")
]
Variables = Annotated[
    str,
    Field(
        pattern=r"^[A-Z][A-Z0-9_]*(, ?[A-Z][A-Z0-9_]*)*$",
        max_length=1000,
        description="a variable name such as OPENAI_API_KEY, or several with commas",
    ),
]
KeyFiles = Annotated[
    str,
    Field(
        pattern=r"^/[^,\x00]+(, ?/[^,\x00]+)*$",
        max_length=4000,
        description="the absolute path of a file that holds a key and nothing else, or several with commas",
    ),
]
File = Annotated[str, Field(pattern=r"^/[^\x00]+$", max_length=4000, description="the absolute path of a file")]
Weights = Literal["bf16", "fp8", "int8", "awq", "gptq"]
Milliseconds = Annotated[int, Field(strict=True, ge=0, le=600_000)]


class Row(BaseModel):
    """Base of every row: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=(), defer_build=True)


class ArchitectureRow(Row):
    """Sizes of an own model, as in its config.json."""

    hf_id: Annotated[str, Field(min_length=1, max_length=200)]
    parameters: Annotated[int, Field(strict=True, ge=1_000_000, le=10_000_000_000_000)]
    embedding_parameters: Annotated[int, Field(strict=True, ge=0, le=10_000_000_000_000)] = 0
    layers: Annotated[int, Field(strict=True, ge=1, le=1000)]
    kv_heads: Annotated[int, Field(strict=True, ge=1, le=1024)]
    head_dim: Annotated[int, Field(strict=True, ge=1, le=1024)]
    dtype: Weights = "bf16"
    attention_heads: Annotated[int, Field(strict=True, ge=1, le=4096)] | None = None
    gated: bool = False

    @model_validator(mode="after")
    def _embeddings_are_a_part(self) -> ArchitectureRow:
        if self.embedding_parameters > self.parameters:
            raise ValueError(
                f"embedding_parameters {self.embedding_parameters} must not be more than parameters {self.parameters}"
            )
        return self


class ModelRow(Row):
    """One entry of models.yaml."""

    provider: Annotated[str, Field(min_length=1, max_length=63)]
    model_id: Annotated[str, Field(min_length=1, max_length=200)]
    tier: Annotated[int, Field(ge=1, le=3)]
    capabilities: Annotated[frozenset[Capability], Field(min_length=1)]
    context_tokens: Annotated[int, Field(ge=1, le=100_000_000)]
    max_output_tokens: Annotated[int, Field(ge=1, le=100_000_000)]
    usd_per_mtok_in: Usd | None = None
    usd_per_mtok_out: Usd | None = None
    usd_per_mtok_cached_in: Usd | None = None
    source: Annotated[str, Field(min_length=1, max_length=300)] = "planning"
    as_of: date = date(2026, 11, 1)
    planning_usd_per_1k_tokens: Usd | None = None
    planning_latency_ms: tuple[Milliseconds, Milliseconds] | None = None
    enabled: bool = True
    shutdown_date: date | None = None
    replaced_by: str | None = None
    architecture: ArchitectureRow | None = None
    accepts_temperature: bool = True
    refuses: frozenset[Feature] = frozenset()
    takes: frozenset[Feature] = frozenset()

    @model_validator(mode="after")
    def _is_whole(self) -> ModelRow:
        low, high = self.planning_latency_ms or (0, 0)
        if low > high:
            raise ValueError(f"planning_latency_ms: {low} must not be more than {high}")
        listed = self.usd_per_mtok_in is not None and self.usd_per_mtok_out is not None
        if not listed and self.planning_usd_per_1k_tokens is None:
            raise ValueError("needs usd_per_mtok_in and usd_per_mtok_out, or planning_usd_per_1k_tokens")
        if self.provider == SELF_HOSTED and self.architecture is None:
            raise ValueError("a self-hosted model needs its architecture")
        return self

    def price(self) -> Price:
        """List price; without one, the planning price in both directions. Cached input costs the same if unsaid."""
        planning = (self.planning_usd_per_1k_tokens or Decimal(0)) * 1000
        price_in = planning if self.usd_per_mtok_in is None else self.usd_per_mtok_in
        return Price(
            usd_per_mtok_in=price_in,
            usd_per_mtok_out=planning if self.usd_per_mtok_out is None else self.usd_per_mtok_out,
            usd_per_mtok_cached_in=price_in if self.usd_per_mtok_cached_in is None else self.usd_per_mtok_cached_in,
            source=self.source,
            as_of=self.as_of,
        )

    def value(self, key: str) -> Model:
        """The frozen value under its catalogue key."""
        return Model(
            key=key,
            provider=self.provider,
            model_id=self.model_id,
            tier=self.tier,
            capabilities=self.capabilities,
            context_tokens=self.context_tokens,
            max_output_tokens=self.max_output_tokens,
            price=self.price(),
            planning_usd_per_1k_tokens=self.planning_usd_per_1k_tokens,
            planning_latency_ms=self.planning_latency_ms,
            enabled=self.enabled,
            shutdown_date=self.shutdown_date,
            replaced_by=self.replaced_by,
            architecture=Architecture(**self.architecture.model_dump()) if self.architecture is not None else None,
            accepts_temperature=self.accepts_temperature,
            refuses=self.refuses,
            takes=self.takes,
        )


def _several(names: str | None) -> tuple[str, ...]:
    return () if names is None else tuple(name.strip() for name in names.split(","))


class ProviderRow(Row):
    """One entry of providers.yaml."""

    dialect: Dialect = Dialect.OPENAI
    base_url: Url
    api_key_env: Variables
    api_key_file: KeyFiles | None = None
    shared_quota: bool = False
    requests_per_min: Annotated[int, Field(ge=1, le=10_000_000)] | None = None
    tokens_per_min: Annotated[int, Field(ge=1, le=10_000_000_000)] | None = None
    ttft_s: Annotated[float, Field(gt=0, le=60)] = 0.4
    tokens_per_s: Annotated[float, Field(gt=0, le=100_000)] = 100.0
    private_address: bool = False
    ca_file: File | None = None
    refuses: frozenset[Feature] = frozenset()
    source: str = "planning"
    as_of: date = date(2026, 11, 1)

    def value(self, name: str) -> Provider:
        """The frozen value under its name."""
        variables = _several(self.api_key_env)
        return Provider(
            name=name,
            dialect=self.dialect,
            base_url=self.base_url.rstrip("/"),
            api_key_env=variables[0],
            more_key_envs=variables[1:],
            api_key_files=_several(self.api_key_file),
            shared_quota=self.shared_quota,
            requests_per_min=self.requests_per_min,
            tokens_per_min=self.tokens_per_min,
            ttft_s=self.ttft_s,
            tokens_per_s=self.tokens_per_s,
            private_address=self.private_address,
            ca_file=self.ca_file,
            refuses=self.refuses,
        )


class GpuRow(Row):
    """One entry of gpus.yaml."""

    gpu: str
    gpus: Annotated[int, Field(ge=1, le=64)]
    gpu_memory_gib: Annotated[float, Field(gt=0, le=1024)]
    usd_per_hour: Usd
    source: str
    as_of: date

    def value(self, instance_type: str) -> GpuShape:
        """The frozen value under its instance type."""
        return GpuShape(instance_type=instance_type, **self.model_dump())


class StepTimesRow(Row):
    """One row of step_times.yaml; an `estimate` and what was `measured` say how."""

    model: str
    gpu: str
    tensor_parallel: Annotated[int, Field(ge=1, le=64)]
    weights: Weights
    alpha_ms: Annotated[float, Field(ge=0)]
    beta_ms_per_seq: Annotated[float, Field(ge=0)]
    gamma_ms_per_1k_context: Annotated[float, Field(ge=0)]
    correction: Annotated[float, Field(gt=0, le=2)]
    p0_ms: Annotated[float, Field(ge=0)]
    p1_ms_per_1k: Annotated[float, Field(ge=0)]
    p2_ms_per_1k_sq: Annotated[float, Field(ge=0)]
    kv_cache_tokens: Annotated[int, Field(ge=1)]
    overlap_ms: Annotated[float, Field(ge=0)] = 0.0
    mixed_gamma_ms_per_1k_context: Annotated[float, Field(ge=0)] = 0.0
    schedules_ahead: bool = False
    basis: Literal["measured", "fit", "estimate"]
    how: str | None = None
    as_of: date

    @model_validator(mode="after")
    def _estimates_say_how(self) -> StepTimesRow:
        if self.basis != "fit" and self.how is None:
            raise ValueError(f"{self.basis}: it must say how it was made")
        return self

    def value(self) -> StepTimes:
        """The coefficients alone."""
        return StepTimes(
            alpha_ms=self.alpha_ms,
            beta_ms_per_seq=self.beta_ms_per_seq,
            gamma_ms_per_1k_context=self.gamma_ms_per_1k_context,
            correction=self.correction,
            p0_ms=self.p0_ms,
            p1_ms_per_1k=self.p1_ms_per_1k,
            p2_ms_per_1k_sq=self.p2_ms_per_1k_sq,
            kv_cache_tokens=self.kv_cache_tokens,
            overlap_ms=self.overlap_ms,
            mixed_gamma_ms_per_1k_context=self.mixed_gamma_ms_per_1k_context,
            schedules_ahead=self.schedules_ahead,
        )
