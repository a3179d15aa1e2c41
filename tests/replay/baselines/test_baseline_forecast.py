"""Baselines that look ahead: a timetable over an HPA, and MArk."""

import math

import pytest

from controller.replay.baselines.cron import DAY_S, HOUR_S, cron_hpa, hourly_mean
from controller.replay.baselines.mark import PeakForecast, mark, planned
from controller.replay.simulation_types import Curve
from tests.replay.baselines.baseline_world import economics, facts, seen, steady, wishes

DAYTIME = [7.0 if hour < 8 else 70.0 for hour in range(24)]


def test_hourly_mean_is_that_of_three_days() -> None:
    """The fourth day, of which nobody could know, is left out; a curve of half a day has no timetable."""
    curve = Curve(name="x", slot_s=HOUR_S, rates_per_s=[*DAYTIME * 3, *[999.0] * 24], kind="diurnal")
    assert hourly_mean(curve) == DAYTIME
    assert hourly_mean(Curve(name="x", slot_s=HOUR_S, rates_per_s=DAYTIME[:12], kind="diurnal")) == []


def test_hours_without_a_slot_have_no_least() -> None:
    """Slots of six hours fill four hours of the table."""
    means = hourly_mean(Curve(name="x", slot_s=6 * HOUR_S, rates_per_s=[6.0, 12.0, 18.0, 24.0], kind="diurnal"))
    assert [means[hour] for hour in (0, 1, 6, 12, 18)] == [6.0, 0.0, 12.0, 18.0, 24.0]


def test_timetable_raises_the_least_a_cold_start_ahead() -> None:
    """From four minutes before eight on there are ten, though nobody came yet; before that the HPA is alone."""
    policy = cron_hpa(facts(DAYTIME * 3, slot_s=HOUR_S), 0.7)
    quiet = seen(ready=1, arrivals_per_s=7)
    assert steady(policy, quiet, 600, from_s=8 * HOUR_S - 900)[-1] == 1
    before = DAY_S + 8 * HOUR_S - 240
    assert wishes(policy, quiet, seen(ready=1, starting=4, arrivals_per_s=7), from_s=before) == [5, 5]
    assert wishes(policy, seen(ready=1, starting=4, arrivals_per_s=7), from_s=before + 31) == [10]


def test_hpa_goes_above_the_timetable() -> None:
    """What comes beyond the table is the HPA's; without a whole day there is no table."""
    assert wishes(
        cron_hpa(facts(DAYTIME, slot_s=HOUR_S), 0.7), seen(ready=10, arrivals_per_s=105), from_s=DAY_S / 2
    ) == [15]
    assert wishes(cron_hpa(facts([70.0, 70.0]), 0.7), seen(ready=0, arrivals_per_s=0)) == [1]


@pytest.mark.parametrize(
    ("rate", "current", "spill_usd", "instances"),
    [
        (46, 5, 0.0002, 5),
        (46, 4, 0.0002, 4),  # 0.6 of use for 780 s of price: 0.78 $ against 0.72 $
        (44, 5, 0.0002, 4),  # 0.4 of use never pays
        (47, 4, 0.0002, 5),
        (40, 4, 0.0002, 4),
        (46, 4, math.inf, 5),
        (46, 4, 0.00001, 0),
        (0, 3, 0.0002, 0),
        (0, 3, math.inf, 0),
        (4, 0, math.inf, 1),
    ],
    ids=[
        "keeps", "not worth its launch", "not worth its price", "worth its launch", "whole ones", "no serverless",
        "serverless is cheaper", "none", "none without serverless", "the only one",
    ],
)  # fmt: skip
def test_marginal_instance(rate: float, current: int, spill_usd: float, instances: int) -> None:
    """An instance stays or comes where its slice of the rate would cost more as serverless."""
    assert planned(economics(spill_usd_per_request=spill_usd), rate, current) == instances


def test_mark_plans_every_minute_with_headroom() -> None:
    """50 requests/s and 20 % are 6 instances; between plans nothing moves."""
    policy = mark(facts(), 1.2)
    sights = [seen(ready=5, arrivals_per_s=50), *[seen(ready=5, starting=1, arrivals_per_s=90)] * 3]
    assert wishes(policy, *sights) == [6, 6, 6, 6]
    assert wishes(policy, seen(ready=5, starting=1, arrivals_per_s=90), from_s=60) == [8]


def test_mark_shrinks_when_six_plans_agree() -> None:
    """The greatest of the last six plans is what stays."""
    policy = mark(facts(), 1.0)
    steady(policy, seen(ready=8, arrivals_per_s=80), 600)
    counts = steady(policy, seen(ready=8, arrivals_per_s=30), 1500, from_s=615)
    assert counts[:20] == [8] * 20
    assert counts[-1] == 3


def test_forecast_follows_a_trend() -> None:
    """On a ramp of one per minute it looks its horizon ahead of the mean of five minutes."""
    forecast = PeakForecast(horizon_minutes=4)
    made = [forecast.after(float(minute)) for minute in range(60)]
    assert made[0] == 0.0
    assert made[-1] == pytest.approx(61, abs=2.5)
    assert all(value >= 0 for value in (forecast.after(0.0) for _ in range(20)))


def test_forecast_learns_from_yesterday() -> None:
    """At the hour of yesterday's step it expects the step before it comes, once that has proven better."""
    forecast = PeakForecast(horizon_minutes=5)
    day = [10.0] * 480 + [50.0] * 960
    made = [forecast.after(peak) for _ in range(3) for peak in day]
    assert made[480 - 1] < 12
    assert made[2 * 1440 + 480 - 1] > 25


def test_forecast_of_a_day_of_nothing() -> None:
    """Yesterday's nothing says nothing about today."""
    forecast = PeakForecast(horizon_minutes=3)
    made = [forecast.after(0.0) for _ in range(1440)] + [forecast.after(9.0) for _ in range(20)]
    assert made[-1] == pytest.approx(9.0, rel=0.2)
