"""Small worlds for the routing tests: models, providers, pools, tables and profiles."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal

from controller.core.fleet import FleetView, PoolView, RoutingMode
from controller.core.models import SELF_HOSTED, Architecture, Capability, Dialect, Model, Provider, StepTimes
from controller.core.money import Price
from controller.core.pools import EngineArgs, Pool, ScalePolicy, Slo, SpillPolicy
from controller.core.requests import Complexity, Operation, Phase, RequestProfile, Target
from controller.core.samples import PoolSample
from controller.routing.phases import DEFAULT_RULES
from controller.routing.table import RoutingTable, pools_by_model

TODAY = date(2026, 11, 23)
PLAIN = frozenset({Capability.TEXT, Capability.JSON})
EVERYTHING = frozenset(Capability) - {Capability.EMBEDDINGS}
STEPS = StepTimes(
    alpha_ms=28.0,
    beta_ms_per_seq=0.1,
    gamma_ms_per_1k_context=0.3,
    correction=1.0,
    p0_ms=10.0,
    p1_ms_per_1k=250.0,
    p2_ms_per_1k_sq=2.0,
    kv_cache_tokens=30_000,
)


def price(usd_per_mtok_in: str = "1") -> Price:
    """A list price."""
    return Price(
        usd_per_mtok_in=Decimal(usd_per_mtok_in),
        usd_per_mtok_out=Decimal(4),
        usd_per_mtok_cached_in=Decimal("0.5"),
        source="test",
        as_of=TODAY,
    )


def model(
    key: str, provider: str = "openai", capabilities: frozenset[Capability] = EVERYTHING, **changes: object
) -> Model:
    """A catalogue entry with a large context."""
    entry = Model(
        key=key,
        provider=provider,
        model_id=f"{key}-id",
        tier=1,
        capabilities=capabilities,
        context_tokens=128_000,
        max_output_tokens=16_384,
        price=price(),
    )
    return replace(entry, **changes)  # type: ignore[arg-type]


def own_model(key: str) -> Model:
    """A model that our pools serve, with published weights."""
    weights = Architecture(hf_id=f"org/{key}", parameters=8, layers=1, kv_heads=1, head_dim=1, dtype="bf16")
    return model(key, SELF_HOSTED, PLAIN, architecture=weights)


def provider(name: str, dialect: Dialect = Dialect.OPENAI) -> Provider:
    """An external API."""
    return Provider(name=name, dialect=dialect, base_url=f"http://{name}.test/v1", api_key_env=f"{name.upper()}_KEY")


def pool(name: str, model_key: str, *, spill_to: tuple[str, ...] = ()) -> Pool:
    """A pool of 8,192-token engines."""
    return Pool(
        name=name,
        model=model_key,
        instance_type="g5.2xlarge",
        engine=EngineArgs(),
        slo=Slo(ttft_p95_s=1.0, tpot_p95_s=0.05),
        scale=ScalePolicy(),
        spill=SpillPolicy(to=spill_to),
    )


MODELS = {
    entry.key: entry
    for entry in (
        model("gpt-4o-mini", capabilities=PLAIN | {Capability.FUNCTION_CALLING}),
        model("gpt-4o"),
        model("claude-3-5-sonnet", "anthropic", shutdown_date=date(2025, 10, 28), replaced_by="claude-now"),
        model("claude-now", "anthropic"),
        model("ft-ux-detector", capabilities=PLAIN),
        model("ft-strategy-planner", capabilities=PLAIN),
        model("llama-8b-groq", "groq", shutdown_date=date(2026, 8, 16), replaced_by="gpt-oss-20b-groq"),
        model("gpt-oss-20b-groq", "groq"),
        model("gone", shutdown_date=date(2026, 1, 1)),
        model("loop-a", shutdown_date=date(2026, 1, 1), replaced_by="loop-b"),
        model("loop-b", shutdown_date=date(2026, 1, 1), replaced_by="loop-a"),
        model("off", enabled=False),
        model("keyless", "together"),
        model("orphan", "nobody"),
        model("small", context_tokens=4_096, max_output_tokens=1_000),
        model("embed-dear", capabilities=frozenset({Capability.EMBEDDINGS}), price=price("2"), max_output_tokens=0),
        model("embed", capabilities=frozenset({Capability.EMBEDDINGS}), price=price("0.02"), max_output_tokens=0),
        own_model("llama-8b-self"),
        own_model("mixtral-8x7b-self"),
        own_model("poolless-self"),
    )
}
PROVIDERS = {
    "openai": provider("openai"),
    "anthropic": provider("anthropic", Dialect.ANTHROPIC),
    "groq": provider("groq"),
    "together": provider("together"),
}
POOLS = {
    "llama-8b": pool("llama-8b", "llama-8b-self", spill_to=("llama-8b-groq", "gpt-4o-mini")),
    "mixtral-8x7b": pool("mixtral-8x7b", "mixtral-8x7b-self", spill_to=("gpt-4o",)),
}
TABLE = RoutingTable(
    phase=Phase.PHASE3,
    rules=DEFAULT_RULES,
    models=MODELS,
    providers=PROVIDERS,
    pools=POOLS,
    pool_by_model=pools_by_model(POOLS.values()),
    fallbacks={"llama-8b-self": ("gpt-4o-mini", "mixtral-8x7b-self"), "gpt-4o": ("claude-3-5-sonnet",)},
    today=TODAY,
    usable_providers=frozenset({"openai", "anthropic", "groq"}),
)
PROFILE = RequestProfile(
    operation=Operation.CHAT,
    requested_model="auto",
    task=None,
    complexity=Complexity.SIMPLE,
    complexity_source="heuristic",
    needs_vision=False,
    needs_tools=False,
    needs_json=False,
    input_tokens_estimate=100,
    output_tokens_estimate=128,
    prefixes=(),
    tenant="acme",
    stream=False,
)


def profile(**changes: object) -> RequestProfile:
    """A small chat request for `auto`."""
    return replace(PROFILE, **changes)  # type: ignore[arg-type]


def table(**changes: object) -> RoutingTable:
    """The phase 3 table."""
    return replace(TABLE, **changes)  # type: ignore[arg-type]


def keys(chain: tuple[Target, ...]) -> list[str]:
    """The catalogue keys of a chain."""
    return [target.model.key for target in chain]


def own_target(name: str = "llama-8b") -> Target:
    """A target in one of our pools."""
    return Target(model=MODELS[POOLS[name].model], pool=POOLS[name], provider=None, reason="own")


def external_target(key: str = "gpt-4o") -> Target:
    """A bought target."""
    return Target(model=MODELS[key], pool=None, provider=PROVIDERS[MODELS[key].provider], reason="bought")


def view(**modes: RoutingMode) -> FleetView:
    """A fleet in which the named pools (underscores for dashes) have these modes."""
    names = {name.replace("_", "-"): mode for name, mode in modes.items()}
    return FleetView(pools={name: PoolView(name=name, mode=mode) for name, mode in names.items()})


def sample(*, ready: int = 2, saturation_ratio: float = 0.3, demand_replicas: float = 1.0) -> PoolSample:
    """One tick's measurement."""
    return PoolSample(
        at_s=0.0,
        replicas_ready=ready,
        replicas_warming=0,
        replicas_draining=0,
        running=1,
        waiting=0,
        kv_cache_usage_ratio=0.1,
        saturation_ratio=saturation_ratio,
        arrivals_per_s=1.0,
        spilled_per_s=0.0,
        demand_replicas=demand_replicas,
    )
