"""Counts fixed in hindsight."""

import math

import pytest

from controller.replay.baselines.fixed import all_external, static_best, static_peak
from tests.replay.baselines.baseline_world import facts, seen, wishes


@pytest.mark.parametrize(
    ("rates", "share", "bounds", "replicas"),
    [
        ([5, 73, 20], 1.0, {}, 8),
        ([5, 73, 20], 0.5, {}, 4),
        ([5, 73, 20], 1.0, {"max_replicas": 6}, 6),
        ([0, 0], 1.0, {"min_replicas": 2}, 2),
    ],
    ids=["peak", "half of it", "most", "least"],
)
def test_static_peak(rates: list[float], share: float, bounds: dict[str, int], replicas: int) -> None:
    """Enough for the highest slot, within bounds, and never another count."""
    assert wishes(static_peak(facts(rates, **bounds), share), seen(), seen()) == [replicas, replicas]


@pytest.mark.parametrize(
    ("rates", "spill_usd", "replicas"),
    [
        # Slices of 10/s: the first is full in both slots, the second in one: 5/s at 0.0002 $ is just what it costs.
        ([10, 20], 0.0002, 1),
        ([10, 20], 0.00021, 2),
        ([10, 20], math.inf, 2),
        ([0, 0], math.inf, 0),
        ([10, 20], 0.0, 0),
        ([1000], 1.0, 50),
    ],
    ids=["at the margin", "above it", "spill forbidden", "no demand", "spill is free", "most"],
)
def test_static_best(rates: list[float], spill_usd: float, replicas: int) -> None:
    """A replica is bought where its own slice of demand, spilled, would cost more."""
    assert wishes(static_best(facts(rates, spill_usd_per_request=spill_usd), 1.0), seen()) == [replicas]


def test_static_best_may_be_scaled() -> None:
    """A share of it, within the bounds."""
    rates = [10, 10, 50, 50, 50]
    assert wishes(static_best(facts(rates), 1.0), seen()) == [5]
    assert wishes(static_best(facts(rates), 0.6), seen()) == [3]


def test_all_external() -> None:
    """Nothing of one's own but what must be, and everything sent away."""
    wish = all_external(facts(min_replicas=1), 1.0).step(seen(), 0.0)
    assert (wish.replicas, wish.spill_ratio) == (1, 1.0)
