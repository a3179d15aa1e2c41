"""Checks of pools: names, models, instance types, whether the model fits the GPU, and where they spill."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, replace

from controller.autoscale.capacity import decode_step_s, prefill_s, token_budget_at_slo
from controller.catalogue.document import Document, Place
from controller.catalogue.fit import memory_fit
from controller.catalogue.load import load_catalogue, pool_step_times
from controller.catalogue.refusals import did_you_mean, problem_at
from controller.config.chains import check_chain
from controller.core.errors import Problem
from controller.core.models import Model, StepTimes
from controller.core.pools import Pool

_RESERVED = frozenset({"auto"})


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedPools:
    """Pools that can be named, where they stand in the file, and their step times."""

    pools: Mapping[str, Pool]
    places: Mapping[str, Place]
    step_times: Mapping[str, StepTimes]
    problems: tuple[Problem, ...]


def check_pools(found: list[tuple[Place, Pool]], models: Mapping[str, Model], document: Document) -> CheckedPools:
    """Every pool on its own; duplicates keep the first."""
    pools: dict[str, Pool] = {}
    places: dict[str, Place] = {}
    steps: dict[str, StepTimes] = {}
    problems: list[Problem] = []
    for place, pool in found:
        if pool.name in pools or pool.name in _RESERVED:
            message = "this name is reserved" if pool.name in _RESERVED else "another pool has this name"
            problems.append(problem_at(document, (*place, "name"), message, "a name of its own", pool.name))
            continue
        pools[pool.name], places[pool.name] = pool, place
        model = models.get(pool.model)
        if model is None or not model.is_own or not model.enabled:
            problems.append(_model_problem(document, place, pool, models))
            continue
        problems += check_chain(pool.spill.to, model, models, document, (*place, "spill", "to"))
        problems += _size_problems(pool, model, place, document, steps)
    problems += _endpoint_problems(pools, places, document)
    return CheckedPools(pools=pools, places=places, step_times=steps, problems=tuple(problems))


def with_token_budgets(checked: CheckedPools, unsaid: Container[str], document: Document) -> CheckedPools:
    """Pools whose file says no token budget have the one that keeps their TPOT, where their step times are known.

    A larger one that is said stands, with a warning. Fixed endpoints have theirs already.
    """
    pools, problems = dict(checked.pools), list(checked.problems)
    for name, steps in checked.step_times.items():
        pool = pools[name]
        fitting = token_budget_at_slo(steps, pool.engine, pool.slo)
        if name in unsaid and not pool.endpoints:
            pools[name] = replace(pool, engine=replace(pool.engine, max_num_batched_tokens=fitting))
        elif name not in unsaid and pool.engine.max_num_batched_tokens > fitting:
            problems += _late_step(pool, steps, checked.places[name], document, fitting)
    return replace(checked, pools=pools, problems=tuple(problems))


def _late_step(pool: Pool, steps: StepTimes, place: Place, document: Document, fitting: int) -> Iterator[Problem]:
    """Whether a step with the whole budget of prompts alone is longer than a token may take."""
    budget = pool.engine.max_num_batched_tokens
    step_s = decode_step_s(steps, 1, 0) + prefill_s(steps, pool.engine, budget)
    if step_s > pool.slo.tpot_p95_s:
        message = f"a full step takes {step_s:.2g} s, tpot_p95_s is {pool.slo.tpot_p95_s:g}: short answers will miss it"
        at = (*place, "engine", "max_num_batched_tokens")
        yield problem_at(document, at, message, f"at most {fitting}, as without it", budget, severity="warning")


def _model_problem(document: Document, place: Place, pool: Pool, models: Mapping[str, Model]) -> Problem:
    own = [key for key, model in models.items() if model.is_own and model.enabled]
    model = models.get(pool.model)
    if model is None:
        message = "no such model" + did_you_mean(pool.model, own)
    elif not model.is_own:
        message = f"{pool.model} is served by {model.provider}, a pool needs an own model"
    else:
        message = f"{pool.model} is switched off"
    return problem_at(document, (*place, "model"), message, f"one of {', '.join(own)}", pool.model)


def _size_problems(
    pool: Pool, model: Model, place: Place, document: Document, steps: dict[str, StepTimes]
) -> Iterator[Problem]:
    """Instance type, length and memory; fixed endpoints have started already, so their memory is not judged."""
    shapes = load_catalogue().gpus
    shape = shapes.get(pool.instance_type)
    if shape is None:
        hint = did_you_mean(pool.instance_type, shapes)
        at = (*place, "instance_type")
        yield problem_at(
            document, at, "no such instance type" + hint, f"one of {', '.join(shapes)}", pool.instance_type
        )
        return
    length_tokens = pool.engine.max_model_len_tokens
    if length_tokens > model.context_tokens:
        at = (*place, "engine", "max_model_len_tokens")
        message = f"is more than the {model.context_tokens} tokens {model.key} was made for"
        yield problem_at(document, at, message, f"an integer from 256 to {model.context_tokens}", length_tokens)
    if model.architecture is not None and not pool.endpoints:
        fit = memory_fit(
            model.architecture, pool.engine, shape, max_model_len_tokens=length_tokens, shapes=shapes.values()
        )
        if not fit.fits:
            message = f"{model.key} does not fit {shape.instance_type}: {fit.reason}"
            sizes = "; ".join(fit.alternatives) or "a larger instance type"
            yield problem_at(document, (*place, "engine"), message, sizes, _sizes(pool))
            return
    steps[pool.name], scaled = pool_step_times(model, pool.engine, shape)
    if scaled:
        message = f"no step times for {model.key} on {shape.gpu} with {_sizes(pool)}: scaled from another model"
        yield problem_at(
            document, (*place, "engine"), message, "combinations of step_times.yaml", None, severity="warning"
        )


def _sizes(pool: Pool) -> str:
    engine = pool.engine
    return (
        f"tensor_parallel {engine.tensor_parallel}, {engine.weights} weights,"
        f" max_model_len_tokens {engine.max_model_len_tokens}"
    )


def _endpoint_problems(pools: Mapping[str, Pool], places: Mapping[str, Place], document: Document) -> Iterator[Problem]:
    owner: dict[str, str] = {}
    for pool in pools.values():
        for index, endpoint in enumerate(pool.endpoints):
            if endpoint in owner:
                at = (*places[pool.name], "endpoints", index)
                message = f"pool {owner[endpoint]} has this endpoint already"
                yield problem_at(document, at, message, "each endpoint in one pool", endpoint)
            owner.setdefault(endpoint, pool.name)
