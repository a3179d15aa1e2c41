"""Pools that spill to one provider share what it takes."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.loop.provider_parts import parts


@pytest.mark.parametrize(
    ("spilled", "expected"),
    [
        ({"a": 0.0}, {"a": 16.0}),
        ({"a": 5.0}, {"a": 16.0}),
        ({"a": 0.0, "b": 0.0}, {"a": 8.0, "b": 8.0}),
        ({"a": 3.0, "b": 1.0}, {"a": 11.0, "b": 5.0}),
        ({"a": 9.0, "b": 0.0}, {"a": 14.0, "b": 2.0}),
    ],
    ids=["alone and quiet", "alone", "both quiet", "both", "one quiet"],
)
def test_by_what_they_spill(spilled: dict[str, float], expected: dict[str, float]) -> None:
    """A quarter of sixteen evenly, the rest in proportion; one alone has all of it."""
    assert parts(16.0, spilled) == pytest.approx(expected)


def test_no_limit_is_none_for_anybody() -> None:
    """Also for one that spills nothing."""
    assert parts(inf, {"a": 1.0, "b": 0.0}) == {"a": inf, "b": inf}
    assert parts(inf, {"a": 0.0, "b": 0.0}) == {"a": inf, "b": inf}


@given(st.dictionaries(st.text(), st.floats(0.0, 1e6), min_size=1), st.floats(0.0, 1e6))
def test_the_parts_are_the_whole(spilled: dict[str, float], whole: float) -> None:
    """Nothing is counted on twice, nothing is left, and who spills more has no smaller part."""
    found = parts(whole, spilled)
    assert found.keys() == spilled.keys()
    assert sum(found.values()) == pytest.approx(whole)
    by_spill = sorted(spilled, key=lambda name: spilled[name])
    assert [found[name] for name in by_spill] == pytest.approx(sorted(found.values()))
