"""Models end: who answers instead, on which day."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import pytest

from controller.catalogue.lifetimes import is_alive, resolve
from controller.catalogue.load import load_catalogue
from controller.core.models import Model

ENDS = date(2026, 6, 1)
MODELS = load_catalogue().models
DEAD = "and nothing that still answers replaces it"


def model(key: str, *, ends: date | None = ENDS, then: str | None = None) -> Model:
    """A model that ends on the day, unless told otherwise."""
    return replace(MODELS["gpt-6-luna"], key=key, shutdown_date=ends, replaced_by=then)


@pytest.mark.parametrize(("days", "alive"), [(-1, True), (0, False), (1, False)], ids=["before", "on-it", "after"])
def test_the_shutdown_date_is_the_first_day_without_answers(days: int, alive: bool) -> None:
    """A model without one lives for ever."""
    assert is_alive(model("a"), ENDS + timedelta(days=days)) is alive
    assert is_alive(model("a", ends=None), ENDS + timedelta(days=days))


@pytest.mark.parametrize(
    ("models", "key", "notes"),
    [
        ([model("a", ends=None)], "a", ()),
        ([model("a", ends=None, then="b"), model("b")], "a", ()),
        ([model("a", then="b"), model("b", ends=None)], "b", ("a ended on 2026-06-01, replaced by b",)),
        (
            [model("a", then="b"), model("b", then="c"), model("c", ends=None)],
            "c",
            ("a ended on 2026-06-01, replaced by b", "b ended on 2026-06-01, replaced by c"),
        ),
        ([model("a")], "a", (f"a ended on 2026-06-01, {DEAD}",)),
        ([model("a", then="gone")], "a", (f"a ended on 2026-06-01, {DEAD}",)),
        ([model("a", then="a")], "a", (f"a ended on 2026-06-01, {DEAD}",)),
        (
            [model("a", then="b"), model("b", then="a")],
            "b",
            ("a ended on 2026-06-01, replaced by b", f"b ended on 2026-06-01, {DEAD}"),
        ),
        (
            [model("a", then="b"), model("b", then="c"), model("c", then="b")],
            "c",
            (
                "a ended on 2026-06-01, replaced by b",
                "b ended on 2026-06-01, replaced by c",
                f"c ended on 2026-06-01, {DEAD}",
            ),
        ),
    ],
    ids=["alive", "alive-with-heir", "one-step", "two-steps", "no-heir", "unknown-heir", "itself", "loop", "tail-loop"],
)
def test_successors_are_followed_until_one_lives(models: list[Model], key: str, notes: tuple[str, ...]) -> None:
    """A note per step; a dead end or a loop stops at the last model."""
    found, told = resolve({each.key: each for each in models}, "a", ENDS)
    assert (found.key, told) == (key, notes)


def test_a_heir_is_followed_only_once_it_is_needed() -> None:
    """On the day before, the model itself answers."""
    models = {"a": model("a", then="b"), "b": model("b", ends=None)}
    assert resolve(models, "a", ENDS - timedelta(days=1))[0].key == "a"


def test_an_unknown_key_names_the_known_ones() -> None:
    """LookupError, not a guess."""
    with pytest.raises(LookupError, match="no model 'x'; known: a, b"):
        resolve({"b": model("b"), "a": model("a")}, "x", ENDS)


@pytest.mark.parametrize("today", [date(2026, 11, 5), date(2027, 1, 14), date(2030, 1, 1)], ids=str)
@pytest.mark.parametrize("key", MODELS)
def test_every_shipped_model_leads_to_one_that_answers(key: str, today: date) -> None:
    """Today, after OpenAI's shutdown, and later."""
    found, _ = resolve(MODELS, key, today)
    assert is_alive(found, today)
