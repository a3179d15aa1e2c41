"""Models end: whether one still answers today, and what stands in for it. Used by the config check."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

from controller.core.models import Model


def is_alive(model: Model, today: date) -> bool:
    """Whether its provider still answers; the shutdown date is the first day on which it does not."""
    return model.shutdown_date is None or today < model.shutdown_date


def resolve(models: Mapping[str, Model], key: str, today: date) -> tuple[Model, tuple[str, ...]]:
    """The model to use for `key` today, following `replaced_by` while shut down, with a note per step.

    A dead end or a loop stops there: the dead model comes back with a note. LookupError for an unknown key.
    """
    if key not in models:
        message = f"no model {key!r}; known: {', '.join(sorted(models))}"
        raise LookupError(message)
    model, notes, seen = models[key], [], {key}
    while not is_alive(model, today):
        ended = f"{model.key} ended on {model.shutdown_date}"
        successor = models.get(model.replaced_by or "")
        if successor is None or successor.key in seen:
            notes.append(f"{ended}, and nothing that still answers replaces it")
            break
        notes.append(f"{ended}, replaced by {successor.key}")
        seen.add(successor.key)
        model = successor
    return model, tuple(notes)
