"""Where demand is going, and when that is believed."""

from __future__ import annotations

import random

import pytest

from controller.autoscale.trend import STEP_S, Trend, followed

TICK_S = 10.0
COLD_START_S = 240.0  # two of them: sixteen steps of half a minute


def slopes(demands: list[float], cold_start_s: float = COLD_START_S) -> list[float]:
    """After each tick."""
    trend, found = Trend(), []
    for demand in demands:
        trend = followed(trend, demand, TICK_S, cold_start_s)
        found.append(trend.slope_per_s)
    return found


@pytest.mark.parametrize("per_s", [0.01, -0.01])
def test_a_steady_slope_is_known_once_two_cold_starts_are_seen(per_s: float) -> None:
    """Up and down alike, and not before."""
    found = slopes([20.0 + per_s * TICK_S * tick for tick in range(60)])
    assert found[:47] == [0.0] * 47
    assert found[47:] == pytest.approx([per_s] * 13)


def test_a_step_is_no_slope() -> None:
    """It lies in one half of the window; in the step between two means it lies in both only for an instant."""
    found = slopes([2.0] * 60 + [10.0] * 120)
    assert max(found) == 0.0
    assert min(found) == 0.0


def test_noise_has_little_slope() -> None:
    """Its halves seldom agree: in a cold start a tenth of what one tick may stand out, in the mean."""
    chance = random.Random(1)
    found = slopes([10.0 + chance.gauss(0.0, 1.0) for _ in range(3000)])
    assert abs(sum(found) / len(found)) * COLD_START_S < 0.1
    assert sum(abs(one) for one in found) / len(found) * COLD_START_S < 0.5


@pytest.mark.parametrize(("cold_start_s", "means"), [(0.0, 4), (60.0, 4), (240.0, 16), (480.0, 32), (3600.0, 32)])
def test_the_window_follows_the_cold_start(cold_start_s: float, means: int) -> None:
    """Two cold starts, in as many steps as a rule needs and no more."""
    trend = Trend()
    for tick in range(2000):
        trend = followed(trend, 0.01 * tick, TICK_S, cold_start_s)
    assert len(trend.means) == means
    assert trend.slope_per_s == pytest.approx(0.001)


def test_a_tick_of_no_time_changes_nothing() -> None:
    """The first tick of a controller."""
    assert followed(Trend(), 5.0, 0.0, COLD_START_S) == Trend()
    assert followed(Trend(sum=60.0, elapsed_s=20.0), 3.0, STEP_S - 20.0, COLD_START_S).means == (3.0,)
