"""The chain of targets a request may go to, in order, each with the reason in words.

`plan_chain` looks at the rules and the catalogue only, so callers cache it on `chain_key`; `choose` applies the live
picture (mode of the pool, the spill gate's word, the caller's refusal to spill) and runs on every request.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from difflib import get_close_matches

from controller.core.errors import RequestError
from controller.core.fleet import FleetView, RoutingMode
from controller.core.models import Capability, Dialect, Model, Provider
from controller.core.pools import Pool
from controller.core.requests import Operation, Phase, RequestProfile, Target
from controller.routing.phases import RuleTable, select

AUTO = "auto"
SMALL_TOKENS = 8192  # sizes up to here are told apart in small steps, larger ones in large steps
SMALL_STEP_TOKENS = 256
LARGE_STEP_TOKENS = 1024
REPLACEMENTS_MAX = 8  # a chain of replacements longer than this is a loop


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutingTable:
    """Everything a chain depends on besides the request. `usable_providers`: have a key, or are simulated."""

    phase: Phase
    rules: RuleTable
    models: Mapping[str, Model]
    providers: Mapping[str, Provider]
    pools: Mapping[str, Pool]
    pool_by_model: Mapping[str, Pool]  # by catalogue key
    fallbacks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    today: date
    usable_providers: frozenset[str]


def pools_by_model(pools: Iterable[Pool]) -> Mapping[str, Pool]:
    """The first pool of each catalogue key."""
    found: dict[str, Pool] = {}
    for pool in pools:
        found.setdefault(pool.model, pool)
    return found


def chain_key(profile: RequestProfile) -> tuple[object, ...]:
    """All of a profile that `plan_chain` looks at; equal keys have equal chains. Sizes are rounded up to steps."""
    return (
        profile.operation,
        profile.requested_model,
        profile.task,
        profile.complexity,
        profile.needs_vision,
        profile.needs_tools,
        profile.needs_json,
        _total_tokens(profile),
        _output_tokens(profile),
    )


def plan_chain(profile: RequestProfile, table: RoutingTable) -> tuple[Target, ...]:
    """Every capable target in order: the model, where its pool spills to, its fallbacks.

    Raises RequestError 404 for a name nobody knows, and 400 when nothing in the chain can do what is asked.
    """
    chain, dropped = _considered(profile, table)
    if not chain:
        why = "; ".join(f"{key}: {lack}" for key, lack in dropped.items()) or "no model is configured for it"
        raise RequestError(
            f"no model can serve this request ({why})",
            status=400,
            code="no_capable_model",
            param="model",
            should_retry=False,
        )
    return tuple(chain.values())


def passed_over(profile: RequestProfile, table: RoutingTable) -> Mapping[str, str]:
    """Catalogue keys that `plan_chain` wanted but left out, each with the reason: for explanations only."""
    return _considered(profile, table)[1]


def choose(
    profile: RequestProfile, chain: tuple[Target, ...], view: FleetView, *, spill_now: bool
) -> tuple[Target, ...]:
    """The chain in the order to try now; own targets stay in it, for a late answer is better than none.

    A pool in mode External goes to the end; one in Spilling goes behind the first external target when the gate says
    so (`spill_now` is about the pool at the head). A caller who forbids spilling gets own targets only.
    """
    if not profile.spill_allowed:
        return _own_only(chain)
    away: list[Target] = []
    here: list[Target] = []
    spilled: Target | None = None
    words = ""
    for target in chain:
        mode = _mode(target, view)
        if mode is RoutingMode.EXTERNAL:
            away.append(target)
            words = words or f"pool {target.name} is External"
        elif mode is RoutingMode.SPILLING and spill_now and target is chain[0]:
            spilled = target
            words = f"pool {target.name} is spilling"
        else:
            here.append(target)
    if not words:
        return chain
    if spilled is not None:
        behind = next((index + 1 for index, target in enumerate(here) if target.pool is None), 0)
        here.insert(behind, spilled)
    ordered = (*here, *away)
    head = ordered[0]
    if head.pool is not None:
        return ordered
    explained = Target(model=head.model, pool=None, provider=head.provider, reason=f"{words}; {head.reason}")
    return (explained, *ordered[1:])


def _considered(profile: RequestProfile, table: RoutingTable) -> tuple[dict[str, Target], dict[str, str]]:
    """What can serve the request, in order, and what cannot and why."""
    chain: dict[str, Target] = {}
    dropped: dict[str, str] = {}
    for wanted in (_wanted, _last_resort):
        for key, reason in () if chain else wanted(profile, table):
            found = _target(key, reason, profile, table)
            if isinstance(found, str):
                dropped[key] = found
            else:
                chain.setdefault(found.model.key, found)
    return chain, dropped


def _own_only(chain: tuple[Target, ...]) -> tuple[Target, ...]:
    own = tuple(target for target in chain if target.pool is not None)
    if not own:
        raise RequestError(
            "no own pool serves this request and x-spillway-spill: never forbids external models",
            status=400,
            code="no_own_target",
            param="x-spillway-spill",
            should_retry=False,
        )
    return own


def _mode(target: Target, view: FleetView) -> RoutingMode:
    """The mode of the target's pool; a pool that the view does not know is as planned."""
    if target.pool is None:
        return RoutingMode.LOCAL
    pool = view.pools.get(target.pool.name)
    return RoutingMode.LOCAL if pool is None else pool.mode


