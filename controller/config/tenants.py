"""Resolves what `tenants` and the older `budgets` say into one policy per tenant, and checks it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from controller.catalogue.document import Document, Place
from controller.catalogue.refusals import did_you_mean, problem_at
from controller.config.schema import Config, TenantSection
from controller.config.settings import BudgetSettings
from controller.core.errors import Problem
from controller.core.models import Model
from controller.core.pools import Pool
from controller.core.requests import ANYWHERE, Reach
from controller.core.tenants import EVERYONE, TenantPolicy
from controller.routing.table import AUTO

OWN = "own"
_DAY = "usd_per_day"


def tenants_of(config: Config, pools: Mapping[str, Pool]) -> Mapping[str, TenantPolicy]:
    """The policy of everyone and of each tenant named in either section, `*` filled in where it says nothing."""
    sections = _sections(config)
    everyone = sections.get(EVERYONE, TenantSection())
    return {name: _policy(_filled(section, everyone), pools) for name, section in sections.items()}


def budgets_of(tenants: Mapping[str, TenantPolicy]) -> BudgetSettings:
    """The limits on spend as the ledger takes them: only who has one, or is freed from everyone's."""
    everyone = tenants.get(EVERYONE, TenantPolicy())
    return BudgetSettings(
        usd_per_day={
            name: policy.usd_per_day
            for name, policy in tenants.items()
            if policy.usd_per_day is not None or everyone.usd_per_day is not None
        },
        usd_per_month={
            name: policy.usd_per_month
            for name, policy in tenants.items()
            if policy.usd_per_month is not None or everyone.usd_per_month is not None
        },
    )


def check_tenants(
    config: Config, models: Mapping[str, Model], pools: Mapping[str, Pool] | None, document: Document
) -> Iterator[Problem]:
    """A limit that stands in two places, names that are no model, and lists that let nothing through.

    `pools` None: they come and go, so any name may be one.
    """
    everyone = config.tenants.get(EVERYONE, TenantSection())
    for tenant, section in config.tenants.items():
        place = ("tenants", tenant)
        if _DAY in section.model_fields_set and tenant in config.budgets.usd_per_day:
            message = f"is set in budgets.usd_per_day.{tenant} too"
            yield problem_at(document, (*place, _DAY), message, "one of the two places", section.usd_per_day)
        if section.models is not None:
            if pools is not None:
                yield from _check_names(section.models, models, pools, document, (*place, "models"))
            yield from _check_reach(_filled(section, everyone), models, pools or {}, document, (*place, "models"))


def _sections(config: Config) -> dict[str, TenantSection]:
    """The sections of both spellings: a tenant that only `budgets` names has a section with that limit alone."""
    older = {name: TenantSection(usd_per_day=usd) for name, usd in config.budgets.usd_per_day.items()}
    return {**older, **{name: _with_budget(section, older.get(name)) for name, section in config.tenants.items()}}


def _with_budget(section: TenantSection, older: TenantSection | None) -> TenantSection:
    return section if older is None or _DAY in section.model_fields_set else _filled(section, older)


def _filled(section: TenantSection, base: TenantSection) -> TenantSection:
    """The section, with what it does not mention from `base`."""
    said = {name: getattr(section, name) for name in section.model_fields_set}
    known = {name: getattr(base, name) for name in base.model_fields_set}
    return TenantSection.model_construct(_fields_set={*known, *said}, **{**known, **said})


def _policy(section: TenantSection, pools: Mapping[str, Pool]) -> TenantPolicy:
    models = None if section.models is None else _keys(section.models, pools)
    reach = Reach(
        models=models, auto=section.models is None or AUTO in section.models, own_only=section.residency == OWN
    )
    return TenantPolicy(
        requests_per_min=section.requests_per_min,
        tokens_per_min=section.tokens_per_min,
        usd_per_day=section.usd_per_day,
        usd_per_month=section.usd_per_month,
        priority=section.priority,
        reach=ANYWHERE if reach == ANYWHERE else reach,
    )


def _keys(names: tuple[str, ...], pools: Mapping[str, Pool]) -> frozenset[str]:
    """The catalogue keys that the names stand for."""
    return frozenset(pools[name].model if name in pools else name for name in names if name != AUTO)


def _check_names(
    names: tuple[str, ...], models: Mapping[str, Model], pools: Mapping[str, Pool], document: Document, place: Place
) -> Iterator[Problem]:
    for index, name in enumerate(names):
        model = models.get(name)
        if name == AUTO or name in pools or (model is not None and model.enabled):
            continue
        if model is not None:
            allowed = f"`models.{name}.enabled: true`, or another model"
            yield problem_at(document, (*place, index), "is switched off", allowed, name)
            continue
        known = [AUTO, *pools, *(key for key, model in models.items() if model.enabled)]
        message = "no such model or pool" + did_you_mean(name, known)
        yield problem_at(document, (*place, index), message, f"one of {', '.join(known)}", name)


def _check_reach(
    section: TenantSection, models: Mapping[str, Model], pools: Mapping[str, Pool], document: Document, place: Place
) -> Iterator[Problem]:
    """`auto` with nothing to choose from, and bought models for a tenant that may not buy."""
    keys = _keys(section.models or (), pools)
    words = ", ".join(section.models or ())
    if not keys:
        yield problem_at(document, place, "`auto` alone has nothing to choose from", "models or pools too", words)
    elif section.residency == OWN and all(key in models and not models[key].is_own for key in keys):
        message = "has no own model, but residency is own"
        yield problem_at(document, place, message, "at least one pool or own model", words)
