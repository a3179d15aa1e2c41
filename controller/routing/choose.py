"""The chain of targets a request may go to, in order, each with the reason in words.

`plan_chain` looks at the rules and the catalogue only, so callers cache it on `chain_key`; `choose` applies the live
picture (mode of the pool, the spill gate's word, the caller's refusal to spill) and runs on every request.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from controller.core.errors import RequestError
from controller.core.fleet import FleetView, RoutingMode
from controller.core.models import Capability
from controller.core.requests import Operation, RequestProfile, Target
from controller.routing.fitness import lack, output_tokens, total_tokens
from controller.routing.phases import select
from controller.routing.table import AUTO, RoutingTable, alive, by_name, not_allowed, permits

OUTSIDE = "outside of own GPUs"


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
        total_tokens(profile),
        output_tokens(profile),
        profile.reach,
    )


def plan_chain(profile: RequestProfile, table: RoutingTable) -> tuple[Target, ...]:
    """Every capable target in order: the model, where its pool spills to, its fallbacks.

    Raises RequestError 404 for a name nobody knows, 403 for one that the tenant may not use or whose every target is
    outside of the own GPUs that its data stays on, and 400 when nothing in the chain can do what is asked.
    """
    chain, dropped = _considered(profile, table)
    if not chain:
        raise _nothing(dropped)
    return tuple(chain.values())


def _nothing(dropped: Mapping[str, str]) -> RequestError:
    why = "; ".join(f"{key}: {missing}" for key, missing in dropped.items()) or "no model is configured for it"
    if OUTSIDE in dropped.values():
        return RequestError(
            f"residency: the requests of this tenant stay on own GPUs, and no own pool can serve this one ({why})",
            status=403,
            code="residency",
            kind="permission_error",
            param="model",
            should_retry=False,
        )
    return RequestError(
        f"no model can serve this request ({why})",
        status=400,
        code="no_capable_model",
        param="model",
        should_retry=False,
    )


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
    if profile.requested_model == AUTO and not profile.reach.auto:
        raise not_allowed(AUTO)
    if profile.requested_model != AUTO:
        key = by_name(profile.requested_model, table, profile.reach)
        yield from _with_fallbacks(key, "asked for by name", table)
    elif profile.operation is Operation.EMBEDDINGS:
        embedders = [model for model in table.models.values() if Capability.EMBEDDINGS in model.capabilities]
        for model in sorted(embedders, key=lambda model: (model.price.usd_per_mtok_in, model.key)):
            yield model.key, "cheapest embeddings model"
    else:
        key, reason = select(table.rules, table.phase, profile.task, profile.complexity, profile.needs_vision)
        yield from _with_fallbacks(key, reason, table)


def _last_resort(profile: RequestProfile, table: RoutingTable) -> Iterator[tuple[str, str]]:
    """For `auto` when nothing planned can do the job: the rules' default model, then whatever the tenant may have."""
    if profile.requested_model != AUTO or profile.operation is Operation.EMBEDDINGS:
        return
    yield table.rules.default_model, "default: nothing else can do it"
    reach = profile.reach
    if reach.models is not None:
        allowed = [model for key in reach.models if (model := table.models.get(key)) is not None]
        for model in sorted(allowed, key=lambda model: (model.price.usd_per_mtok_in, model.key)):
            yield model.key, "one that the tenant may use"
    elif reach.own_only:
        for pool in table.pools.values():
            yield pool.model, "own pool"


def _target(key: str, reason: str, profile: RequestProfile, table: RoutingTable) -> Target | str:
    """The target for a catalogue key, or in words why there is none."""
    model = alive(key, table)
    if model is None:
        return "unknown, shut down or switched off"
    if not permits(profile.reach, key) and not permits(profile.reach, model.key):
        return "not among the models of this tenant"
    pool = table.pool_by_model.get(model.key)
    if pool is None and profile.reach.own_only:
        return OUTSIDE
    provider = None if pool is not None else table.providers.get(model.provider)
    missing = lack(profile, model, pool, provider, table.usable_providers)
    if missing is not None:
        return missing
    replaced = "" if model.key == key else f"; {key} is shut down"
    return Target(model=model, pool=pool, provider=provider, reason=reason + replaced)


def _with_fallbacks(key: str, reason: str, table: RoutingTable) -> Iterator[tuple[str, str]]:
    """The key, where its pool spills to, and its fallbacks."""
    yield key, reason
    model = alive(key, table)
    pool = None if model is None else table.pool_by_model.get(model.key)
    if pool is not None:
        for spill_key in pool.spill.to:
            yield spill_key, f"spill of {pool.name}"
    names = (key,) if model is None or model.key == key else (key, model.key)
    for name in names:
        for fallback in table.fallbacks.get(name, ()):
            yield fallback, f"fallback of {name}"