def _wanted(profile: RequestProfile, table: RoutingTable) -> Iterator[tuple[str, str]]:
    """Catalogue keys in order, with the reason for each, before any check."""
    if profile.requested_model != AUTO:
        key = _by_name(profile.requested_model, table)
        yield from _with_fallbacks(key, "asked for by name", table)
    elif profile.operation is Operation.EMBEDDINGS:
        embedders = [model for model in table.models.values() if Capability.EMBEDDINGS in model.capabilities]
        for model in sorted(embedders, key=lambda model: (model.price.usd_per_mtok_in, model.key)):
            yield model.key, "cheapest embeddings model"
    else:
        key, reason = select(table.rules, table.phase, profile.task, profile.complexity, profile.needs_vision)
        yield from _with_fallbacks(key, reason, table)


def _last_resort(profile: RequestProfile, table: RoutingTable) -> Iterator[tuple[str, str]]:
    """The default model of the rules, for `auto` when nothing planned can do the job."""
    if profile.requested_model == AUTO and profile.operation is not Operation.EMBEDDINGS:
        yield table.rules.default_model, "default: nothing else can do it"


def _target(key: str, reason: str, profile: RequestProfile, table: RoutingTable) -> Target | str:
    """The target for a catalogue key, or in words why there is none."""
    model = _alive(key, table)
    if model is None:
        return "unknown, shut down or switched off"
    pool = table.pool_by_model.get(model.key)
    provider = None if pool is not None else table.providers.get(model.provider)
    lack = _lack(profile, model, pool, provider, table)
    if lack is not None:
        return lack
    replaced = "" if model.key == key else f"; {key} is shut down"
    return Target(model=model, pool=pool, provider=provider, reason=reason + replaced)


def _with_fallbacks(key: str, reason: str, table: RoutingTable) -> Iterator[tuple[str, str]]:
    """The key, where its pool spills to, and its fallbacks."""
    yield key, reason
    model = _alive(key, table)
    pool = None if model is None else table.pool_by_model.get(model.key)
    if pool is not None:
        for spill_key in pool.spill.to:
            yield spill_key, f"spill of {pool.name}"
    names = (key,) if model is None or model.key == key else (key, model.key)
    for name in names:
        for fallback in table.fallbacks.get(name, ()):
            yield fallback, f"fallback of {name}"


def _by_name(name: str, table: RoutingTable) -> str:
    """The catalogue key for a key, a pool, a provider's model id or the published name of own weights."""
    model = table.models.get(name)
    if model is not None and model.enabled:
        return name
    if name in table.pools:
        return table.pools[name].model
    enabled = [model for model in table.models.values() if model.enabled]
    for model in enabled:
        if name == model.model_id or (model.architecture is not None and name == model.architecture.hf_id):
            return model.key
    known = [AUTO, *table.pools, *(model.key for model in enabled), *(model.model_id for model in enabled)]
    close = get_close_matches(name[:200], known, n=3, cutoff=0.5)
    hint = f"; did you mean {', '.join(dict.fromkeys(close))}?" if close else "; GET /v1/models lists what there is"
    raise RequestError(
        f"the model {name[:200]!r} does not exist{hint}",
        status=404,
        code="model_not_found",
        param="model",
        should_retry=False,
    )


def _alive(key: str, table: RoutingTable) -> Model | None:
    """The model, or what replaces it once it is shut down; None when neither lives or it is switched off."""
    for _ in range(REPLACEMENTS_MAX):
        model = table.models.get(key)
        if model is None or not model.enabled:
            return None
        if model.shutdown_date is None or table.today < model.shutdown_date:
            return model
        if model.replaced_by is None:
            return None
        key = model.replaced_by
    return None


def _lack(
    profile: RequestProfile, model: Model, pool: Pool | None, provider: Provider | None, table: RoutingTable
) -> str | None:
    """Why this model cannot serve the request, or None when it can."""
    missing = _needs(profile, own=pool is not None) - model.capabilities
    if missing:
        return "lacks " + ", ".join(sorted(missing))
    if pool is None:
        if model.is_own:
            return "no pool serves it"
        if provider is None or provider.name not in table.usable_providers:
            return f"no key for provider {model.provider}"
        if profile.operation is Operation.COMPLETION and provider.dialect is Dialect.ANTHROPIC:
            return "has no completions API"
    context_tokens = model.context_tokens
    if pool is not None:
        context_tokens = min(context_tokens, pool.engine.max_model_len_tokens)
    if _total_tokens(profile) > context_tokens:
        return f"context of {context_tokens} tokens is too short"
    if _output_tokens(profile) > max(model.max_output_tokens, SMALL_STEP_TOKENS):
        return f"answers at most {model.max_output_tokens} tokens"
    return None


def _needs(profile: RequestProfile, *, own: bool) -> frozenset[Capability]:
    """The capabilities a request asks for; tools and JSON are the engine's work on own pools, not the model's."""
    if profile.operation is Operation.EMBEDDINGS:
        return frozenset({Capability.EMBEDDINGS})
    needs = {Capability.TEXT}
    if profile.needs_vision:
        needs.add(Capability.VISION)
    if not own and profile.needs_tools:
        needs.add(Capability.FUNCTION_CALLING)
    if not own and profile.needs_json:
        needs.add(Capability.JSON)
    return frozenset(needs)


def _total_tokens(profile: RequestProfile) -> int:
    """Input and output, rounded up to a step so that chains can be cached."""
    return _step_up(profile.input_tokens_estimate + profile.output_tokens_estimate)


def _output_tokens(profile: RequestProfile) -> int:
    return _step_up(profile.output_tokens_estimate)


def _step_up(tokens: int) -> int:
    step_tokens = SMALL_STEP_TOKENS if tokens <= SMALL_TOKENS else LARGE_STEP_TOKENS
    return -(-tokens // step_tokens) * step_tokens
