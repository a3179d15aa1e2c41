"""The ledger against a provider's account: figures meet by day and model, and only real distance is drift."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.core.usage_check import UsageLine, compare, known_figures, merged, model_family

DAY, NEXT = "2026-11-20", "2026-11-21"


def _tokens(day: str = DAY, model: str | None = "gpt-4o-mini", tokens: int = 1_000, **more: int) -> UsageLine:
    return UsageLine(day=day, model=model, input_tokens=tokens, output_tokens=tokens // 10, **more)


def _cost(nanousd: int, day: str = DAY, model: str | None = "gpt-4o-mini", rounding: int = 0) -> UsageLine:
    return UsageLine(day=day, model=model, cost_nanousd=nanousd, rounding_nanousd=rounding)


def _drifts(ours: list[UsageLine], theirs: list[UsageLine], tolerance_ratio: float = 0.01) -> list[tuple[str, str]]:
    found = compare(ours, theirs, tolerance_ratio=tolerance_ratio)
    return [(difference.day, difference.figure) for difference in found if difference.is_drift]


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("gpt-4o-mini", "gpt-4o-mini"),
        ("gpt-4o-mini-2024-07-18", "gpt-4o-mini"),
        ("claude-3-5-sonnet-20241022", "claude-3-5-sonnet"),
        ("Claude 3.5 Sonnet 2024-10-22", "claude-3-5-sonnet"),
        ("Claude Haiku 4.5", "claude-haiku-4-5"),
        ("ft:gpt-4o-mini-2024-07-18:org:name:id", "ft:gpt-4o-mini:org:name:id"),
        ("gpt-4.1", "gpt-4-1"),
    ],
)
def test_one_model_under_its_names(name: str, family: str) -> None:
    """Snapshots, display names and plain ids are one model."""
    assert model_family(name) == family


def test_equal_books_have_no_drift() -> None:
    """Many rows of theirs add up to one of ours."""
    theirs = [_tokens(tokens=400, model="gpt-4o-mini-2024-07-18"), _tokens(tokens=600)]
    assert _drifts([_tokens()], theirs) == []


@pytest.mark.parametrize(("tokens", "drifts"), [(1_010, 0), (1_011, 1), (989, 1), (990, 0)])
def test_the_tolerance_is_of_the_larger_side(tokens: int, drifts: int) -> None:
    """One per cent is allowed, and not a token more."""
    ours, theirs = [_tokens()], [UsageLine(day=DAY, model="gpt-4o-mini", input_tokens=tokens)]
    assert len(_drifts(ours, theirs)) == drifts


def test_what_only_one_side_has_is_drift() -> None:
    """A day, and a model, that the other side does not know counts as zero there."""
    assert _drifts([_tokens(), _tokens(NEXT)], [_tokens()]) == [(NEXT, "input_tokens"), (NEXT, "output_tokens")]
    assert len(_drifts([_tokens()], [_tokens(), _tokens(model="o9")])) == 2


def test_without_models_days_are_compared() -> None:
    """A row that does not name its model makes sums per day the finest that can be compared."""
    ours = [_tokens(tokens=300), _tokens(model="gpt-4o", tokens=700)]
    assert _drifts(ours, [_tokens(model=None, tokens=400), _tokens(tokens=600)]) == []


def test_costs_and_tokens_are_told_apart_by_their_own_detail() -> None:
    """Costs without models do not coarsen tokens with models."""
    ours = [UsageLine(day=DAY, model="a", input_tokens=10, cost_nanousd=5),
            UsageLine(day=DAY, model="b", input_tokens=20, cost_nanousd=7)]  # fmt: skip
    theirs = [
        UsageLine(day=DAY, model="a", input_tokens=20),
        UsageLine(day=DAY, model="b", input_tokens=10),
        _cost(12, model=None),
    ]
    assert _drifts(ours, theirs) == [(DAY, "input_tokens"), (DAY, "input_tokens")]


def test_cents_that_were_rounded_are_no_drift() -> None:
    """Half a cent a row is what rounding can do; more is drift, and tokens get no such room."""
    cent = 10_000_000
    assert _drifts([_cost(cent // 2)], [_cost(cent, rounding=cent // 2)]) == []
    assert _drifts([_cost(cent // 2 - 2)], [_cost(cent, rounding=cent // 2)], 0.0) == [(DAY, "cost_nanousd")]
    assert _drifts([_cost(5)], []) == []


def test_estimates_are_carried_along() -> None:
    """Who reads a difference sees how many of our requests were guesses."""
    (one, *_) = compare([_tokens(estimated=3), _tokens(estimated=1)], [_tokens()], tolerance_ratio=0.0)
    assert one.estimated == 4


def test_figures_nobody_says_are_not_compared() -> None:
    """Only what the provider tells at all counts, in one order."""
    lines = [_tokens(), UsageLine(day=DAY, model=None, requests=1)]
    assert known_figures(lines) == ("requests", "input_tokens", "output_tokens")
    assert known_figures([]) == ()


@given(
    st.lists(
        st.tuples(st.sampled_from([DAY, NEXT]), st.sampled_from(["a", "b-2024-07-18", "b"]), st.integers(0, 10**9))
    )
)
def test_a_book_equals_itself_however_it_is_cut(rows: list[tuple[str, str, int]]) -> None:
    """Compared to its own sums, in any grouping, nothing differs even without tolerance."""
    lines = [UsageLine(day=day, model=model, input_tokens=tokens) for day, model, tokens in rows]
    for by_model in (True, False):
        sums = list(merged(lines, by_model=by_model).values())
        assert not any(one.is_drift for one in compare(lines, sums, tolerance_ratio=0.0))
        assert sum(line.input_tokens or 0 for line in sums) == sum(tokens for _, _, tokens in rows)
