"""A stack, or everything that is wrong with it at once: called by the program, by `spillway infra` and by tests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path

from pydantic import ValidationError

from controller.catalogue.document import Document
from controller.catalogue.refusals import from_validation
from controller.core.errors import Problem
from infra.plan import Plan, plan
from infra.schema import StackSettings
from infra.settings.problems import StackProblems
from infra.settings.salvage import salvaged
from infra.settings.source import of_config, of_file


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


def _checked(document: Document, today: date | None) -> tuple[StackSettings, Plan]:
    try:
        settings = StackSettings.model_validate(document.content)
    except ValidationError as error:
        shape = from_validation(error, StackSettings, document)
        raise StackProblems((*document.problems, *shape, *_judged_around(document, today))) from error
    whole = plan(settings, today=today, document=document)
    errors = (*document.problems, *whole.errors)
    if errors:
        raise StackProblems(errors)
    return settings, whole


def _judged_around(document: Document, today: date | None) -> Iterator[Problem]:
    """Errors of everything that has the right shape; nothing of what stands in for the rest."""
    if not document.content:
        return
    settings, replaced = salvaged(document.content)
    pools = document.content.get("gpu_pools")
    names = frozenset(map(str, pools)) if isinstance(pools, dict) else frozenset()
    stand_ins = tuple(document.spelling.key((part,)) for part in replaced)
    for problem in plan(
        settings, today=today, document=document, pool_names=names | frozenset(settings.gpu_pools)
    ).errors:
        if not any(problem.key == key or problem.key.startswith(f"{key}.") for key in stand_ins):
            yield problem
