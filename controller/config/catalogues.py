"""Lays the user's models and providers over the shipped ones."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import ValidationError

from controller.catalogue.document import Document
from controller.catalogue.load import load_catalogue, model_rows, provider_rows
from controller.catalogue.refusals import did_you_mean, from_validation, problem_at
from controller.catalogue.rows import ModelRow, ProviderRow
from controller.config.schema import Config
from controller.core.errors import Problem
from controller.core.models import SELF_HOSTED, Model, Provider


def merged_models(config: Config, document: Document) -> tuple[Mapping[str, Model], list[Problem]]:
    """All models, and what is wrong with the user's."""
    models = dict(load_catalogue().models)
    problems: list[Problem] = []
    for key, patch in config.models.items():
        base = model_rows()[key].model_dump() if key in model_rows() else {}
        try:
            row = ModelRow.model_validate({**base, **patch.model_dump(exclude_unset=True)})
        except ValidationError as error:
            problems += from_validation(error, ModelRow, document, ("models", key))
        else:
            models[key] = row.value(key)
    return models, problems


def merged_providers(config: Config, document: Document) -> tuple[Mapping[str, Provider], list[Problem]]:
    """All providers, and what is wrong with the user's."""
    providers = dict(load_catalogue().providers)
    problems: list[Problem] = []
    for name, patch in config.providers.items():
        place = ("providers", name)
        if name == SELF_HOSTED:
            problems.append(problem_at(document, place, "this name means own pools", "any other name", name))
            continue
        base = provider_rows()[name].model_dump() if name in provider_rows() else {}
        try:
            row = ProviderRow.model_validate({**base, **patch.model_dump(exclude_unset=True)})
        except ValidationError as error:
            problems += from_validation(error, ProviderRow, document, place)
        else:
            providers[name] = row.value(name)
    return providers, problems


def check_models(models: Mapping[str, Model], providers: Mapping[str, Provider], document: Document) -> list[Problem]:
    """Unknown providers, and replacements that are unknown or go in a circle."""
    problems = []
    for key, model in models.items():
        if not model.is_own and model.provider not in providers:
            hint = did_you_mean(model.provider, [*providers, SELF_HOSTED])
            problems.append(
                problem_at(
                    document,
                    ("models", key, "provider"),
                    "no such provider" + hint,
                    f"one of {', '.join(sorted([*providers, SELF_HOSTED]))}",
                    model.provider,
                )
            )
        if model.replaced_by is not None:
            problems += _replacement_problems(key, model.replaced_by, models, document)
    return problems


def _replacement_problems(key: str, replaced_by: str, models: Mapping[str, Model], document: Document) -> list[Problem]:
    place = ("models", key, "replaced_by")
    if replaced_by not in models:
        hint = did_you_mean(replaced_by, models)
        return [problem_at(document, place, "no such model" + hint, "a key of the catalogue", replaced_by)]
    trail, successor = [key], models.get(replaced_by)
    while successor is not None and successor.key not in trail:
        trail.append(successor.key)
        successor = models.get(successor.replaced_by or "")
    if successor is None or successor.key != key:
        return []
    circle = " -> ".join([*trail, key])
    return [problem_at(document, place, f"replacements go in a circle: {circle}", "a chain that ends", replaced_by)]
