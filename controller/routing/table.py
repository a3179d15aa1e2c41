"""Everything a chain depends on besides the request, and what the names in it stand for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from difflib import get_close_matches

from controller.core.errors import RequestError
from controller.core.models import Model, Provider
from controller.core.pools import Pool
from controller.core.requests import Phase, Reach
from controller.routing.phases import RuleTable

AUTO = "auto"
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


def permits(reach: Reach, key: str) -> bool:
    """Whether the tenant may use this catalogue key."""
    return reach.models is None or key in reach.models


def by_name(name: str, table: RoutingTable, reach: Reach) -> str:
    """The catalogue key for a key, a pool, a provider's model id or the published name of own weights."""
    found = _key_of(name, table)
    if found is not None:
        if permits(reach, found):
            return found
        raise not_allowed(name)
    usable = [model for model in table.models.values() if model.enabled and permits(reach, model.key)]
    pools = [pool.name for pool in table.pools.values() if permits(reach, pool.model)]
    known = [AUTO, *pools, *(model.key for model in usable), *(model.model_id for model in usable)]
    close = get_close_matches(name[:200], known, n=3, cutoff=0.5)
    hint = f"; did you mean {', '.join(dict.fromkeys(close))}?" if close else "; GET /v1/models lists what there is"
    raise RequestError(
        f"the model {name[:200]!r} does not exist{hint}",
        status=404,
        code="model_not_found",
        param="model",
        should_retry=False,
    )


def _key_of(name: str, table: RoutingTable) -> str | None:
    model = table.models.get(name)
    if model is not None and model.enabled:
        return name
    if name in table.pools:
        return table.pools[name].model
    for model in table.models.values():
        names = (model.model_id, None if model.architecture is None else model.architecture.hf_id)
        if model.enabled and name in names:
            return model.key
    return None


def not_allowed(name: str) -> RequestError:
    """The refusal of a model that is there, but not for this tenant."""
    return RequestError(
        f"the model {name[:200]!r} is not among those that this tenant may use; GET /v1/models lists them",
        status=403,
        code="model_not_allowed",
        kind="permission_error",
        param="model",
        should_retry=False,
    )


def alive(key: str, table: RoutingTable) -> Model | None:
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
