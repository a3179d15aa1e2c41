"""The rank test against numbers worked out elsewhere."""

from __future__ import annotations

import random

import pytest

from tests.faults.rank_test import p_value, z_score


def test_a_worked_example() -> None:
    """U = 4 of 25 with five against five: z = -1.776, p = 0.076."""
    z = z_score([1, 2, 3, 4, 9], [5, 6, 7, 8, 10])
    assert z == pytest.approx(-1.776, abs=0.001)
    assert p_value(z) == pytest.approx(0.0758, abs=0.001)


def test_ties_and_equal_sets() -> None:
    """Nothing but ties is no difference; ties make the variance smaller."""
    assert z_score([1, 1], [1, 1, 1]) == 0.0
    assert p_value(0.0) == 1.0
    assert z_score([1, 2, 2], [2, 3, 3]) == pytest.approx(-1.650, abs=0.001)


def test_a_small_shift_is_found_and_chance_is_not() -> None:
    """A tenth of a deviation shows with thousands of samples; two draws of one kind do not."""
    chance = random.Random(11)
    plain, same, later = ([chance.gauss(shift, 1) for _ in range(5_000)] for shift in (0, 0, 0.1))
    assert p_value(z_score(plain, later)) < 0.001
    assert p_value(z_score(plain, same)) > 0.01
