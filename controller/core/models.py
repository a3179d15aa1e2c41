"""What the catalogue holds: models, providers, GPU shapes and step-time fits."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum

from controller.core.money import Price


class Capability(StrEnum):
    """What a model can do; a request's needs are matched against these."""

    TEXT = "text"
    JSON = "json"
    VISION = "vision"
    FUNCTION_CALLING = "function_calling"
    COMPLEX_REASONING = "complex_reasoning"
    CRITIQUE = "critique"
    ISSUE_DETECTION = "issue_detection"
    STRATEGY = "strategy"
    FAST_INFERENCE = "fast_inference"
    EMBEDDINGS = "embeddings"


class Feature(StrEnum):
    """What a request may ask for and not every target can do, beyond capabilities: what is known of single APIs."""

    LOGPROBS = "logprobs"
    LOGIT_BIAS = "logit_bias"
    SEVERAL_CHOICES = "several_choices"
    FORCED_TOOLS = "forced_tools"
    JSON_SCHEMA = "json_schema"
    EFFORT = "effort"


class Dialect(StrEnum):
    """The wire protocol a provider speaks."""

    OPENAI = "openai"
    ANTHROPIC = "anthropic"


SELF_HOSTED = "self-hosted"  # the provider name of models that own pools serve


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """What memory arithmetic needs of an own model. `dtype` is that of the published weights, e.g. bf16.

    `embedding_parameters`: input and output embeddings, which 4-bit weights leave at 16 bits. `attention_heads`: None
    where they are not known. `gated`: the weights are handed out only to a token whose owner accepted the licence.
    """

    hf_id: str
    parameters: int
    layers: int
    kv_heads: int
    head_dim: int
    dtype: str
    embedding_parameters: int = 0
    attention_heads: int | None = None
    gated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """One catalogue entry."""

    key: str
    provider: str
    model_id: str
    tier: int
    capabilities: frozenset[Capability]
    context_tokens: int
    max_output_tokens: int
    price: Price
    planning_usd_per_1k_tokens: Decimal | None = None
    planning_latency_ms: tuple[int, int] | None = None
    enabled: bool = True
    shutdown_date: date | None = None
    replaced_by: str | None = None
    architecture: Architecture | None = None
    accepts_temperature: bool = True  # False: the API refuses a temperature, so none may be added
    refuses: frozenset[Feature] = frozenset()  # requests that need one of these go elsewhere
    takes: frozenset[Feature] = frozenset()  # what Anthropic's API has a field for with this model

    @property
    def is_own(self) -> bool:
        """Served by a pool of ours, not bought."""
        return self.provider == SELF_HOSTED


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """An external API. `simulated` marks the stand-in, everywhere it shows."""

    name: str
    dialect: Dialect
    base_url: str  # with the version suffix, e.g. https://api.openai.com/v1
    api_key_env: str  # the variable with its key
    more_key_envs: tuple[str, ...] = ()
    api_key_files: tuple[str, ...] = ()  # a key each; read again while the gateway runs
    shared_quota: bool = False  # its keys count against one limit
    requests_per_min: int | None = None
    tokens_per_min: int | None = None
    ttft_s: float = 0.4  # planning figure for the stand-in and for prediction
    tokens_per_s: float = 100.0
    simulated: bool = False
    private_address: bool = False  # its name may lead to an address that is not public
    ca_file: str | None = None  # certificates of an authority that is trusted for this provider too
    refuses: frozenset[Feature] = frozenset()  # of all its models


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuShape:
    """A rentable instance type."""

    instance_type: str
    gpu: str  # a10g, a100-40, ...
    gpus: int
    gpu_memory_gib: float  # usable GiB of one GPU
    usd_per_hour: Decimal
    source: str
    as_of: date


@dataclass(frozen=True, slots=True, kw_only=True)
class StepTimes:
    """Time of one engine iteration with B decodes over S context tokens in all and T prefill tokens:

    `t_ms = correction * (alpha + beta*B + gamma*S/1000) + p1*T/1000 + p2*(T/1000)^2`; a prefill-only step costs
    `p0 + p1*T/1000 + p2*(T/1000)^2`. The square is that of one whole prompt: attention between its own tokens.
    An iteration with prompts is shorter by `overlap`, as far as `p1*T/1000` goes: weights are read while their tokens
    are computed; and attention over S costs `mixed_gamma*S/1000` more in it, its kernels being those for prompts.
    `schedules_ahead`: the engine fixes each iteration when the one before begins, so that a newcomer waits for both.
    Source: calibration data in controller/catalogue/step_times.yaml.
    """

    alpha_ms: float
    beta_ms_per_seq: float
    gamma_ms_per_1k_context: float
    correction: float
    p0_ms: float
    p1_ms_per_1k: float
    p2_ms_per_1k_sq: float
    kv_cache_tokens: int
    overlap_ms: float = 0.0
    mixed_gamma_ms_per_1k_context: float = 0.0
    schedules_ahead: bool = False

    @classmethod
    def measured(
        cls,
        constants: Iterable[float],
        *,
        kv_cache_tokens: int,
        overlap_ms: float = 0.0,
        mixed_gamma_ms_per_1k_context: float = 0.0,
        schedules_ahead: bool = False,
    ) -> StepTimes:
        """Those of alpha, beta, gamma, p1 and p2 as a server showed them: nothing to correct, and a prompt alone takes
        alpha too.
        """
        alpha_ms, beta_ms_per_seq, gamma_ms_per_1k_context, p1_ms_per_1k, p2_ms_per_1k_sq = constants
        return cls(
            alpha_ms=alpha_ms,
            beta_ms_per_seq=beta_ms_per_seq,
            gamma_ms_per_1k_context=gamma_ms_per_1k_context,
            correction=1.0,
            p0_ms=alpha_ms,
            p1_ms_per_1k=p1_ms_per_1k,
            p2_ms_per_1k_sq=p2_ms_per_1k_sq,
            kv_cache_tokens=kv_cache_tokens,
            overlap_ms=overlap_ms,
            mixed_gamma_ms_per_1k_context=mixed_gamma_ms_per_1k_context,
            schedules_ahead=schedules_ahead,
        )

    def step_s(
        self, decodes: int, context_tokens: int, prefill_tokens: int, prefill_squares: int | None = None
    ) -> float:
        """Seconds one iteration takes.

        `prefill_squares` sums `end^2 - start^2` over the chunks of prompts, so that a prompt costs the same attention
        however it is cut; without it the tokens are those of one whole prompt.
        """
        squares = prefill_tokens * prefill_tokens if prefill_squares is None else prefill_squares
        compute_ms = self.p1_ms_per_1k * prefill_tokens / 1e3
        prefill_ms = compute_ms + self.p2_ms_per_1k_sq * squares / 1e6
        if prefill_tokens:
            prefill_ms += self.mixed_gamma_ms_per_1k_context * context_tokens / 1e3 - min(self.overlap_ms, compute_ms)
        if decodes == 0:
            return (self.p0_ms + prefill_ms) / 1000.0 if prefill_tokens else 0.0
        decode_ms = (
            self.alpha_ms + self.beta_ms_per_seq * decodes + self.gamma_ms_per_1k_context * context_tokens / 1000.0
        )
        return (self.correction * decode_ms + prefill_ms) / 1000.0
