"""Checks where requests may go: spill chains, fallbacks and rules, against the catalogue and the calendar."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import date, timedelta

from controller.catalogue.document import Document, Place
from controller.catalogue.lifetimes import is_alive, resolve
from controller.catalogue.refusals import did_you_mean, problem_at
from controller.core.errors import Problem
from controller.core.models import Capability, Model
from controller.core.pools import Pool
from controller.core.requests import Phase
from controller.routing.classify import TASKS
from controller.routing.phases import RuleTable
from controller.routing.table import pools_by_model

_HARD = frozenset({Capability.TEXT, Capability.JSON, Capability.VISION, Capability.EMBEDDINGS})
_SOFT = frozenset({Capability.COMPLEX_REASONING, Capability.CRITIQUE})
_SOON = timedelta(days=60)


def check_fallbacks(
    fallbacks: Mapping[str, tuple[str, ...]], models: Mapping[str, Model], document: Document
) -> Iterator[Problem]:
    """Unknown models, a model in its own list, repetitions, missing capabilities."""
    for key, chain in fallbacks.items():
        place = ("fallbacks", key)
        if key not in models:
            yield _unusable(document, place, key, models)
            continue
        yield from check_chain(chain, models[key], models, document, place)


def check_chain(
    chain: tuple[str, ...], head: Model, models: Mapping[str, Model], document: Document, place: Place
) -> Iterator[Problem]:
    """One list of catalogue keys that stand in for `head`."""
    able: list[Model] = []
    for index, key in enumerate(chain):
        at = (*place, index)
        model = models.get(key)
        if key == head.key:
            yield problem_at(document, at, "the chain loops: it leads back to the model itself", "other models", key)
        elif key in chain[:index]:
            yield problem_at(document, at, "stands twice in the chain", "each model once", key)
        elif model is None or not model.enabled:
            problem = _unusable(document, at, key, models)
            built_in = not document.has(place)  # nobody wrote this chain: it goes on without what was switched off
            yield replace(problem, severity="warning") if model is not None and built_in else problem
        else:
            able.append(model)
    if len(able) == len(chain) > 0:
        yield from _capability_problems(head, able, document, place)


def _capability_problems(head: Model, chain: list[Model], document: Document, place: Place) -> Iterator[Problem]:
    """What no model of the chain can do. Those that lack it alone are skipped by requests that need it."""
    offered = frozenset[Capability]().union(*(model.capabilities for model in chain))
    for needed, severity in ((_HARD, "error"), (_SOFT, "warning")):
        lacking = ", ".join(sorted((head.capabilities & needed) - offered))
        if lacking:
            message = f"no model of this chain has {lacking}, which {head.key} has"
            keys = ", ".join(model.key for model in chain)
            yield problem_at(document, place, message, f"at least one model with {lacking}", keys, severity=severity)


def check_pool_circles(pools: Mapping[str, Pool], document: Document, places: Mapping[str, Place]) -> Iterator[Problem]:
    """Pools that spill to each other: a full fleet would chase its own tail."""
    by_model = pools_by_model(pools.values())
    for pool in pools.values():
        yield from check_pool_circle(pool, by_model, document, places[pool.name])


def check_pool_circle(pool: Pool, by_model: Mapping[str, Pool], document: Document, place: Place) -> Iterator[Problem]:
    """The circle that one pool is part of."""
    trail = [pool.name]
    if _leads_back(pool, pool, by_model, trail, set()):
        circle = " -> ".join([*trail, pool.name])
        at = (*place, "spill", "to")
        yield problem_at(document, at, f"the chain loops: {circle}", "chains that end outside own pools")


def _leads_back(start: Pool, pool: Pool, by_model: Mapping[str, Pool], trail: list[str], seen: set[str]) -> bool:
    """Whether a chain of `pool` comes to `start`, by the pools that `trail` then names; each is looked at once."""
    for key in pool.spill.to:
        successor = by_model.get(key)
        if successor is None or successor is pool:
            continue
        if successor is start:
            return True
        if successor.name not in seen:
            seen.add(successor.name)
            trail.append(successor.name)
            if _leads_back(start, successor, by_model, trail, seen):
                return True
            trail.pop()
    return False


def check_rules(table: RuleTable, models: Mapping[str, Model], document: Document) -> Iterator[Problem]:
    """Unknown models, vision rules to blind models, and task names that look mistyped."""
    for index, rule in enumerate(table.rules):
        place = ("rules", "table", index)
        model = models.get(rule.model)
        if model is None or not model.enabled:
            yield _unusable(document, (*place, "model"), rule.model, models)
        elif rule.needs_vision and Capability.VISION not in model.capabilities:
            message = f"{rule.model} lacks vision, which this rule needs"
            yield problem_at(document, (*place, "model"), message, _with_vision(models), rule.model)
        for name in sorted((rule.tasks | rule.except_tasks) - set(TASKS)):
            hint = did_you_mean(name, TASKS)
            if hint:
                at = (*place, "tasks" if name in rule.tasks else "except_tasks")
                yield problem_at(
                    document, at, "is no built-in task" + hint, "any name, if it is meant", name, severity="warning"
                )
    default = models.get(table.default_model)
    if default is None or not default.enabled:
        yield _unusable(document, ("rules", "default_model"), table.default_model, models)


def lifetime_warnings(
    routed: Iterable[tuple[Place, str]], models: Mapping[str, Model], document: Document, today: date
) -> Iterator[Problem]:
    """Models in use that are shut down, or will be within 60 days; each model once.

    Those of the built-in configuration that have a successor are notes: it stands in, and the reader wrote none of it.
    """
    seen: set[str] = set()
    for place, key in routed:
        model = models.get(key)
        if model is None or key in seen or model.shutdown_date is None:
            continue
        seen.add(key)
        ended = max(today, model.shutdown_date)
        stands_in, notes = resolve(models, key, ended)
        is_settled = not document.covers(place) and is_alive(stands_in, ended)
        severity = "note" if is_settled else "warning"
        if not is_alive(model, today):
            yield problem_at(document, place, "; ".join(notes), "a model that still answers", key, severity=severity)
        elif model.shutdown_date - today <= _SOON:
            then = f", then {model.replaced_by} stands in" if model.replaced_by else ", and nothing replaces it"
            message = f"{key} ends on {model.shutdown_date}, in {(model.shutdown_date - today).days} days{then}"
            yield problem_at(document, place, message, "a model that stays", key, severity=severity)


def routed_keys(
    table: RuleTable,
    phase: Phase,
    pools: Mapping[str, Pool],
    places: Mapping[str, Place],
    fallbacks: Mapping[str, tuple[str, ...]],
) -> Iterator[tuple[Place, str]]:
    """(place, catalogue key) of all that the present phase can use: rules, spill chains, their fallbacks."""
    heads: list[str] = []
    for index, rule in enumerate(table.rules):
        if not rule.phases or phase in rule.phases:
            heads.append(rule.model)
            yield ("rules", "table", index, "model"), rule.model
    heads.append(table.default_model)
    yield ("rules", "default_model"), table.default_model
    for pool in pools.values():
        for index, key in enumerate(pool.spill.to):
            yield (*places[pool.name], "spill", "to", index), key
    for head in dict.fromkeys(heads):
        for index, key in enumerate(fallbacks.get(head, ())):
            yield ("fallbacks", head, index), key


def _unusable(document: Document, place: Place, key: str, models: Mapping[str, Model]) -> Problem:
    """A key that names no model, or one that is switched off."""
    if key in models:
        return problem_at(document, place, "is switched off", f"`models.{key}.enabled: true`, or another model", key)
    known = [name for name, model in models.items() if model.enabled]
    return problem_at(document, place, "no such model" + did_you_mean(key, known), f"one of {', '.join(known)}", key)


def _with_vision(models: Mapping[str, Model]) -> str:
    able = [key for key, model in models.items() if model.enabled and Capability.VISION in model.capabilities]
    return f"one of {', '.join(able)}"
