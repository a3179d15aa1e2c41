"""A stack, or everything that is wrong with it at once: called by the program, by `spillway infra` and by tests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import cast

from pydantic import ValidationError

from controller.catalogue.document import Document
from controller.catalogue.refusals import from_validation
from controller.core.errors import Problem
from infra.plan import Plan, plan
from infra.schema import StackSettings
from infra.settings.problems import StackProblems
from infra.settings.salvage import salvaged
from infra.settings.source import of_config, of_file

_MONEY = (".usd_per_hour", "budget_usd_per_month")


def load_stack(path: Path | str, *, today: date | None = None) -> StackSettings:
    """The settings in `Pulumi.<stack>.yaml`, which can be built on that day; StackProblems otherwise."""
    settings, _ = load_plan(path, today=today)
    return settings


def from_config(config: Mapping[str, object], *, today: date | None = None) -> StackSettings:
    """The settings in Pulumi's own configuration; objects may come as JSON, keys with `spillway:` before them."""
    settings, _ = _checked(of_config(config), today)
    return settings


def load_plan(path: Path | str, *, today: date | None = None) -> tuple[StackSettings, Plan]:
    """The settings in the file with their plan, whose problems are warnings; StackProblems with every error."""
    return _checked(of_file(Path(path)), today)


def load_unpriced(path: Path | str, *, today: date | None = None) -> StackSettings:
    """The settings in the file, although prices are not known or the budget is exceeded: preflight reads prices."""
    settings, _, problems = _examined(of_file(Path(path)), today)
    errors = tuple(problem for problem in problems if problem.severity == "error" and not problem.key.endswith(_MONEY))
    if settings is None or errors:
        raise StackProblems(errors)
    return settings


def identify(path: Path | str) -> tuple[str, str]:
    """Name and region of the stack in the file, whatever else is wrong with it: what it left is to be found."""
    document = of_file(Path(path))
    if document.content:
        settings, replaced = salvaged(document.content)
        if not {"name", "region"} & replaced:
            return settings.name, settings.region
    _, _, problems = _examined(document, None)
    raise StackProblems(problems)


def examine(path: Path | str, *, today: date | None = None) -> tuple[Plan | None, tuple[Problem, ...]]:
    """The plan of the file, also of one that cannot be built, and every problem; no plan without the right shape."""
    _, whole, problems = _examined(of_file(Path(path)), today)
    return whole, problems


def _checked(document: Document, today: date | None) -> tuple[StackSettings, Plan]:
    settings, whole, problems = _examined(document, today)
    errors = tuple(problem for problem in problems if problem.severity == "error")
    if settings is None or whole is None or errors:
        raise StackProblems(errors)
    return settings, whole


def _examined(document: Document, today: date | None) -> tuple[StackSettings | None, Plan | None, tuple[Problem, ...]]:
    try:
        settings = StackSettings.model_validate(document.content)
    except ValidationError as error:
        shape = from_validation(error, StackSettings, document)
        return None, None, (*document.problems, *shape, *_judged_around(document, today))
    whole = plan(settings, today=today, document=document)
    return settings, whole, (*document.problems, *whole.problems)


def _judged_around(document: Document, today: date | None) -> Iterator[Problem]:
    """Errors of everything that has the right shape; nothing of what stands in for the rest."""
    if not document.content:
        return
    settings, replaced = salvaged(document.content)
    pools = document.content.get("gpu_pools")
    names = (
        frozenset(str(name) for name in cast("dict[object, object]", pools))
        if isinstance(pools, dict)
        else frozenset[str]()
    )
    stand_ins = tuple(document.spelling.key((part,)) for part in replaced)
    for problem in plan(
        settings, today=today, document=document, pool_names=names | frozenset(settings.gpu_pools)
    ).errors:
        if not any(problem.key == key or problem.key.startswith(f"{key}.") for key in stand_ins):
            yield problem
